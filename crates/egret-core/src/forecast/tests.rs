//! The forecast against a twin that asks real ledgers call by call, and against itself.

mod mixed;

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::play::Play;
use super::*;
use crate::ledger::Ready;
use crate::quota::{Quota, Terms};

const START: Instant = Instant::from_micros(400 * 86_400 * 1_000_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn own(quotas: &[(u32, u64)]) -> Vec<Quota> {
    quotas.iter().map(|(units, per)| Quota::new(*units, ms(*per))).collect()
}

fn fleet(units: u32, per: u64) -> Quota {
    Quota { scope: Scope::Fleet, ..Quota::new(units, ms(per)) }
}

/// Egresses that were used as `used` says: for each how many calls it made how long ago, and how many are in flight.
fn forecast(terms: &Terms, used: &[(u32, u64, u32)]) -> Forecast {
    let rules = terms.rules();
    let mut shared = Ledger::default();
    let fleet = rules.wide.iter().position(|(scope, _)| *scope == Scope::Fleet);
    let mut seats = Vec::new();
    for (calls, ago, flying) in used {
        let mut ledger = Ledger::default();
        let mut all = vec![(&mut ledger, &rules.own)];
        all.extend(fleet.map(|rule| (&mut shared, &rules.wide[rule].1)));
        for (ledger, limits) in all {
            let at = START.before(ms(*ago));
            for _ in 0..*calls {
                if ledger.ready(limits, at) == Ready::Now {
                    ledger.reserve(limits, at);
                    ledger.charge(limits, at);
                }
            }
            for _ in 0..*flying {
                if ledger.ready(limits, START) == Ready::Now {
                    ledger.reserve(limits, START);
                }
            }
        }
        seats.push(ledger);
    }
    let mut forecast = Forecast::new(rules, ms(120), START);
    if let Some(rule) = fleet {
        forecast.put_shared(rule, ScopeKey::Fleet, shared);
    }
    for (index, ledger) in (0u32..).zip(seats) {
        let address = Ipv4Addr::from(0x0a00_0000 + index * 65_536).into();
        forecast.put_egress(ledger, address, &[], ms(10));
    }
    forecast
}

/// The same without a plan: everybody is asked again and again, and time goes on when nobody may send.
fn twin(forecast: &Forecast, calls: usize) -> Vec<Instant> {
    let mut forecast = forecast.clone();
    let mut ends: Vec<(Instant, Option<usize>, Option<usize>)> = Vec::new();
    let (takes, mut now) = (forecast.takes, forecast.now);
    for (index, seat) in forecast.seats.iter().enumerate() {
        ends.extend((0..seat.ledger.in_flight()).map(|_| (now + takes, Some(index), None)));
    }
    for (index, shared) in forecast.shared.iter().enumerate() {
        ends.extend((0..shared.ledger.in_flight()).map(|_| (now + takes, None, Some(index))));
    }
    let mut turn: Vec<usize> = (0..forecast.seats.len()).collect();
    let mut sent = Vec::new();
    while sent.len() < calls {
        ends.sort_by_key(|end| end.0);
        while ends.first().is_some_and(|end| end.0 <= now) {
            let (at, seat, shared) = ends.remove(0);
            if let Some(seat) = seat {
                forecast.seats[seat].ledger.charge(&forecast.rules.own, at);
            }
            if let Some(shared) = shared {
                let shared = &mut forecast.shared[shared];
                shared.ledger.charge(&forecast.rules.wide[shared.rule].1, at);
            }
        }
        let outlook = |seat: &usize| {
            let seat = &forecast.seats[*seat];
            let shares = seat.shares.iter().map(|shared| &forecast.shared[*shared]);
            let ready = shares.map(|shared| shared.ledger.ready(&forecast.rules.wide[shared.rule].1, now));
            ready.fold(seat.ledger.ready(&forecast.rules.own, now), Ready::and)
        };
        if let Some(place) = turn.iter().position(|seat| outlook(seat) == Ready::Now) {
            let seat = turn.remove(place);
            turn.push(seat);
            sent.push(now);
            let Seat { ledger, shares, way } = &mut forecast.seats[seat];
            ledger.reserve(&forecast.rules.own, now);
            ends.push((now + takes, Some(seat), None));
            for shared in shares.iter() {
                let state = &mut forecast.shared[*shared];
                state.ledger.reserve(&forecast.rules.wide[state.rule].1, now);
                ends.push((now + takes + *way, None, Some(*shared)));
            }
            continue;
        }
        let later = |seat: &usize| if let Ready::At(at) = outlook(seat) { Some(at) } else { None };
        let next = turn.iter().filter_map(later).chain(ends.first().map(|end| end.0)).min();
        match next {
            Some(next) => now = next,
            None => break,
        }
    }
    sent
}

/// The number of cases: from the environment, else few.
fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 40 };
    ProptestConfig { cases, ..config }
}

