//! What all hosts of a simulation share, and what is noted of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use egret_core::id::JobId;
use egret_tests::rule::Rule;
use egret_wire::agent::Attempt;
use turmoil::net::TcpStream;

/// When simulations take place.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_800_000_000);
/// Where coordinators listen.
pub(crate) const PORT: u16 = 7043;
/// Where the first service listens; the others behind it.
pub(crate) const FIRST_SERVICE: u16 = 4300;
/// The key that opens the API.
pub(crate) const KEY: &str = "a key";

/// Which coordinator: the one that counts, or one that works on an old copy of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Original,
    Twin,
}

/// A session of an agent with a coordinator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) who: Who,
    /// Higher than that of any before.
    pub(crate) epoch: u64,
    /// What the agent's clock was last heard to show, in microseconds, and when.
    pub(crate) clock: Option<(u64, Duration)>,
}

/// What a call is known by where it arrives: egress, service, question.
pub(crate) type Asked = (IpAddr, String, Vec<u8>);

/// A grant that left a coordinator: when, whose, to whom, which, for what.
pub(crate) type Given = (Duration, Who, IpAddr, Attempt, String);

/// Everything that outlives the hosts.
pub(crate) struct Scene {
    pub(crate) dir: PathBuf,
    pub(crate) agents: Vec<IpAddr>,
    pub(crate) coordinator: IpAddr,
    pub(crate) twin: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) rules: Vec<Rule>,
    /// The rules are for all agents together.
    pub(crate) is_shared: bool,
    /// Agents join with it.
    pub(crate) token: Option<String>,
    /// Whoever dials the coordinator from there finds its twin.
    pub(crate) diverted: BTreeSet<IpAddr>,
    /// Of so many frames one comes twice; 0: none does.
    pub(crate) one_doubled_in: u64,
    /// Of so many frames one is the last of its connection; 0: none is.
    pub(crate) one_last_in: u64,
    /// Calls that the remote takes seconds for, of a hundred.
    pub(crate) slow: u64,
    pub(crate) grants: Vec<Given>,
    /// What is known of sessions, by connection.
    pub(crate) sessions: BTreeMap<u64, Session>,
    /// The session that an agent has last begun to work in, and since when at the latest.
    pub(crate) works_in: BTreeMap<IpAddr, (Session, Duration)>,
    /// When each grant of a call may leave at the latest, and the session it was given in.
    pub(crate) given: BTreeMap<Asked, Vec<(Duration, Session)>>,
    /// Attempts whose answers a coordinator was sent.
    pub(crate) answered: BTreeSet<(Who, Attempt)>,
    /// Jobs that are on the original's disk for good: an agent was told to forget the answer.
    pub(crate) safe: BTreeSet<JobId>,
    /// Jobs that a caller was told are accepted.
    pub(crate) accepted: BTreeSet<JobId>,
    /// How those have ended, as callers were told.
    pub(crate) ended: BTreeMap<JobId, String>,
    pub(crate) calls: usize,
    /// Units that count as spent, as a caller was told, and when.
    pub(crate) used: Option<(Duration, u32)>,
    /// Connections so far.
    pub(crate) connections: u64,
    /// A host is being killed.
    pub(crate) is_dying: bool,
    /// What it has left open, in order.
    pub(crate) graves: BTreeMap<u64, TcpStream>,
    pub(crate) wrong: Vec<String>,
    pub(crate) is_done: bool,
}

/// The scene, as hosts hold it.
pub(crate) type Shared = Arc<Mutex<Scene>>;

/// Looks at the scene; never over an `await`.
pub(crate) fn look(scene: &Shared) -> MutexGuard<'_, Scene> {
    scene.lock().unwrap()
}

impl Scene {
    /// Something that must not be.
    pub(crate) fn object(&mut self, what: impl Into<String>) {
        let what = what.into();
        // Once is enough of what goes on and on.
        if !self.wrong.iter().any(|wrong| wrong.ends_with(&what)) {
            self.wrong.push(format!("{:?}: {what}", now()));
        }
    }

    /// Where an agent keeps what it has to remember.
    pub(crate) fn state(&self, agent: IpAddr) -> PathBuf {
        self.dir.join(agent.to_string())
    }

    /// Where a coordinator keeps its data.
    pub(crate) fn data(&self, who: Who) -> PathBuf {
        self.dir.join(match who {
            Who::Original => "data",
            Who::Twin => "copy",
        })
    }
}

/// Time since the simulation began; for code that runs on one of its hosts.
pub(crate) fn now() -> Duration {
    turmoil::since_epoch().unwrap_or(EPOCH).saturating_sub(EPOCH)
}

/// The wall clock of every host.
pub(crate) fn wall_ms() -> u64 {
    (EPOCH + now()).as_millis() as u64
}

/// When simulations take place, for the builder.
pub(crate) fn epoch() -> std::time::SystemTime {
    UNIX_EPOCH + EPOCH
}
