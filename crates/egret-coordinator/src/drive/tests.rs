//! The drive without sockets: agents are channels, time is handed in.

mod additions;
mod course;
mod forecast;
mod outage;
mod sharing;
mod shunned;
mod stories;
mod via;

use super::*;
use crate::clock::wall_ms;
use crate::config::Config;
use egret_store::{AgentRow, EgressRow, LedgerRow, SqliteStore};
use egret_wire::agent::{CallEnd, LedgerEntry, LedgerState, LogState, Report};

const SERVICE: &str = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
                       quotas = [{ units = 10, per = \"1d\" }]\n";
const ADDRESS: &str = "198.51.100.1";
const W: ServiceId = ServiceId(0);

struct Stage {
    drive: Drive,
    now: Instant,
    _dir: tempfile::TempDir,
    _finished: mpsc::Receiver<Finished>,
}

impl Stage {
    fn new(memory: Memory) -> Self {
        Self::with(SERVICE, memory)
    }

    fn with(services: &str, memory: Memory) -> Self {
        let config = Config::parse(services, "egret.toml").unwrap();
        Self::of(Services::new(config.services, None).unwrap(), memory)
    }

    fn of(services: Services, memory: Memory) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (recorder, finished) = mpsc::channel(64);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path()).unwrap());
        let drive = Drive::new(Parts {
            services: Arc::new(services),
            memory,
            new_egress: NewEgress::Fresh,
            start: 2,
            clock: Clock::start(wall_ms),
            cache: Arc::new(Cache::new(Arc::clone(&store), 1 << 20, Clock::start(wall_ms))),
            store,
            recorder,
            waiters: Arc::new(DashMap::new()),
            open_jobs: Arc::new(AtomicUsize::new(1_000)),
            airborne: Airborne::default(),
            owners: Vec::new(),
            orders: Vec::new(),
            sessions: Arc::new(DashMap::new()),
        });
        let now = drive.clock.now();
        Self { drive, now, _dir: dir, _finished: finished }
    }

    /// An agent logs in for these addresses, showing this memory for each.
    fn join(
        &mut self,
        agent: u64,
        session: u64,
        address: &str,
        shown: Option<u64>,
    ) -> (Welcomed, mpsc::Receiver<Outgoing>) {
        self.join_with(agent, session, (address, shown), Vec::new())
    }

    /// The same of one that has counted something.
    fn join_with(
        &mut self,
        agent: u64,
        session: u64,
        (address, shown): (&str, Option<u64>),
        ledgers: Vec<LedgerEntry>,
    ) -> (Welcomed, mpsc::Receiver<Outgoing>) {
        let (outgoing, frames) = mpsc::channel(4);
        let agent = AgentRow::new(AgentId(agent), &format!("a{agent}"), [0; 32], 0);
        let addresses = vec![(address.to_owned(), shown)];
        let (version, permits, in_flight) = (String::new(), Vec::new(), Vec::new());
        let join = Join { agent, session, version, addresses, permits, ledgers, in_flight, outgoing };
        (self.drive.welcome(join, self.now), frames)
    }

    fn submit(&mut self, jobs: std::ops::RangeInclusive<u64>) {
        let deadline = self.now + Duration::from_secs(3_600);
        let job = |n| Job::new(JobId(n), line(None), W, deadline, b"q\r\n".to_vec());
        self.drive.take(Message::Submit { jobs: jobs.map(job).collect(), batch: None }, self.now);
    }

    fn turn(&mut self) {
        self.drive.give_answers(self.now);
        self.drive.scheduler.tick(self.now);
        while let Some(command) = self.drive.scheduler.next_command() {
            self.drive.obey(command, self.now);
            self.drive.scheduler.tick(self.now);
        }
        self.drive.send_grants(self.now);
    }

    fn used(&self) -> u32 {
        let limits = &self.drive.scheduler.rules(W).own;
        self.drive.scheduler.seat(W, EgressId(0)).map_or(0, |ledger| ledger.used(limits, 0, self.now))
    }
}

fn line(batch: Option<BatchId>) -> Arc<Flow> {
    let (service, owner, egress) = ("w".to_owned(), String::new(), String::new());
    Arc::new(Flow { service, owner, class: 1, egress, batch })
}

fn granted(frames: &mut mpsc::Receiver<Outgoing>) -> Vec<Grant> {
    let mut grants = Vec::new();
    while let Ok(frame) = frames.try_recv() {
        if let Outgoing::Grants(more) = frame {
            grants.extend(more);
        }
    }
    grants
}

fn report(attempt: Attempt, end: CallEnd) -> Report {
    Report {
        attempt,
        service: "w".to_owned(),
        egress: ADDRESS.to_owned(),
        seal: String::new(),
        end,
        answer: Bytes::default(),
        held_ms: 0,
        took_ms: 0,
        since_ms: 0,
        detail: None,
        ready_in_ms: None,
        status: None,
        headers: Vec::new(),
        head: None,
    }
}

