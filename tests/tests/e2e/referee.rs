//! HAProxy before a remote: a stick table that we did not write counts connections by source address, and turns away whoever
//! comes too often.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use egret_tests::Process;
use egret_tests::netns::Netns;

/// Where the package puts it; not every user's path leads there.
const PROGRAM: &str = "/usr/sbin/haproxy";

pub(crate) struct Referee {
    socket: PathBuf,
    _process: Process,
}

/// What an address has done.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) connections: usize,
    pub(crate) refused: usize,
}

impl Referee {
    /// At `at` on a host, before `remote`: lets in 8 connections in 2 s by its own count, which is a fading one of the last
    /// period and this one, the two-bucket way. `None`, said loudly, where it is not installed.
    #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
    pub(crate) fn start(host: &Netns, at: &str, remote: &str, dir: &Path) -> Option<Self> {
        let is_there = Command::new(PROGRAM).arg("-v").stdout(Stdio::null()).status();
        if !is_there.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: nobody counts here but we ourselves; install haproxy");
            return None;
        }
        let (socket, config, log) =
            (dir.join("haproxy.sock"), dir.join("haproxy.cfg"), dir.join("haproxy.log"));
        let text = format!(
            "global\n  stats socket {} mode 600 level admin\n  maxconn 4096\n\
             defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             frontend whois\n  bind {at}\n  \
             stick-table type ip size 10k expire 1h store conn_cnt,conn_rate(2s),gpc0\n  \
             tcp-request connection track-sc0 src\n  \
             tcp-request connection sc-inc-gpc0(0) if {{ sc0_conn_rate gt 8 }}\n  \
             tcp-request connection reject if {{ sc0_conn_rate gt 8 }}\n  default_backend server\n\
             backend server\n  server whois {remote}\n",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = host.start_other(PROGRAM, &["-db", "-f", config.to_str().unwrap()], &log);
        process.await_output("socket", |_| UnixStream::connect(&socket).ok());
        Some(Self { socket, _process: process })
    }

    /// By address, from the first connection on.
    pub(crate) fn counted(&self) -> BTreeMap<String, Count> {
        let mut socket = UnixStream::connect(&self.socket).unwrap();
        socket.write_all(b"show table whois\n").unwrap();
        let mut table = String::new();
        socket.read_to_string(&mut table).unwrap();
        let row = |line: &str| {
            let field = |name: &str| line.split_once(name)?.1.split_whitespace().next();
            let count = |name: &str| field(name)?.parse().ok();
            let counted = Count { connections: count("conn_cnt=")?, refused: count("gpc0=")? };
            Some((field("key=")?.to_owned(), counted))
        };
        table.lines().filter_map(row).collect()
    }
}
