//! Builds `config/catalogue`, the table of WHOIS and RDAP servers that egret-lookup embeds.
//!
//! `build` writes the table from the collected facts, byte for byte the same each time; `check`
//! holds it against sources that it was not built from. Neither calls anybody.

mod check;
mod csv;
mod data;
mod domains;
mod numbers;
mod servers;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use egret_lookup::known::BootstrapFile;

use data::Data;

/// Builds and checks the table of WHOIS and RDAP servers.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the table.
    Build {
        /// The folder of the collected facts.
        #[arg(long)]
        data: PathBuf,
        /// The folder to write to.
        #[arg(long)]
        out: PathBuf,
    },
    /// Say on stdout where the table that is compiled in differs from sources that it was not built from.
    Check {
        /// The folder of the collected facts.
        #[arg(long)]
        data: PathBuf,
    },
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Build { data, out } => build(&data, &out),
        Command::Check { data } => {
            let report = check::report(&Data::read(&data)?)?;
            std::io::stdout().write_all(report.as_bytes()).context("the report cannot be written to stdout")
        }
    }
}

fn build(data: &Path, out: &Path) -> Result<()> {
    let files = files(&Data::read(data)?)?;
    fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    for (name, text) in files {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// The table's files: names and texts.
fn files(data: &Data) -> Result<[(&'static str, String); 6]> {
    let zones = domains::zones(data)?;
    let blocks = numbers::blocks(data)?;
    let servers = servers::servers(data, &zones, &blocks)?;
    let [ip, asn] = numbers::written(data, &blocks);
    Ok([
        ("domains.tsv", domains::written(data, &zones)),
        ("ip.tsv", ip),
        ("asn.tsv", asn),
        ("tags.tsv", tags(data)),
        ("servers.tsv", servers::written(&servers)),
        ("published.tsv", published(data)),
    ])
}

/// The tags that handles end in, with the servers that know them.
fn tags(data: &Data) -> String {
    let head = "# Who knows a handle: the tag behind its last `-` (RFC 8521), RDAP server.\n\
                # Written by `egret-catalogue build` from IANA's RDAP object tags.\n";
    data.tags.iter().fold(head.to_owned(), |text, (tag, base)| format!("{text}{tag}\t{base}\n"))
}

/// When IANA's files were published: older ones are not to replace them.
fn published(data: &Data) -> String {
    let head = "# When the files of IANA's RDAP bootstrap were published that the table is made of: file, time.\n\
                # Written by `egret-catalogue build`.\n";
    BootstrapFile::ALL.into_iter().fold(head.to_owned(), |text, file| {
        format!("{text}{}\t{}\n", file.name(), data.bootstrap.published(file).unwrap_or("-"))
    })
}

#[cfg(test)]
mod tests;
