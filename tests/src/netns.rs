//! A host of its own: a network namespace that a test makes and removes, with the addresses it wants.

use std::path::Path;
use std::process::Command;

use crate::{Process, program};

/// A namespace; it is removed when this is dropped, after the processes in it.
pub struct Netns {
    name: String,
}

impl Netns {
    /// A namespace whose loopback device has these addresses, with their prefixes. `None`, said loudly, where this
    /// user may not make one.
    #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
    pub fn new(addresses: &[&str]) -> Option<Self> {
        let name = format!("egret-{}-{:08x}", std::process::id(), fastrand::u32(..));
        if !ip(&["netns", "add", &name]) {
            eprintln!(
                "SKIPPED: this user may not make network namespaces; run as root, with iproute2 installed"
            );
            return None;
        }
        let netns = Self { name };
        assert!(ip(&["-n", &netns.name, "link", "set", "lo", "up"]));
        for address in addresses {
            assert!(ip(&["-n", &netns.name, "addr", "add", address, "dev", "lo"]), "{address}");
        }
        Some(netns)
    }

    /// Starts one of the programs under test in it.
    pub fn start(&self, name: &str, args: &[&str], env: &[(&str, &str)], log: &Path) -> Process {
        let program = program(name);
        let mut all = vec!["netns", "exec", &self.name, program.to_str().expect("a path in UTF-8")];
        all.extend(args);
        // `ip` becomes the program, so its process id is the program's.
        Process::start(Path::new("ip"), &all, env, log)
    }

    /// Runs `egret` in it to its end and returns its standard output.
    pub fn egret(&self, args: &[&str]) -> String {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program("egret")).args(args);
        let output = command.output().expect("ip runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
}
