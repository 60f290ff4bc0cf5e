//! `egret-remote` as people and benches run it: a process, its stdin and its stdout.

use egret_testkit::{Score, ask, echo_text};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    addr: SocketAddr,
}

impl Process {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_egret-remote"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut process = Self { child, stdin, stdout, addr: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) };
        let first = process.line();
        let addr = first.strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        process.addr = addr.expect("the first line says where it listens");
        process
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("its stdout is text");
        line.trim_end().to_owned()
    }

    fn tell(&mut self, line: &str) -> String {
        let stdin = self.stdin.as_mut().expect("its stdin is open");
        writeln!(stdin, "{line}").expect("it reads its stdin");
        self.line()
    }

    fn end(mut self) -> Score {
        self.stdin = None;
        let score = serde_json::from_str(&self.line()).expect("the last line is its score");
        assert!(self.child.wait().is_ok_and(|status| status.success()));
        score
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[tokio::test]
async fn a_whois_process_takes_orders_and_leaves_its_score() {
    let mut remote =
        Process::start(&["whois", "--limit", "sliding:2/60s", "--limit", "fixed:10/1h", "--ban", "5m"]);
    for refused in [false, false, true] {
        let answer = ask(remote.addr, A, "example.org").await.unwrap();
        assert_eq!(answer != echo_text("example.org"), refused);
    }
    assert_eq!(remote.tell("unban 127.0.0.2"), "unbanned 127.0.0.2");
    assert_eq!(remote.tell("ban 127.0.0.3 60"), "banned 127.0.0.3");
    assert!(remote.tell("bann 127.0.0.3").starts_with("error: "));
    let score: Score = serde_json::from_str(&remote.tell("score")).unwrap();
    assert_eq!((score.peer(A).tally.answered, score.peer(A).tally.refused), (2, 1));
    let last = remote.end();
    assert_eq!(last.peers[&A].worst_in_window, score.peers[&A].worst_in_window);
}

#[tokio::test]
async fn a_signal_ends_it_with_its_score() {
    let mut remote = Process::start(&["http", "--refuse", "503", "--ignore-stdin"]);
    remote.stdin = None;
    let killed = Command::new("kill").arg(remote.child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert_eq!(remote.end().total.tally.calls, 0);
}

#[test]
fn a_refusal_of_the_other_protocol_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_egret-remote"))
        .args(["whois", "--refuse", "429"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--refuse text, close or reset"));
}
