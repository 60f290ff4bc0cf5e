//! Heads as they are sent, and what they tell.

use proptest::prelude::*;

use super::*;

/// Ten in the morning, and the same as an instant.
const DATE: &str = "date: Wed, 25 Nov 2026 10:00:00 GMT";
const DATE_SECS: u64 = 1_795_600_800;

/// `lines`: `name: value`. `left`: calls and seconds. `wait`: seconds.
#[track_caller]
fn check(lines: &[&str], left: Option<(u32, u64)>, wait: Option<u64>) {
    let field = |line: &&str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    let told = Told::read(&lines.iter().map(field).collect::<Vec<_>>());
    assert_eq!(told.left, left.map(|(units, secs)| (units, Duration::from_secs(secs))), "left of {lines:?}");
    assert_eq!(told.wait, wait.map(Duration::from_secs), "wait of {lines:?}");
}

#[test]
fn the_current_draft_names_what_is_left_and_until_when() {
    check(&["ratelimit: \"default\";r=50;t=30"], Some((50, 30)), Some(30));
    check(&["ratelimit: default; r=50; t=30"], Some((50, 30)), Some(30));
    check(&["ratelimit: \"a,b;r=1;t=1\";r=7;t=9"], Some((7, 9)), Some(9));
    check(&["ratelimit: \"say \\\"r\\\", please\";r=7;t=9;pk=:cHsdsRa894==:"], Some((7, 9)), Some(9));
    check(&["ratelimit: \"default\";r=50"], None, None);
}

#[test]
fn draft_seven_is_a_dictionary() {
    check(&["ratelimit: limit=100, remaining=50, reset=5"], Some((50, 5)), Some(5));
    check(&["ratelimit: limit=100,remaining=0,reset=5", "ratelimit-policy: 100;w=10"], Some((0, 5)), Some(5));
}

#[test]
fn three_fields_are_the_older_form() {
    let fields = |before: &str, reset: &str| {
        [format!("{before}limit: 100"), format!("{before}remaining: 3"), format!("{before}reset: {reset}")]
    };
    for before in ["ratelimit-", "x-ratelimit-", "x-rate-limit-"] {
        let sent = fields(before, "42");
        check(&sent.each_ref().map(String::as_str), Some((3, 42)), Some(42));
    }
}