/// What the ledger of an egress, a network or a fleet was `age_ms` before `wall`.
fn row(egress: &str, logs: Vec<LogState>, wall: u64, age_ms: u64) -> LedgerRow {
    let state = LedgerState { logs, in_flight: 0, rest: None, left: None, sent: None };
    LedgerRow {
        egress: egress.to_owned(),
        service: "w".to_owned(),
        taken_ms: wall - age_ms,
        state: serde_json::to_vec(&state).unwrap(),
    }
}

/// What an earlier start left: ten of ten units spent an hour ago, written down a second ago.
fn spent(memory: u64) -> Memory {
    let wall = wall_ms();
    let log = LogState { units: 10, span_us: 86_487_401_000, groups: vec![(3_600_000_000, 10)] };
    let row = row(ADDRESS, vec![log], wall, 1_000);
    let owner = EgressRow { address: ADDRESS.to_owned(), agent: AgentId(1), memory, since_ms: wall - 2_000 };
    Memory::new(vec![row, memory::stamp(ADDRESS, wall - 1_000, true)], vec![owner])
}

#[tokio::test]
async fn an_agent_that_never_got_its_welcome_is_told_what_was_spent() {
    let mut stage = Stage::new(spent(7));
    let (welcomed, _frames) = stage.join(1, 1, ADDRESS, None);
    assert_eq!((stage.used(), welcomed.ledgers.len()), (10, 1));
    let (again, _frames) = stage.join(1, 2, ADDRESS, None);
    assert_eq!(again.ledgers.len(), 1, "it has still not shown that it knows");
    let memory = again.egresses[0].memory;
    assert_eq!(stage.join(1, 3, ADDRESS, Some(memory)).0.ledgers.len(), 0);
}

#[tokio::test]
async fn an_agent_that_lived_through_a_restart_counts_for_itself() {
    let mut stage = Stage::new(spent(7));
    let (welcomed, _frames) = stage.join(1, 1, ADDRESS, Some(7));
    assert_eq!((stage.used(), welcomed.ledgers.len()), (0, 0), "its own empty ledger is the complete one");
}

#[tokio::test]
async fn a_freed_address_is_offered_to_whoever_else_proved_it() {
    let mut stage = Stage::new(Memory::default());
    let (_, _first) = stage.join(1, 1, ADDRESS, None);
    let (welcomed, mut second) = stage.join(2, 2, ADDRESS, None);
    assert!(welcomed.egresses.is_empty());
    stage.drive.take(Message::Leave { agent: AgentId(1), session: 1 }, stage.now);
    assert!(matches!(second.try_recv(), Ok(Outgoing::GoingAway(_))));
}

#[tokio::test]
async fn an_agent_that_is_drained_by_whoever_wants_it_gets_nothing_until_nobody_does() {
    let mut stage = Stage::new(Memory::default());
    let agent = AgentId(1);
    stage.drive.order_drain(agent, true, stage.now);
    let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent, session: 1, grants: 64 }, stage.now);
    stage.submit(1..=3);
    stage.turn();
    assert_eq!((granted(&mut frames).len(), stage.drive.fleet.serving(W)), (0, 0));
    stage.drive.take(Message::Draining { agent, session: 1 }, stage.now);
    stage.drive.order_drain(agent, false, stage.now);
    stage.turn();
    assert_eq!(granted(&mut frames).len(), 0, "it is about to stop");
    let (_, mut frames) = stage.join(1, 2, ADDRESS, None);
    stage.drive.take(Message::Credit { agent, session: 2, grants: 64 }, stage.now);
    stage.turn();
    assert_eq!((granted(&mut frames).len(), stage.drive.fleet.serving(W)), (3, 1));
    stage.submit(4..=5);
    stage.drive.order_drain(agent, true, stage.now);
    stage.turn();
    let recalled = std::iter::from_fn(|| frames.try_recv().ok())
        .any(|f| matches!(f, Outgoing::Cancel(a) if a.len() == 3));
    assert!(recalled, "what has not left comes back, and no more goes there");
}

#[tokio::test]
async fn grants_that_a_session_cannot_take_go_elsewhere_with_nothing_spent() {
    let mut stage = Stage::new(Memory::default());
    let (_, mut stuck) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 4 }, stage.now);
    let sender = stage.drive.fleet.agents[&AgentId(1)].outgoing.clone();
    while sender.try_send(Outgoing::Ack(Vec::new())).is_ok() {}
    stage.submit(1..=6);
    stage.turn();
    assert_eq!((stage.used(), stage.drive.fleet.serving(W), granted(&mut stuck).len()), (0, 0, 0));
    let (_, mut sound) = stage.join(2, 2, "198.51.100.2", None);
    stage.drive.take(Message::Credit { agent: AgentId(2), session: 2, grants: 64 }, stage.now);
    stage.turn();
    assert_eq!(granted(&mut sound).len(), 6);
}