fn quotas() -> impl Strategy<Value = Vec<(u32, u64)>> {
    prop::collection::vec((1..40u32, 200..30_000u64), 1..4)
}

fn used() -> impl Strategy<Value = Vec<(u32, u64, u32)>> {
    prop::collection::vec((0..20u32, 0..20_000u64, 0..3u32), 1..6)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn call_by_call_it_is_what_the_ledgers_say(
        quotas in quotas(),
        shared in prop::option::of((1..60u32, 200..30_000u64)),
        concurrency in prop::option::of(1..4u32),
        used in used(),
    ) {
        let longest = ms(quotas.iter().map(|quota| quota.1).max().unwrap() + 1_500);
        let quotas = own(&quotas).into_iter().chain(shared.map(|(units, per)| fleet(units, per))).collect();
        let forecast = forecast(&Terms { concurrency, ..Terms::sliding(quotas) }, &used);
        let calls = 300;
        let drain = forecast.drain(calls);
        let expected = twin(&forecast, calls as usize);
        let found: Vec<Instant> = (1..=calls).filter_map(|nth| drain.sent_at(nth)).collect();
        if shared.is_none() {
            prop_assert_eq!(found, expected);
        } else {
            // Which egress a shared unit goes to is a matter of turns; a window later that makes no difference.
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!(found.since(START).abs_diff(expected.since(START)) <= longest);
            }
        }
    }

    #[test]
    fn later_calls_never_leave_earlier_however_many_there_are(
        quotas in quotas(),
        used in used(),
        calls in 1..4_000_000u64,
    ) {
        let drain = forecast(&Terms::sliding(own(&quotas)), &used).drain(calls);
        let times: Vec<Option<Instant>> = (1..=200).map(|part| drain.sent_at(calls * part / 200)).collect();
        prop_assert!(times.iter().all(Option::is_some));
        prop_assert!(times.is_sorted());
    }

    #[test]
    fn more_egresses_are_never_later(
        quotas in prop::collection::vec((1..31u32, 200..30_000u64), 1..4),
        shared in prop::option::of((1..31u32, 200..30_000u64)),
        used in used(),
        more in 1..4usize,
    ) {
        let quotas = own(&quotas).into_iter().chain(shared.map(|(units, per)| fleet(units, per))).collect();
        let forecast = forecast(&Terms::sliding(quotas), &used);
        let (few, many) = (forecast.drain(300), forecast.with_more(more).drain(300));
        for nth in 1..=300 {
            prop_assert!(many.sent_at(nth) <= few.sent_at(nth), "call {}", nth);
        }
    }

    #[test]
    fn packets_come_close_to_single_calls(
        quotas in prop::collection::vec((1..200u32, 200..30_000u64), 1..4),
        used in used(),
        of in 2..20u32,
    ) {
        let longest = ms(quotas.iter().map(|quota| quota.1).max().unwrap());
        let forecast = forecast(&Terms::sliding(own(&quotas)), &used);
        let calls = 8_000;
        let single = Play::new(&forecast, 1).run(calls);
        let packets = Play::new(&forecast, of).run(calls.div_ceil(u64::from(of)));
        let (a, b) = (single.last().unwrap().since(START), packets.last().unwrap().since(START));
        let off = a.abs_diff(b);
        prop_assert!(off <= a / 20 + longest + ms(500), "{a:?} call by call, {b:?} in packets");
    }
}

