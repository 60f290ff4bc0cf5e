//! What may happen.

use super::*;

#[derive(Clone, Debug)]
pub(super) enum Act {
    Open {
        class: usize,
        tenant: u32,
        selector: usize,
        stored: Vec<u64>,
    },
    Close(usize),
    Enqueue {
        flow: usize,
        is_stored: bool,
        avoid: Option<u32>,
        lasts: Option<u64>,
        wait: Option<u64>,
    },
    Withdraw(usize),
    Finish {
        flight: usize,
        settlement: Settlement,
        avoids: bool,
        wait: Option<u64>,
    },
    Late(usize, Settlement),
    Twice,
    Up {
        egress: u32,
        agent: u64,
        is_tagged: bool,
    },
    Down(u32),
    AgentDown(u64),
    Credit(u64, u32),
    Hold(usize, bool),
    Pause(bool),
    Stop(bool),
    Weigh(u32, u32),
    Deliver(usize),
    Adopt {
        egress: u32,
        job: Option<usize>,
    },
    Spent(u32, u32),
    Forgotten(u32),
    Wait(u32, u64),
    Rest(u32, u64),
    Left(u32, u32, u64),
    Shed,
    Pass(u64),
    /// The shell is busy and wakes up later than it was told to.
    Oversleep(u64),
    /// To an instant at which something may change.
    Leap(usize),
}

fn settlement() -> impl Strategy<Value = Settlement> {
    prop_oneof![
        12 => Just(Settlement::Answered),
        1 => Just(Settlement::Refused { named: None }),
        2 => (0..4_000u64).prop_map(|ms| Settlement::Refused { named: Some(Duration::from_millis(ms)) }),
        4 => Just(Settlement::Unanswered),
        2 => Just(Settlement::Withdrawn),
        1 => Just(Settlement::NotSent),
    ]
}

/// Milliseconds of a back-off, sometimes.
fn wait() -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.2, 1..6_000u64)
}

/// When the steps of a flow expire that the store has already: many at the same instant.
fn stored() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec((0..12u64).prop_map(|n| 1_000 + n * 1_000_000), 0..80)
}

/// What a caller of the API, its jobs and their results do.
fn of_jobs() -> impl Strategy<Value = Act> {
    let lasts = prop::option::weighted(0.2, 0..8_000u64);
    let avoid = prop::option::weighted(0.2, 0..EGRESSES);
    prop_oneof![
        3 => (0..3usize, 0..3u32, 0..7usize, prop::option::of(stored()))
            .prop_map(|(class, tenant, selector, stored)| Act::Open { class, tenant, selector, stored: stored.unwrap_or_default() }),
        1 => any::<usize>().prop_map(Act::Close),
        20 => (any::<usize>(), any::<bool>(), avoid, lasts, wait())
            .prop_map(|(flow, is_stored, avoid, lasts, wait)| Act::Enqueue { flow, is_stored, avoid, lasts, wait }),
        4 => any::<usize>().prop_map(Act::Withdraw),
        16 => (any::<usize>(), settlement(), any::<bool>(), wait())
            .prop_map(|(flight, settlement, avoids, wait)| Act::Finish { flight, settlement, avoids, wait }),
        1 => (any::<usize>(), settlement()).prop_map(|(lost, settlement)| Act::Late(lost, settlement)),
        1 => Just(Act::Twice),
        3 => any::<usize>().prop_map(Act::Deliver),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(flow, is_held)| Act::Hold(flow, is_held)),
        1 => prop_oneof![3 => Just(false), 1 => Just(true)].prop_map(Act::Pause),
        1 => prop_oneof![3 => Just(false), 1 => Just(true)].prop_map(Act::Stop),
        1 => (0..3u32, 0..3u32).prop_map(|(tenant, power)| Act::Weigh(tenant, 1 << power)),
    ]
}

/// What the fleet and its agents do.
fn of_fleet() -> impl Strategy<Value = Act> {
    let egress = 0..EGRESSES;
    prop_oneof![
        6 => (egress.clone(), 0..AGENTS, any::<bool>())
            .prop_map(|(egress, agent, is_tagged)| Act::Up { egress, agent, is_tagged }),
        1 => egress.clone().prop_map(Act::Down),
        1 => (0..AGENTS).prop_map(Act::AgentDown),
        6 => (0..AGENTS, 1..6u32).prop_map(|(agent, grants)| Act::Credit(agent, grants)),
        1 => (egress.clone(), prop::option::of(any::<usize>())).prop_map(|(egress, job)| Act::Adopt { egress, job }),
        1 => (egress.clone(), 0..3u32).prop_map(|(egress, calls)| Act::Spent(egress, calls)),
        1 => (0..3u32).prop_map(Act::Forgotten),
        1 => (egress.clone(), 0..1_500u64).prop_map(|(egress, ms)| Act::Wait(egress, ms)),
        1 => (egress.clone(), 0..3_000u64).prop_map(|(egress, ms)| Act::Rest(egress, ms)),
        1 => (egress, 0..3u32, 0..3_000u64).prop_map(|(egress, calls, ms)| Act::Left(egress, calls, ms)),
        1 => Just(Act::Shed),
    ]
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => of_jobs(),
        2 => of_fleet(),
        1 => prop_oneof![6 => (0..1_500u64).prop_map(Act::Pass), 1 => (5_000..12_000u64).prop_map(Act::Pass)],
        1 => (0..1_500u64).prop_map(Act::Oversleep),
        1 => (0..8usize).prop_map(Act::Leap),
    ]
}