#[tokio::test]
async fn cancelling_tells_the_agent_it_concerns_and_no_other() {
    let mut stage = Stage::new(Memory::default());
    let (_, mut one) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 64 }, stage.now);
    stage.submit(1..=5);
    stage.turn();
    assert_eq!(granted(&mut one).len(), 5);
    let (_, mut other) = stage.join(2, 2, "198.51.100.2", None);
    (1..=5).for_each(|n| {
        stage.drive.cancel(JobId(n), stage.now);
    });
    stage.turn();
    assert!(matches!(one.try_recv(), Ok(Outgoing::Cancel(attempts)) if attempts.len() == 5), "in one frame");
    assert!(one.try_recv().is_err() && other.try_recv().is_err());
}

#[tokio::test]
async fn a_result_told_twice_is_acknowledged_and_counts_once() {
    let mut stage = Stage::new(Memory::default());
    let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 1 }, stage.now);
    stage.submit(1..=1);
    stage.turn();
    let attempt = granted(&mut frames)[0].attempt;
    for _ in 0..5 {
        let results = vec![Judged {
            report: report(attempt, CallEnd::TimedOut),
            verdict: None,
            answer: None,
            onward: None,
            left: None,
        }];
        stage.drive.take(Message::Results { agent: AgentId(1), results, room: None }, stage.now);
        assert!(matches!(frames.try_recv(), Ok(Outgoing::Ack(attempts)) if attempts == [attempt]));
    }
    assert_eq!((stage.used(), stage.drive.jobs.len()), (1, 1), "one failure of four, not five");
}

#[tokio::test]
async fn without_checkpoints_on_disk_nothing_is_granted_for_longer_than_a_lease() {
    let stage = Stage::new(Memory::default());
    assert!(stage.drive.may_grant(stage.now));
    assert!(!stage.drive.may_grant(stage.now + LEASE));
}

#[tokio::test]
async fn a_service_that_shuts_us_out_is_paused_even_if_nobody_waits_for_that_job_any_more() {
    let mut stage = Stage::new(Memory::default());
    let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 9 }, stage.now);
    stage.submit(1..=1);
    stage.turn();
    let attempt = granted(&mut frames)[0].attempt;
    stage.drive.cancel(JobId(1), stage.now);
    let report = report(attempt, CallEnd::Answered);
    let results = vec![Judged {
        report,
        verdict: Some(egret_lookup::Verdict::Blocked),
        answer: None,
        onward: None,
        left: None,
    }];
    stage.drive.take(Message::Results { agent: AgentId(1), results, room: None }, stage.now);
    stage.submit(2..=3);
    stage.turn();
    assert!(stage.drive.scheduler.is_paused(W) && granted(&mut frames).is_empty());
}

#[tokio::test]
async fn the_view_shows_what_is_used_of_the_quota_while_work_waits() {
    let mut stage = Stage::new(Memory::default());
    let (_, _frames) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 64 }, stage.now);
    stage.submit(1..=5);
    stage.turn();
    stage.drive.measure(stage.now);
    assert_eq!(stage.drive.quota(W, None, false, stage.now).utilisation, None, "nothing waits");
    stage.submit(6..=20);
    stage.turn();
    stage.drive.measure(stage.now);
    let view = stage.drive.quota(W, None, false, stage.now);
    assert_eq!((view.queued, view.utilisation), (10, Some(1.0)), "ten of ten units are under way");
    let budget = &view.budgets[0];
    assert_eq!((view.budgets.len(), budget.used, budget.remaining, budget.next_at), (1, 10, 0, None));
}

#[tokio::test]
async fn shared_ledgers_are_kept_over_a_restart_with_what_may_have_been_spent_since() {
    let fleet_wide = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
        quotas = [{ units = 3, per = \"1s\" }, { units = 1000, per = \"1d\", scope = \"fleet\" }]\n";
    let mut stage = Stage::with(fleet_wide, Memory::default());
    let (_, _frames) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 64 }, stage.now);
    stage.submit(1..=3);
    stage.turn();
    let commit = stage.drive.checkpoint(stage.now).await.unwrap();
    commit.await.unwrap();
    let store = Arc::clone(&stage.drive.store);
    let owner = EgressRow { address: ADDRESS.to_owned(), agent: AgentId(1), memory: 7, since_ms: wall_ms() };
    let memory = Memory::new(store.ledgers().await.unwrap(), vec![owner]);
    let mut again = Stage::with(fleet_wide, memory);
    let (_, _frames) = again.join(1, 1, ADDRESS, Some(7));
    let view = again.drive.quota(W, None, false, again.now);
    let used = view.budgets.iter().find(|budget| budget.scope == "fleet").map(|budget| budget.used);
    // Three were under way; in the 5 s that the clock is given, and the moment since, one address may have sent 3 in
    // each of five or six windows.
    assert!(used.is_some_and(|used| (3 + 15..=3 + 18).contains(&used)), "{used:?}");
}
