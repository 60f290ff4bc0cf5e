//! The whole scheduler against a twin that is written from what it promises: lists, looked through at every instant.
//!
//! Whatever happens: no quota is over as the remote counts it; whoever is handed a step is the one whose turn it is; and
//! after a turn nothing waits that could leave, but for what these name:
//!
//! - steps that are in the store alone, or came while it was being read: they wait for the reading;
//! - steps that avoid the only egress that is free, while another one with credit may take them: for `GRUDGE`;
//! - steps of a flow that is held, of a paused or stopped service, and of one that is down but for one trial at a time.
//!
//! Leads are left out (nobody says how long a call was at its agent), and quotas above 31 units, whose logs are not exact.

mod acts;
mod budgets;
mod checks;
mod fleet;
mod lines;
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::*;
use crate::scope::ScopeKey;
use budgets::{Budgets, LINGER, Of, TIMEOUT, Verdict};
use lines::{Job, Line, Lines, Where};
use world::World;

/// Where an egress lives, and its tags.
type Home = (IpAddr, Vec<String>);

const GRUDGE: Duration = Duration::from_secs(5);
const EGRESSES: u32 = 5;
const AGENTS: u64 = 3;
/// Far from the clock's origin, as every shell's start.
const START: Instant = Instant::from_micros(400 * 86_400 * 1_000_000);

/// Two networks of two, and one of the other family.
fn address(egress: EgressId) -> IpAddr {
    match egress.0 {
        4 => "2001:db8::".parse().expect("an address"),
        n => std::net::Ipv4Addr::from(0x0a00_0000 + (n / 2) * 256 + n % 2).into(),
    }
}

fn selector(n: usize) -> Selector {
    match n {
        1 => Selector { address: Some(address(EgressId(2))), ..Selector::default() },
        2 => Selector { is_ipv6: Some(false), ..Selector::default() },
        3 => Selector { tags: vec!["eu".to_owned()], ..Selector::default() },
        _ => Selector::default(),
    }
}

fn quotas() -> impl Strategy<Value = Vec<Quota>> {
    let scoped = |scope: Scope, units: std::ops::Range<u32>| {
        (units, prop_oneof![4 => 200..3_000u64, 1 => Just(10_000u64)]).prop_map(move |(units, per)| Quota {
            scope: scope.clone(),
            ..Quota::new(units, Duration::from_millis(per))
        })
    };
    let network = Scope::Subnet { ipv4_prefix: 24, ipv6_prefix: 48 };
    (
        prop::collection::vec(scoped(Scope::Ip, 1..4), 1..3),
        prop::option::of(scoped(network, 1..5)),
        prop::option::of(scoped(Scope::Fleet, 1..7)),
        prop::option::of(scoped(Scope::Tag("eu".into()), 1..3)),
    )
        .prop_map(|(own, network, fleet, tag)| {
            own.into_iter().chain(network).chain(fleet).chain(tag).collect()
        })
}

/// So many cases, unless the environment says otherwise.
fn cases(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { cases };
    ProptestConfig { cases, ..config }
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn the_scheduler_does_what_its_naive_twin_expects_and_loses_nothing(
        quotas in quotas(),
        concurrency in prop::option::weighted(0.3, 1..3u32),
        acts in prop::collection::vec(acts::act(), 1..150),
    ) {
        let mut world = World::new(quotas, concurrency);
        for act in &acts {
            world.act(act);
        }
        world.end();
    }
}
