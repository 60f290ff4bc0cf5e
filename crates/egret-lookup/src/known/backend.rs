//! Back ends: the servers whose calls are counted together, as one service.

use std::collections::HashMap;

use super::build::host_of;
use super::server::Server;
use crate::service::Protocol;

/// Gives each server its back end; returns the servers of each back end, by index.
pub(super) fn assign(servers: &mut [Server]) -> HashMap<String, Vec<u32>> {
    let mut members: HashMap<String, usize> = HashMap::new();
    for server in servers.iter().filter(|server| server.protocol == Protocol::Whois) {
        *members.entry(server.group().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let mut backends: HashMap<String, Vec<u32>> = HashMap::new();
    let mut speaks: HashMap<String, Protocol> = HashMap::new();
    for (index, server) in (0..).zip(servers) {
        let mut name = match (server.protocol, server.group()) {
            (Protocol::Rdap, _) => host_of(&server.address).to_owned(),
            (_, Some(group)) if members[group] > 1 => format!("whois:{group}"),
            _ => server.id.to_string(),
        };
        // A host that speaks both counts by protocol.
        if *speaks.entry(name.clone()).or_insert(server.protocol) != server.protocol {
            name.insert_str(0, "rdap:");
            speaks.insert(name.clone(), server.protocol);
        }
        server.backend = name.clone().into();
        backends.entry(name).or_default().push(index);
    }
    backends
}
