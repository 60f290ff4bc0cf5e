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

    /// The same without addresses, to be plugged in.
    pub fn bare() -> Option<Self> {
        Self::new(&[])
    }

    /// Starts one of the programs under test in it.
    pub fn start(&self, name: &str, args: &[&str], env: &[(&str, &str)], log: &Path) -> Process {
        let program = program(name);
        let mut all = vec!["netns", "exec", &self.name, program.to_str().expect("a path in UTF-8")];
        all.extend(args);
        // `ip` becomes the program, so its process id is the program's.
        Process::start(Path::new("ip"), &all, env, log)
    }

    /// Starts a program that others wrote in it.
    pub fn start_other(&self, program: &str, args: &[&str], log: &Path) -> Process {
        let mut all = vec!["netns", "exec", &self.name, program];
        all.extend(args);
        Process::start(Path::new("ip"), &all, &[], log)
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

/// What leaves by the cable of a host comes from its own address.
const TRANSLATE: &str =
    "table ip nat { chain post { type nat hook postrouting priority 100; oifname \"eth0\" masquerade; }; }";

/// A network of hosts: each has a cable to one switch, which can be pulled.
pub struct Lan {
    switch: Netns,
}

impl Lan {
    /// A switch without cables. `None`, said loudly, where this user may not make one.
    pub fn new() -> Option<Self> {
        let switch = Netns::bare()?;
        Self::bridge(&switch, "lan");
        Some(Self { switch })
    }

    fn bridge(netns: &Netns, name: &str) {
        assert!(ip(&["-n", &netns.name, "link", "add", name, "type", "bridge"]));
        assert!(ip(&["-n", &netns.name, "link", "set", name, "up"]));
    }

    /// A host with these addresses, as `198.51.100.7/24`.
    pub fn host(&self, addresses: &[&str]) -> Netns {
        let host = Netns::bare().expect("one was made before");
        plug(&host, &self.switch, "lan", addresses);
        host
    }

    /// A host with this address that stands for all behind it, which have `10.77.0.2`, `10.77.0.3` and so on; and
    /// those. `None`, said loudly, without nftables.
    #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
    pub fn translated(&self, address: &str, hosts: u8) -> Option<(Netns, Vec<Netns>)> {
        let router = self.host(&[address]);
        Self::bridge(&router, "inside");
        assert!(ip(&["-n", &router.name, "addr", "add", "10.77.0.1/24", "dev", "inside"]));
        let forwards = router.run(&["sysctl", "-qw", "net.ipv4.ip_forward=1"]) && router.translate();
        if !forwards {
            eprintln!("SKIPPED: addresses cannot be translated here; install nftables");
            return None;
        }
        let inside = (2..hosts + 2).map(|last| {
            let host = Netns::bare().expect("one was made before");
            plug(&host, &router, "inside", &[&format!("10.77.0.{last}/24")]);
            assert!(ip(&["-n", &host.name, "route", "add", "default", "via", "10.77.0.1"]));
            host
        });
        let inside = inside.collect();
        Some((router, inside))
    }

    /// Pulls the cable of a host, or plugs it in again.
    pub fn cable(&self, host: &Netns, is_in: bool) {
        assert!(ip(&[
            "-n",
            &self.switch.name,
            "link",
            "set",
            &host.port(),
            if is_in { "up" } else { "down" }
        ]));
    }
}

/// Connects a host to a bridge of another one, and gives it addresses.
fn plug(host: &Netns, to: &Netns, bridge: &str, addresses: &[&str]) {
    let port = host.port();
    let pair = ["link", "add", &port, "netns", &to.name, "type", "veth", "peer", "eth0", "netns", &host.name];
    assert!(ip(&pair));
    assert!(ip(&["-n", &to.name, "link", "set", &port, "master", bridge, "up"]));
    assert!(ip(&["-n", &host.name, "link", "set", "eth0", "up"]));
    for address in addresses {
        assert!(ip(&["-n", &host.name, "addr", "add", address, "dev", "eth0", "nodad"]), "{address}");
    }
}

impl Netns {
    /// What the other end of its cable is called: names of devices have at most 15 bytes.
    fn port(&self) -> String {
        format!("p{}", &self.name[self.name.len() - 8..])
    }

    /// Gives the host another address in place of one.
    pub fn readdress(&self, old: &str, new: &str) {
        // In this order: an address goes with the one whose network it shares.
        assert!(ip(&["-n", &self.name, "addr", "del", old, "dev", "eth0"]));
        assert!(ip(&["-n", &self.name, "addr", "add", new, "dev", "eth0"]));
    }

    /// Sends what is for a network to a neighbour.
    pub fn route(&self, network: &str, via: &str) {
        assert!(ip(&["-n", &self.name, "route", "add", network, "via", via, "dev", "eth0"]), "{network}");
    }

    /// Takes a whole network for this host's own.
    pub fn route_here(&self, network: &str) {
        assert!(ip(&["-n", &self.name, "route", "add", "local", network, "dev", "lo"]), "{network}");
    }

    fn translate(&self) -> bool {
        self.run(&["nft", TRANSLATE])
    }

    /// Runs a command in it to its end; false if that failed.
    pub fn run(&self, command: &[&str]) -> bool {
        let mut all = vec!["netns", "exec", &self.name];
        all.extend(command);
        ip(&all)
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
