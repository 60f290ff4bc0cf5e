use super::*;

const SECOND: Duration = Duration::from_secs(1);

impl Terms {
    /// What tests begin with: sliding windows, and times that suit them.
    pub(crate) fn sliding(quotas: Vec<Quota>) -> Self {
        Self {
            quotas,
            counting: Counting::Sliding,
            cost: 1,
            concurrency: None,
            cool_down: 60 * SECOND,
            max_cool_down: 3_600 * SECOND,
            timeout: 5 * SECOND,
            linger: 2 * SECOND,
        }
    }
}

fn terms(quotas: Vec<Quota>, counting: Counting) -> Terms {
    Terms { counting, ..Terms::sliding(quotas) }
}

fn limits(units: u32, per_secs: u64, burst: Option<u32>, counting: Counting) -> Limits {
    let quota = Quota { burst, ..Quota::new(units, Duration::from_secs(per_secs)) };
    terms(vec![quota], counting).limits()
}

fn shape(limits: &Limits) -> Vec<(u32, Duration)> {
    limits.windows.iter().map(|window| (window.units, window.span())).collect()
}

#[test]
fn sliding_and_fixed_keep_all_units_over_an_inflated_span() {
    for counting in [Counting::Sliding, Counting::Fixed] {
        let limits = limits(10, 1, None, counting);
        assert_eq!(shape(&limits), [(10, Duration::from_micros(1_002_001))]);
        assert_eq!(limits.spacing, Duration::ZERO);
    }
    assert_eq!(limits(1, 60, None, Counting::Sliding).windows[0].span(), Duration::from_millis(61_061));
}

#[test]
fn a_token_bucket_is_its_burst_over_the_time_that_fills_it() {
    let limits = limits(5, 1, Some(10), Counting::TokenBucket);
    assert_eq!(shape(&limits), [(10, Duration::from_micros(2_003_001))]);
}

#[test]
fn the_careful_countings_give_up_one_unit_and_space_the_rest() {
    for counting in [Counting::TwoBucket, Counting::Unknown] {
        let careful = limits(5, 1, None, counting);
        assert_eq!(careful.windows[0].units, 4);
        assert_eq!(careful.spacing, Duration::from_nanos(250_500_250));
        assert!(limits(1, 1, None, counting).windows[0].span() > Duration::from_secs(2));
    }
}

#[test]
fn without_quotas_the_careful_default_holds() {
    let mut terms = terms(Vec::new(), Counting::Unknown);
    assert_eq!((terms.limits().windows[0].units, terms.limits().concurrency), (1, Some(1)));
    terms.quotas = vec![CAREFUL];
    assert_eq!(terms.limits().concurrency, None);
}

#[test]
fn a_share_leaves_the_rest_to_others_and_a_cost_buys_fewer_calls() {
    let half = Quota { share: 500, ..Quota::new(11, SECOND) };
    assert_eq!(
        (half.usable(), terms(vec![half.clone()], Counting::Sliding).limits().windows[0].units),
        (5, 5)
    );
    let costly = Terms { cost: 2, ..terms(vec![half], Counting::Sliding) };
    assert_eq!(costly.limits().windows[0].units, 2);
    // A bucket of 10 that gains 5 a second holds 3 calls at 3 units each, and gains one of them in 0.6 s.
    let bucket = Quota { burst: Some(10), ..Quota::new(5, SECOND) };
    let costly = Terms { cost: 3, ..terms(vec![bucket], Counting::TokenBucket) };
    assert_eq!(shape(&costly.limits()), [(3, inflate(Duration::from_millis(1_800)))]);
}

#[test]
fn an_egress_keeps_its_own_quotas_and_the_shared_ones_apart() {
    let subnet = Scope::Subnet { ipv4_prefix: 24, ipv6_prefix: 64 };
    let quotas = vec![
        Quota::new(5, SECOND),
        Quota { scope: Scope::Fleet, ..Quota::new(50, SECOND) },
        Quota { scope: subnet.clone(), ..Quota::new(20, SECOND) },
        Quota { scope: Scope::Fleet, ..Quota::new(900, 60 * SECOND) },
    ];
    let terms = Terms { concurrency: Some(2), ..terms(quotas, Counting::Sliding) };
    assert_eq!((terms.limits(), terms.ceiling_in_calls().map(|q| q.units)), (terms.rules().own, Some(5)));
    let rules = terms.rules();
    assert_eq!((shape(&rules.own).len(), rules.own.concurrency), (1, Some(2)));
    let wide: Vec<_> = rules.wide.iter().map(|(scope, limits)| (scope, limits.windows.len())).collect();
    assert_eq!(wide, [(&subnet, 1), (&Scope::Fleet, 2)]);
    assert!(rules.wide.iter().all(|(_, limits)| limits.concurrency.is_none()));
}

#[test]
fn every_service_has_a_network_that_can_rest() {
    let rules = terms(vec![Quota::new(5, SECOND)], Counting::Sliding).rules();
    assert_eq!(rules.wide.len(), 1);
    assert!(rules.wide[0].1.windows.is_empty());
}

#[test]
fn times_are_kept_as_finely_as_a_span_of_four_million_ticks_allows() {
    let late = 12 * SECOND;
    let window = |units, secs| Window::new(units, Duration::from_secs(secs), late);
    assert_eq!((window(1, 1).shift, window(31, 1).group, window(32, 1).group), (2, 1, 2));
    let year = window(1_000_000, 366 * 86_400);
    assert!((year.span() + late).as_micros() >> year.shift < u128::from(SPAN_TICKS));
    assert_eq!(year.group, 32_259);
}