#[test]
fn a_burst_leaves_at_once_and_the_rest_comes_by_windows() {
    let drain = forecast(&Terms::sliding(own(&[(5, 1_000)])), &[(0, 0, 0), (0, 0, 0)]).drain(40);
    let sent = |nth| drain.sent_at(nth).unwrap().since(START);
    assert_eq!((sent(1), sent(10)), (Duration::ZERO, Duration::ZERO));
    // 1 s, its guard and margin, and the time of the answer.
    let millis = [11, 20, 40].map(|nth| sent(nth).as_millis());
    assert_eq!(millis, [1_122, 1_122, 3_366]);
    assert_eq!(drain.answered_at(40).unwrap().since(START).as_millis(), 3_486);
}

#[test]
fn rests_hold_calls_back_and_one_tries_first() {
    let terms = Terms::sliding(own(&[(5, 1_000)]));
    let mut forecast = forecast(&terms, &[]);
    let mut ledger = Ledger::default();
    ledger.rest_until(START + ms(30_000), 1, START);
    forecast.put_egress(ledger, Ipv4Addr::LOCALHOST.into(), &[], Duration::ZERO);
    let drain = forecast.drain(3);
    let sent = |nth| drain.sent_at(nth).unwrap().since(START);
    assert_eq!((sent(1), sent(2), sent(3)), (ms(30_000), ms(30_120), ms(30_120)));
}

#[test]
fn nobody_up_and_quotas_of_nothing_have_no_end() {
    let nobody = forecast(&Terms::sliding(own(&[(5, 1_000)])), &[]);
    assert_eq!(nobody.drain(1).sent_at(1), None);
    let closed = Terms { cost: 9, ..Terms::sliding(own(&[(5, 1_000)])) };
    assert_eq!(forecast(&closed, &[(0, 0, 0)]).drain(1_000_000).sent_at(1_000_000), None);
    let slow = forecast(&Terms::sliding(own(&[(1, 366 * 86_400_000)])), &[(0, 0, 0)]).drain(4_000_000);
    assert_eq!((slow.sent_at(1), slow.sent_at(4_000_000)), (Some(START), None), "centuries are not told");
}

#[test]
fn the_bottleneck_depends_on_how_many_calls_there_are() {
    let quotas = own(&[(5, 1_000), (100, 3_600_000)]).into_iter().chain([fleet(1_000, 86_400_000)]).collect();
    let forecast = forecast(&Terms::sliding(quotas), &[(0, 0, 0); 4]);
    assert_eq!(forecast.bottleneck(20), None, "a burst");
    assert_eq!(forecast.bottleneck(300), Some(Bottleneck::Own(0)));
    assert_eq!(forecast.bottleneck(900), Some(Bottleneck::Own(1)));
    let fleet_rule = forecast.rules.wide.iter().position(|(scope, _)| *scope == Scope::Fleet).unwrap();
    assert_eq!(forecast.bottleneck(9_000), Some(Bottleneck::Wide(fleet_rule, 0)));
}

#[test]
fn four_million_calls_cost_no_more_than_a_few_ten_thousand() {
    let quotas = own(&[(10, 1_000), (2_000, 3_600_000), (20_000, 86_400_000)]);
    let drain = forecast(&Terms::sliding(quotas), &[(7, 300, 1); 8]).drain(4_000_000);
    assert!(drain.calls.len() + drain.packets.len() <= 20_000);
    // 160,000 a day, inflated by one part in a thousand.
    let days = drain.sent_at(4_000_000).unwrap().since(START).as_secs_f64() / 86_400.0;
    assert!((23.9..25.2).contains(&days), "{days} days");
}
