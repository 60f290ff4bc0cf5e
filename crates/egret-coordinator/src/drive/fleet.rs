//! Who is there: agents with a session, and the egresses they speak for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use egret_core::id::{AgentId, EgressId, ServiceId};
use egret_core::scheduler::LONGEST_HOLD;
use egret_core::time::Instant;
use egret_wire::agent::{Attempt, Grant};
use egret_wire::api::{EgressView, Liveness};
use egret_wire::value::Time;
use tokio::sync::mpsc;

use crate::session::Outgoing;

/// An agent with a session.
#[derive(Debug)]
pub(crate) struct Connected {
    /// Which of its sessions: a newer one replaces an older.
    pub(crate) session: u64,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Patterns of the services that its token named, and of those that its host permits; none: all.
    pub(crate) patterns: Vec<String>,
    pub(crate) permits: Vec<String>,
    pub(crate) credit: u32,
    /// It has said that it is about to stop.
    pub(crate) is_leaving: bool,
    pub(crate) egresses: Vec<EgressId>,
    /// Addresses it proved that another agent spoke for.
    pub(crate) refused: Vec<String>,
    pub(crate) outgoing: mpsc::Sender<Outgoing>,
    /// Grants of this turn, to go out in one frame.
    pub(crate) grants: Vec<Grant>,
    /// Attempts given up in this turn, likewise.
    pub(crate) cancels: Vec<Attempt>,
    pub(crate) seen: (Instant, u64),
    /// What its clock showed, in microseconds, when we heard of it: it showed more by then.
    pub(crate) clock: Option<(u64, Instant)>,
}

impl Connected {
    /// Until when a grant of now is good, on the agent's clock: never later than the grant may leave, since word of the
    /// clock took its time and the clocks differ by less than a thousandth.
    pub(crate) fn not_after(&self, now: Instant) -> Option<u64> {
        let (shown_us, heard_at) = self.clock?;
        let since = now.since(heard_at);
        let ahead = (since - since / 1_000) + LONGEST_HOLD;
        Some(shown_us.saturating_add(u64::try_from(ahead.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// An address as remotes see it.
#[derive(Debug)]
pub(crate) struct Egress {
    pub(crate) address: String,
    /// Who spoke for it last.
    pub(crate) owner: AgentId,
    pub(crate) owner_name: String,
    pub(crate) tags: Vec<String>,
    /// Shown again by whoever has the ledgers of that agent's welcome, and all since.
    pub(crate) memory: u64,
    /// The last session of its agent in which it was up.
    pub(crate) session: u64,
    pub(crate) is_up: bool,
    /// While it is up: nothing is granted from it.
    pub(crate) is_draining: bool,
    /// Services that its agent's host does not permit.
    pub(crate) barred: Arc<BTreeSet<ServiceId>>,
    pub(crate) seen_ms: Option<u64>,
}

impl Egress {
    /// Whether a service is asked from it, as far as its agent is concerned.
    pub(crate) fn serves(&self, service: ServiceId) -> bool {
        self.is_up && !self.is_draining && !self.barred.contains(&service)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) agents: HashMap<AgentId, Connected>,
    egresses: Vec<Egress>,
    by_address: BTreeMap<String, EgressId>,
}

impl Fleet {
    pub(crate) fn find(&self, address: &str) -> Option<EgressId> {
        self.by_address.get(address).copied()
    }

    pub(crate) fn egress(&self, id: EgressId) -> &Egress {
        &self.egresses[id.0 as usize]
    }

    pub(crate) fn egress_mut(&mut self, id: EgressId) -> &mut Egress {
        &mut self.egresses[id.0 as usize]
    }

    pub(crate) fn address(&self, id: EgressId) -> &str {
        &self.egress(id).address
    }

    pub(crate) fn add(&mut self, egress: Egress) -> EgressId {
        let id = EgressId(u32::try_from(self.egresses.len()).unwrap_or(u32::MAX));
        self.by_address.insert(egress.address.clone(), id);
        self.egresses.push(egress);
        id
    }

    /// How many egresses a service is asked from.
    pub(crate) fn serving(&self, service: ServiceId) -> usize {
        self.egresses.iter().filter(|egress| egress.serves(service)).count()
    }

    /// Where those live: address and tags.
    pub(crate) fn homes(&self, service: ServiceId) -> impl Iterator<Item = (IpAddr, &[String])> {
        let up = self.egresses.iter().filter(move |egress| egress.serves(service));
        up.map(|egress| (home(&egress.address), &egress.tags[..]))
    }

    /// Every egress, by address.
    pub(crate) fn ids(&self) -> impl Iterator<Item = EgressId> {
        self.by_address.values().copied()
    }

    pub(crate) fn view(&self, id: EgressId) -> EgressView {
        let egress = self.egress(id);
        let owner = self.agents.get(&egress.owner).filter(|_| egress.is_up);
        let seen_ms = owner.map(|agent| agent.seen.1).or(egress.seen_ms);
        EgressView {
            id: egress.address.clone(),
            address: egress.address.clone(),
            agent: egress.owner_name.clone(),
            ip_version: if egress.address.contains(':') { 6 } else { 4 },
            tags: egress.tags.clone(),
            state: match (egress.is_up, egress.is_draining) {
                (false, _) => Liveness::Down,
                (true, true) => Liveness::Draining,
                (true, false) => Liveness::Up,
            },
            seen_at: seen_ms.map(Time),
        }
    }
}

/// The address of an egress, or the first one of its network.
pub(crate) fn home(egress: &str) -> IpAddr {
    let address = egress.split('/').next().unwrap_or(egress);
    // Egresses are called what `join::egress_key` makes of an address.
    address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
