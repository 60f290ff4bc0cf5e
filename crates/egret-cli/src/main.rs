//! Asks: `egret`, the program people and scripts use.
//!
//! - `args`: what may be written on the command line; `commands`: one module for each command;
//! - `follow`: results as they come in, into a file or onto a screen; `progress`: how far they are;
//! - `out`: the only way to stdout and stderr; `screen`: remote text made harmless; `table`: lists for people,
//!   `record`: a record for them;
//! - `signals`: being asked to stop; `exit`: how the program ends, in one table.
//!
//! Absent: what coordinator and agent do. `serve`, `up` and `demo` only start them.

mod args;
mod commands;
mod exit;
mod follow;
mod out;
mod progress;
mod record;
mod screen;
mod signals;
mod table;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use exit::Failure;
use out::Out;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Out::new(&cli.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return out.fail(&Failure::usage(format!("no threads can be started: {error}"))),
    };
    let ended = runtime.block_on(commands::run(cli, &out));
    // A read of stdin that nobody waits for any more must not hold the program up.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => out.fail(&failure),
    }
}
