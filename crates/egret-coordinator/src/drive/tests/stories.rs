//! What an earlier start knew, what agents say, and what the view shows: one story each, most of them a way in which a
//! quota could be spent twice.

use super::sharing::tell;
use super::*;
use egret_core::ledger::Ready;

const FLEET: &str = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
    quotas = [{ units = 100, per = \"1s\" }, { units = 5, per = \"1d\", scope = \"fleet\" }]\n";

fn fleet_used(stage: &Stage) -> Option<u32> {
    let view = stage.drive.quota(W, None, false, stage.now);
    view.budgets.iter().find(|budget| budget.scope != "ip").map(|budget| budget.used)
}

fn owner(address: &str, agent: u64, memory: u64) -> EgressRow {
    EgressRow { address: address.to_owned(), agent: AgentId(agent), memory, since_ms: wall_ms() }
}

/// Session::welcome makes these durable before any grant.
async fn durable(stage: &Stage, welcomed: &Welcomed) {
    stage.drive.store.save_ledgers(welcomed.rows.clone()).await.unwrap().await.unwrap();
}

fn credit(stage: &mut Stage, agent: u64, session: u64) {
    stage.drive.take(Message::Credit { agent: AgentId(agent), session, grants: 64 }, stage.now);
}

/// One call of a day's five, an hour ago.
fn one_of_five() -> LogState {
    LogState { units: 5, span_us: 86_487_401_000, groups: vec![(3_600_000_000, 1)] }
}

/// First use of a shared quota, killed before the first checkpoint (2 s).
#[tokio::test]
async fn what_is_shared_is_written_down_before_any_of_it_is_granted() {
    let mut stage = Stage::with(FLEET, Memory::default());
    let (welcomed, mut frames) = stage.join(1, 1, ADDRESS, None);
    durable(&stage, &welcomed).await;
    credit(&mut stage, 1, 1);
    stage.submit(1..=9);
    stage.turn();
    assert_eq!(granted(&mut frames).len(), 5, "the fleet quota is spent");
    // kill -9 of coordinator (and agent): only what is durable comes back
    let memory = Memory::new(stage.drive.store.ledgers().await.unwrap(), vec![owner(ADDRESS, 1, 7)]);
    let mut again = Stage::with(FLEET, memory);
    again.join(1, 1, ADDRESS, None);
    assert_eq!(fleet_used(&again), Some(5));
}

/// Orderly stop, start, spend, kill -9 before the first checkpoint: the clean stamp of the shared ledger still stands.
#[tokio::test]
async fn the_stamp_of_an_orderly_stop_does_not_outlive_the_next_start() {
    let wall = wall_ms();
    let clean = vec![
        row("fleet", vec![one_of_five()], wall, 1_000),
        memory::stamp("fleet", wall - 1_000, true),
        memory::stamp(ADDRESS, wall - 1_000, true),
    ];
    let mut stage = Stage::with(FLEET, Memory::new(clean.clone(), vec![owner(ADDRESS, 1, 7)]));
    stage.drive.store.save_ledgers(clean).await.unwrap().await.unwrap();
    let (welcomed, mut frames) = stage.join(1, 1, ADDRESS, Some(7));
    durable(&stage, &welcomed).await;
    credit(&mut stage, 1, 1);
    stage.submit(1..=9);
    stage.turn();
    assert_eq!(granted(&mut frames).len(), 4, "1 + 4 = the fleet quota");
    let memory = Memory::new(stage.drive.store.ledgers().await.unwrap(), vec![owner(ADDRESS, 1, 8)]);
    let mut again = Stage::with(FLEET, memory);
    again.join(1, 1, ADDRESS, None);
    assert!(fleet_used(&again) >= Some(5), "{:?}", fleet_used(&again));
}

#[tokio::test]
async fn a_shared_ledger_that_cannot_be_read_counts_as_spent() {
    let wall = wall_ms();
    let row = LedgerRow { state: b"{".to_vec(), ..row("fleet", vec![], wall, 1_000) };
    let memory =
        Memory::new(vec![row, memory::stamp("fleet", wall - 1_000, true)], vec![owner(ADDRESS, 1, 7)]);
    let mut stage = Stage::with(FLEET, memory);
    stage.join(1, 1, ADDRESS, Some(7));
    assert_eq!(fleet_used(&stage), Some(5), "the log says that all of it counts as spent");
}

/// The gap after a crash is charged in memory only.
#[tokio::test]
async fn what_counts_as_spent_after_a_crash_still_does_a_start_later() {
    let wall = wall_ms();
    let rows =
        vec![row("fleet", vec![one_of_five()], wall, 8_000), memory::stamp("fleet", wall - 8_000, false)];
    let mut stage = Stage::with(FLEET, Memory::new(rows.clone(), vec![owner(ADDRESS, 1, 7)]));
    stage.drive.store.save_ledgers(rows).await.unwrap().await.unwrap();
    // Another agent comes first.
    let (welcomed, _frames) = stage.join(2, 1, "198.51.100.2", None);
    durable(&stage, &welcomed).await;
    assert!(
        fleet_used(&stage) >= Some(5),
        "crash: up to 100 x 14 calls are unknown, so all 5 count as spent"
    );
    // orderly stop
    stage.drive.stopping = true;
    stage.drive.checkpoint(stage.now).await.unwrap().await.unwrap();
    let memory = Memory::new(
        stage.drive.store.ledgers().await.unwrap(),
        vec![owner(ADDRESS, 1, 7), owner("198.51.100.2", 2, 8)],
    );
    let mut again = Stage::with(FLEET, memory);
    again.join(2, 1, "198.51.100.2", Some(8));
    assert!(
        fleet_used(&again) >= Some(5),
        "{:?} what counted as spent is spent a start later as well",
        fleet_used(&again)
    );
}

const TAGGED: &str = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
    quotas = [{ units = 60, per = \"1m\" }, { units = 5, per = \"1m\", scope = \"tag:eu\" }]\n";

fn join_tagged(
    stage: &mut Stage,
    agent: u64,
    session: u64,
    address: &str,
    tags: &[&str],
) -> (Welcomed, mpsc::Receiver<Outgoing>) {
    let (outgoing, frames) = mpsc::channel(4);
    let tags = tags.iter().map(|t| (*t).to_owned()).collect();
    let agent = AgentRow { tags, ..AgentRow::new(AgentId(agent), "a", [0; 32], 0) };
    let join = Join {
        permits: Vec::new(),
        agent,
        session,
        version: String::new(),
        addresses: vec![(address.to_owned(), None)],
        ledgers: Vec::new(),
        in_flight: Vec::new(),
        outgoing,
    };
    (stage.drive.welcome(join, stage.now), frames)
}

/// The checkpoint of a tag is looked up only when an egress is first seen; with another agent it may get the tag later.
#[tokio::test]
async fn the_ledger_of_a_tag_is_found_whoever_brings_the_tag_and_whenever() {
    let wall = wall_ms();
    let log = LogState { units: 5, span_us: 61_061_000, groups: vec![(1_000_000, 5)] };
    let row = row("tag:eu", vec![log], wall, 1_000);
    let memory = Memory::new(
        vec![row, memory::stamp("tag:eu", wall - 1_000, true), memory::stamp(ADDRESS, wall - 1_000, true)],
        vec![owner(ADDRESS, 1, 7)],
    );
    let mut stage = Stage::with(TAGGED, memory);
    let _f = join_tagged(&mut stage, 2, 1, ADDRESS, &[]);
    stage.drive.take(Message::Leave { agent: AgentId(2), session: 1 }, stage.now);
    let (_, mut frames) = join_tagged(&mut stage, 1, 2, ADDRESS, &["eu"]);
    credit(&mut stage, 1, 2);
    stage.submit(1..=20);
    stage.turn();
    assert_eq!(granted(&mut frames).len(), 0, "5 of 5 of tag:eu were spent a second before the restart");
}

/// An untagged egress: 60 a minute by the coordinator, 5 by the agent.
#[tokio::test]
async fn agents_are_told_the_quotas_that_an_egress_has_by_itself() {
    let stage = Stage::with(TAGGED, Memory::default());
    let policy = &stage.drive.services.policies(0..1, &[])[0];
    let own = &stage.drive.scheduler.rules(W).own;
    assert_eq!((policy.quotas.len(), policy.is_careful), (own.windows.len(), false), "{:?}", policy.quotas);
}

/// Coordinator alive, agent process restarted: the welcome's ledger closes the agent's own gate for a day.
#[tokio::test]
async fn a_restarted_agent_is_not_closed_by_quotas_it_does_not_keep() {
    let text = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
        quotas = [{ units = 10, per = \"1s\" }, { units = 9000, per = \"1d\", scope = \"fleet\" }]\n";
    let mut stage = Stage::with(text, Memory::default());
    let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
    credit(&mut stage, 1, 1);
    stage.submit(1..=1);
    stage.turn();
    let attempt = granted(&mut frames)[0].attempt;
    let results = vec![Judged {
        report: report(attempt, CallEnd::TimedOut),
        verdict: None,
        answer: None,
        onward: None,
        left: None,
    }];
    stage.drive.take(Message::Results { agent: AgentId(1), results, room: None }, stage.now);
    let (welcomed, _f) = stage.join(1, 2, ADDRESS, None);
    // What Worker::begin does with it.
    let limits = stage.drive.services.config(W).terms.limits();
    let mut gate = egret_core::ledger::Ledger::default();
    gate.merge(&limits, &memory::from_agent(welcomed.ledgers[0].state.clone()), stage.now);
    let used: Vec<u32> = (0..limits.windows.len()).map(|n| gate.used(&limits, n, stage.now)).collect();
    let wait = match gate.ready(&limits, stage.now) {
        Ready::At(at) => at.since(stage.now),
        _ => Duration::ZERO,
    };
    assert!(
        wait < Duration::from_secs(60),
        "ONE call was made; the agent's gate has used {used:?} and is closed for {wait:?}"
    );
}

#[tokio::test]
async fn a_call_under_way_is_counted_once_however_often_its_agent_logs_in() {
    let mut stage = Stage::new(Memory::default());
    let deadline = stage.now + Duration::from_secs(3_600);
    let job = Job::new(JobId(1), line(Some(BatchId(5))), W, deadline, b"q\r\n".to_vec());
    let progress = Progress::new(2, [0; 4], stage.now);
    stage.drive.take(Message::Submit { jobs: vec![job], batch: Some((BatchId(5), progress)) }, stage.now);
    for session in 1..=3 {
        let (outgoing, _frames) = mpsc::channel(4);
        let agent = AgentRow::new(AgentId(1), "a", [0; 32], 0);
        let in_flight = vec![egret_wire::agent::InFlight {
            attempt: Attempt(1, 1, 1, 1),
            service: "w".to_owned(),
            egress: ADDRESS.to_owned(),
            seal: String::new(),
        }];
        let join = Join {
            permits: Vec::new(),
            agent,
            session,
            version: String::new(),
            addresses: vec![(ADDRESS.to_owned(), None)],
            ledgers: Vec::new(),
            in_flight,
            outgoing,
        };
        stage.drive.welcome(join, stage.now);
    }
    assert_eq!(stage.drive.batches[&BatchId(5)].running, 1);
}

#[tokio::test]
async fn an_egress_that_was_never_used_is_shown_held_by_what_it_shares() {
    let mut stage = Stage::with(FLEET, Memory::default());
    let (_, _frames) = stage.join(1, 1, ADDRESS, None);
    credit(&mut stage, 1, 1);
    stage.submit(1..=5);
    stage.turn();
    let _f = stage.join(2, 2, "198.51.100.2", None);
    let view = stage.drive.quota(W, Some("198.51.100.2"), true, stage.now);
    let budget = &view.budgets[0];
    assert!(budget.held_by.is_some() && budget.next_at.is_none(), "{budget:?}");
}

#[tokio::test]
async fn what_remains_of_a_token_bucket_is_what_it_holds() {
    let text = |units: u32, burst: u32| {
        format!(
            "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
        counting = \"token-bucket\"\nquotas = [{{ units = {units}, per = \"1m\", burst = {burst} }}]\n"
        )
    };
    let mut seen = Vec::new();
    for (units, burst) in [(600, 10), (600, 100)] {
        let mut stage = Stage::with(&text(units, burst), Memory::default());
        let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
        stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 1_000 }, stage.now);
        stage.submit(1..=10);
        stage.turn();
        granted(&mut frames);
        let view = stage.drive.quota(W, None, false, stage.now);
        seen.push((view.budgets[0].used, view.budgets[0].remaining));
    }
    assert_eq!(seen, [(10, 0), (10, 90)]);
}

#[tokio::test]
async fn the_quota_of_a_tag_bounds_only_those_that_have_it() {
    let mut stage = Stage::with(TAGGED, Memory::default());
    let _a = join_tagged(&mut stage, 1, 1, ADDRESS, &["eu"]);
    let _b = join_tagged(&mut stage, 2, 2, "198.51.100.2", &[]);
    assert_eq!(stage.drive.quota(W, None, true, stage.now).capacity_per_minute, 65.0);
}

#[tokio::test]
async fn of_a_longer_span_what_the_old_one_had_forgotten_counts_as_spent_after_a_quiet_while_too() {
    // Start 1: 10/1s; used, quiet, so the ledger was shed; then stop in order.
    let short = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\nquotas = [{ units = 10, per = \"1s\" }]\n";
    let long = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\nquotas = [{ units = 10, per = \"1s\" }, { units = 100, per = \"1d\" }]\n";
    let mut used = Vec::new();
    for quiet in [0, 60] {
        let mut stage = Stage::with(short, Memory::default());
        let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
        credit(&mut stage, 1, 1);
        stage.submit(1..=1);
        stage.turn();
        let attempt = granted(&mut frames)[0].attempt;
        stage.drive.cancel(JobId(1), stage.now);
        let results = vec![Judged {
            report: report(attempt, CallEnd::TooLong),
            verdict: None,
            answer: None,
            onward: None,
            left: None,
        }];
        stage.drive.take(Message::Results { agent: AgentId(1), results, room: None }, stage.now);
        stage.drive.checkpoint(stage.now).await.unwrap().await.unwrap();
        stage.now = stage.now + Duration::from_secs(quiet);
        stage.drive.scheduler.shed(stage.now);
        stage.drive.scheduler.shed(stage.now);
        let (welcomed, _f) = stage.join(1, 2, ADDRESS, None);
        durable(&stage, &welcomed).await;
        stage.drive.stopping = true;
        stage.drive.checkpoint(stage.now).await.unwrap().await.unwrap();
        let memory = Memory::new(stage.drive.store.ledgers().await.unwrap(), vec![owner(ADDRESS, 1, 7)]);
        let mut again = Stage::with(long, memory);
        again.join(1, 1, ADDRESS, None);
        let limits = again.drive.scheduler.rules(W).own.clone();
        used.push(again.drive.scheduler.seat(W, EgressId(0)).map_or(0, |l| l.used(&limits, 1, again.now)));
    }
    assert!(used.iter().all(|used| *used >= 100), "{used:?}");
}

/// A report about an attempt of an earlier start is taken from anybody, about any egress.
#[tokio::test]
async fn no_agent_closes_the_egress_of_another() {
    let mut stage = Stage::new(Memory::default());
    let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
    credit(&mut stage, 1, 1);
    let _b = stage.join(2, 2, "198.51.100.2", None);
    let forged = Report { ready_in_ms: Some(u64::MAX), ..report(Attempt(77, 1, 1, 77), CallEnd::Withdrawn) };
    stage.drive.take(
        Message::Results {
            agent: AgentId(2),
            results: vec![Judged { report: forged, verdict: None, answer: None, onward: None, left: None }],
            room: None,
        },
        stage.now,
    );
    stage.submit(1..=3);
    stage.turn();
    assert_eq!(granted(&mut frames).len(), 3, "agent 2 closed the egress of agent 1 for 7 days");
}

#[tokio::test]
async fn what_is_left_holds_from_the_answer_and_not_from_its_arrival() {
    let mut stage = Stage::new(Memory::default());
    let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
    credit(&mut stage, 1, 1);
    stage.submit(1..=1);
    stage.turn();
    let attempt = granted(&mut frames)[0].attempt;
    // Answered an hour ago: nothing left for an hour. The link was down meanwhile.
    stage.now = stage.now + Duration::from_secs(3_600);
    let late = Report { since_ms: 3_600_000, ..report(attempt, CallEnd::TooLong) };
    let left = Some((0, Duration::from_secs(3_600)));
    stage.drive.take(
        Message::Results {
            agent: AgentId(1),
            results: vec![Judged { report: late, verdict: None, answer: None, onward: None, left }],
            room: None,
        },
        stage.now,
    );
    let ready = stage.drive.scheduler.outlook(W, EgressId(0), stage.now).0;
    assert_eq!(ready, Ready::Now, "from {:?}", stage.now);
}

/// Promise 6: what closes the egress shows nowhere.
#[tokio::test]
async fn what_the_service_says_is_left_is_shown() {
    let mut stage = Stage::new(Memory::default());
    let _f = stage.join(1, 1, ADDRESS, None);
    stage
        .drive
        .scheduler
        .handle(Event::Left { service: W, egress: EgressId(0), calls: 0, reset: Duration::MAX }, stage.now);
    let view = stage.drive.quota(W, None, false, stage.now);
    let b = &view.budgets[0];
    assert!(b.cooling_until.is_some() || b.held_by.is_some() || b.remaining == 0, "{b:?}");
}

fn refused(attempt: Attempt, egress: &str) -> Judged {
    let report = Report { egress: egress.to_owned(), ..report(attempt, CallEnd::Answered) };
    Judged {
        report,
        verdict: Some(egret_lookup::Verdict::Refused { wait: Some(Duration::from_secs(86_400)) }),
        answer: None,
        onward: None,
        left: None,
    }
}

#[tokio::test]
async fn the_rest_of_a_network_outlives_a_restart() {
    let mut stage = Stage::new(Memory::default());
    for (n, address) in [(1, "198.51.100.1"), (2, "198.51.100.2")] {
        let (_, mut frames) = stage.join(n, n, address, None);
        credit(&mut stage, n, n);
        stage.submit(n..=n);
        stage.turn();
        let attempt = granted(&mut frames)[0].attempt;
        stage.drive.cancel(JobId(n), stage.now);
        stage.drive.take(
            Message::Results { agent: AgentId(n), results: vec![refused(attempt, address)], room: None },
            stage.now,
        );
    }
    let (_, mut third) = stage.join(3, 3, "198.51.100.3", None);
    credit(&mut stage, 3, 3);
    stage.submit(7..=9);
    stage.turn();
    assert_eq!(granted(&mut third).len(), 0, "the /24 rests for a day");
    stage.drive.stopping = true;
    stage.drive.checkpoint(stage.now).await.unwrap().await.unwrap();
    let owners = (1..=3).map(|n| owner(&format!("198.51.100.{n}"), n, n)).collect();
    let mut again = Stage::with(SERVICE, Memory::new(stage.drive.store.ledgers().await.unwrap(), owners));
    let _a = again.join(1, 1, "198.51.100.1", Some(1));
    let (_, mut third) = again.join(3, 3, "198.51.100.3", Some(3));
    credit(&mut again, 3, 3);
    again.submit(7..=9);
    again.turn();
    assert_eq!(granted(&mut third).len(), 0, "an orderly stop forgets that the /24 rests");
}

#[tokio::test]
async fn a_quota_tightened_after_a_crash_does_not_shrink_what_was_lost() {
    let text = |units: u32| {
        format!(
            "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
        quotas = [{{ units = {units}, per = \"1s\" }}, {{ units = 500, per = \"1d\" }}]\n"
        )
    };
    let wall = wall_ms();
    let log = |units, span_us| LogState { units, span_us, groups: vec![] };
    let row = row(ADDRESS, vec![log(100, 1_002_001), log(500, 86_487_401_000)], wall, 8_000);
    let mut used = Vec::new();
    for units in [100, 1] {
        let memory = Memory::new(
            vec![row.clone(), memory::stamp(ADDRESS, wall - 8_000, false)],
            vec![owner(ADDRESS, 1, 7)],
        );
        let mut stage = Stage::with(&text(units), memory);
        stage.join(1, 1, ADDRESS, None);
        let limits = stage.drive.scheduler.rules(W).own.clone();
        used.push(stage.drive.scheduler.seat(W, EgressId(0)).map_or(0, |l| l.used(&limits, 1, stage.now)));
    }
    assert_eq!(used[0], used[1], "the 8 s before the crash ran under 100 per 1s, whatever the file says now");
}

/// One row that cannot be read, of a service that is gone, at every start.
#[tokio::test]
async fn a_ledger_that_cannot_be_read_concerns_its_own_service() {
    let wall = wall_ms();
    let state = b"{\"charges\":[]}".to_vec();
    let bad = LedgerRow { service: "gone".to_owned(), state, ..row(ADDRESS, vec![], wall, 1_000) };
    let mut rows = vec![bad, memory::stamp(ADDRESS, wall - 1_000, true)];
    let mut used = Vec::new();
    for _ in 0..2 {
        let mut stage = Stage::with(SERVICE, Memory::new(rows.clone(), vec![owner(ADDRESS, 1, 7)]));
        stage.drive.store.save_ledgers(rows.clone()).await.unwrap().await.unwrap();
        let (welcomed, _f) = stage.join(1, 1, ADDRESS, None);
        used.push(stage.used());
        durable(&stage, &welcomed).await;
        stage.drive.stopping = true;
        stage.drive.checkpoint(stage.now).await.unwrap().await.unwrap();
        rows = stage.drive.store.ledgers().await.unwrap();
        rows.retain(|row| row.service != "w"); // a day later nothing of it is live
    }
    assert_eq!(used, [0, 0], "nothing of this service was lost");
}

#[tokio::test]
async fn a_hostile_hello_is_survived() {
    let mut stage = Stage::new(Memory::default());
    let log = LogState { units: 10, span_us: 86_487_401_000, groups: vec![(0, u32::MAX)] };
    let _f = stage.join_with(1, 1, (ADDRESS, None), vec![counted(log)]);
}

fn counted(log: LogState) -> LedgerEntry {
    let state = LedgerState { logs: vec![log], in_flight: 0, rest: None, left: None, sent: None };
    LedgerEntry { egress: ADDRESS.to_owned(), service: "w".to_owned(), state }
}

/// Its address may have changed into this one a while before anybody noticed.
#[tokio::test]
async fn what_an_agent_has_counted_elsewhere_is_joined_for_an_egress_that_is_known() {
    let mut stage = Stage::new(Memory::default());
    let (welcomed, _f) = stage.join(1, 1, ADDRESS, None);
    assert_eq!((welcomed.egresses.len(), stage.used()), (1, 0));
    stage.drive.leave(AgentId(1), 1, stage.now);
    let window = stage.drive.scheduler.rules(W).own.windows[0];
    let span_us = u64::try_from(window.span().as_micros()).unwrap();
    let log = LogState { units: window.units, span_us, groups: vec![(1_000, 3)] };
    let _f = stage.join_with(2, 2, (ADDRESS, None), vec![counted(log)]);
    assert_eq!(stage.used(), 3);
}

#[tokio::test]
async fn a_batch_that_is_given_up_while_its_jobs_are_on_their_way_ends_with_them() {
    let mut stage = Stage::new(Memory::default());
    stage.drive.order_batch(BatchId(5), BatchOrder::Cancel, stage.now);
    let deadline = stage.now + Duration::from_secs(3_600);
    let job = Job::new(JobId(1), line(Some(BatchId(5))), W, deadline, b"q\r\n".to_vec());
    let batch = Some((BatchId(5), Progress::new(1, [0; 4], stage.now)));
    stage.drive.take(Message::Submit { jobs: vec![job], batch }, stage.now);
    assert_eq!(stage.drive.ending.get(&JobId(1)).map(|outcome| outcome.state), Some(EndState::Cancelled));
}

const SUBNET: &str = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
    quotas = [{ units = 5, per = \"1s\" }, { units = 10, per = \"1d\" }, { units = 20, per = \"1d\", scope = \"subnet\" }]\n";

/// Used of the day's units, of an address or a network.
fn used_of(stage: &Stage, key: &str) -> Option<u32> {
    let view = stage.drive.quota(W, None, true, stage.now);
    view.budgets.into_iter().rfind(|budget| budget.key == key).map(|budget| budget.used)
}

/// The agent has had another address for up to a minute when it says so, started anew or not.
#[tokio::test]
async fn what_an_agent_has_spent_lately_counts_for_its_new_address_and_that_one_s_network() {
    let mut stage = Stage::with(SUBNET, Memory::default());
    let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
    credit(&mut stage, 1, 1);
    stage.submit(1..=3);
    stage.turn();
    let early = granted(&mut frames);
    early.iter().for_each(|grant| tell(&mut stage, grant.attempt, Some("found"), Duration::ZERO));
    stage.now = stage.now + Duration::from_secs(120);
    stage.submit(4..=7);
    stage.turn();
    let late = granted(&mut frames);
    late[..3].iter().for_each(|grant| tell(&mut stage, grant.attempt, Some("found"), Duration::ZERO));
    assert_eq!((early.len(), late.len()), (3, 4));

    let (welcomed, _frames) = stage.join(1, 2, "203.0.113.9", None);
    assert_eq!(welcomed.ledgers.len(), 1, "the agent is told");
    assert_eq!(
        used_of(&stage, "203.0.113.9"),
        Some(4),
        "three and one under way, not what left two minutes ago"
    );
    assert_eq!(used_of(&stage, "203.0.113.0/24"), Some(4));
    assert_eq!(used_of(&stage, "198.51.100.0/24"), Some(7));
    // In the same session nothing is new, so nothing counts twice.
    let (_, mut frames) = stage.join(1, 3, "203.0.113.9", None);
    assert_eq!(used_of(&stage, "203.0.113.0/24"), Some(4));
    // Back again: what left meanwhile may have left from there.
    credit(&mut stage, 1, 3);
    stage.now = stage.now + Duration::from_secs(2);
    stage.submit(8..=8);
    stage.turn();
    assert_eq!(granted(&mut frames).len(), 1);
    stage.join(1, 4, ADDRESS, None);
    assert!(used_of(&stage, "198.51.100.0/24") >= Some(8));
    assert!(used_of(&stage, ADDRESS) >= Some(8));
    // Whoever else comes inherits nothing.
    stage.join(2, 1, "192.0.2.1", None);
    assert_eq!(used_of(&stage, "192.0.2.0/24").unwrap_or(0), 0);
}