#[test]
fn fractions_of_a_second_are_kept() {
    let sent = [("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "0.5")];
    let told = Told::read(&sent.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(told.left, Some((3, Duration::from_millis(500))));
}

#[test]
fn a_reset_may_be_an_instant_of_the_remote() {
    let in_secs = format!("x-ratelimit-reset: {}", DATE_SECS + 90);
    let in_millis = format!("x-ratelimit-reset: {}", (DATE_SECS + 90) * 1_000);
    for reset in [in_secs.as_str(), in_millis.as_str()] {
        check(&["x-ratelimit-remaining: 0", reset, DATE], Some((0, 90)), Some(90));
        check(&["x-ratelimit-remaining: 0", reset], None, None);
    }
    let past = format!("x-ratelimit-reset: {}", DATE_SECS - 1);
    check(&["x-ratelimit-remaining: 0", &past, DATE], None, None);
}

#[test]
fn of_several_limits_the_tightest_counts_and_of_equals_the_longest() {
    check(&["ratelimit: \"hour\";r=9;t=3000,\"burst\";r=2;t=5"], Some((2, 5)), Some(5));
    check(&["ratelimit: \"burst\";r=0;t=5,\"day\";r=0;t=600"], Some((0, 600)), Some(600));
    check(&["ratelimit: \"a\";r=4;t=5", "ratelimit: \"b\";r=3;t=6"], Some((3, 6)), Some(6));
    check(
        &["ratelimit: \"a\";r=4;t=5", "x-ratelimit-remaining: 1", "x-ratelimit-reset: 8"],
        Some((1, 8)),
        Some(8),
    );
}

#[test]
fn retry_after_goes_before_everything_else() {
    check(&["retry-after: 120"], None, Some(120));
    check(&["retry-after: Wed, 25 Nov 2026 10:02:00 GMT", DATE], None, Some(120));
    check(&["retry-after: Wednesday, 25-Nov-26 10:02:00 GMT", DATE], None, Some(120));
    check(&["retry-after: 120", "ratelimit: \"a\";r=0;t=30"], Some((0, 30)), Some(120));
    check(&["retry-after: 0", "ratelimit: \"a\";r=0;t=30"], Some((0, 30)), Some(30));
    check(&["retry-after: Wed, 25 Nov 2026 10:02:00 GMT"], None, None);
    check(&["retry-after: Wed, 25 Nov 2026 09:59:00 GMT", DATE], None, Some(0));
    check(&["retry-after: 0", "ratelimit-policy: 10;w=3600"], None, Some(0));
}

#[test]
fn a_refusal_that_names_no_time_may_last_the_longest_window() {
    check(&["ratelimit-policy: \"burst\";q=100;w=60,\"daily\";q=1000;w=86400"], None, Some(86_400));
    check(&["ratelimit-policy: 10;w=1, 100;w=60"], None, Some(60));
    check(&["ratelimit-limit: 10, 10;w=1;burst=1000, 1000;w=3600"], None, Some(3_600));
}

#[test]
fn an_answer_out_of_a_cache_tells_nothing_of_limits() {
    let limits = ["ratelimit: \"a\";r=0;t=30", "ratelimit-policy: \"a\";q=1;w=60"];
    check(&[limits[0], limits[1], "age: 3"], None, None);
    check(&[limits[0], limits[1], "age: 0"], Some((0, 30)), Some(30));
    check(&[limits[0], "age: 3", "retry-after: 9"], None, Some(9));
}

#[test]
fn nobody_makes_us_wait_longer_than_seven_days() {
    const WEEK: u64 = 7 * 86_400;
    check(&["retry-after: 99999999999"], None, Some(WEEK));
    check(&["ratelimit: \"a\";r=99999999999;t=999999999"], Some((u32::MAX, WEEK)), Some(WEEK));
}

#[test]
fn what_makes_no_sense_is_left_out() {
    for line in [
        "ratelimit: ",
        "ratelimit: \"",
        "ratelimit: ;;;,,,=",
        "ratelimit: \"a\";r=-1;t=5",
        "ratelimit: \"a\";r=many;t=soon",
        "retry-after: soon",
        "retry-after: -5",
        "retry-after: 1e3",
        "retry-after: 1.2.3",
        "x-ratelimit-remaining: 5",
        "ratelimit-policy: \"a\";q=5;w=forever",
    ] {
        check(&[line], None, None);
    }
}

#[test]
fn a_list_of_separators_takes_no_memory_and_hides_nothing() {
    // An item is a part of the field and owns nothing.
    assert_eq!(size_of::<Item<'_>>(), size_of::<&str>());
    let noise = ",;".repeat(30_000);
    let line = format!("ratelimit: {noise},\"a\";r=3;t=9,{noise}");
    check(&[&line], Some((3, 9)), Some(9));
}

proptest! {
    #[test]
    fn no_head_is_too_strange_to_be_read(
        headers in proptest::collection::vec((
            proptest::sample::select(&[
                "date", "age", "retry-after", "ratelimit", "ratelimit-policy", "ratelimit-limit",
                "ratelimit-remaining", "x-ratelimit-remaining", "x-ratelimit-reset", "x-rate-limit-reset",
            ][..]),
            prop_oneof![any::<String>(), "[\"a-z0-9;=, .\\\\-]{0,40}", "[0-9]{1,400}", "\"a\";r=[0-9]{1,12};t=[0-9]{1,12}"],
        ), 0..8),
    ) {
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let told = Told::read(&headers);
        let spans = [told.wait, told.left.map(|(_, until)| until)];
        prop_assert!(spans.into_iter().flatten().all(|span| !span.is_zero() && span <= WAIT_MAX));
    }
}
