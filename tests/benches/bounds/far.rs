//! What a distant coordinator costs.

use std::time::Duration;

use egret_core::quota::Counting;
use egret_tests::rule::Rule;

use crate::cell::{Cell, EGRESSES};

pub(crate) async fn table() {
    println!(
        "\n| {EGRESSES} egresses, 20 s, coordinator further by, each way | quota | bound | sent | refused | of the bound |"
    );
    println!("|---|---|---|---|---|---|");
    for quotas in [&[(1, 1)][..], &[(10, 1)], &[(5, 1), (40, 15)]] {
        for further_ms in [0, 75, 150] {
            let further = Duration::from_millis(further_ms);
            let rule = Rule::new(Counting::Sliding, quotas);
            let figures = Cell { rule: rule.clone(), jitter: Duration::from_millis(20), further }.run().await;
            println!(
                "| {further_ms} ms | {} | {} | {} | {} | {:.1} % |",
                rule.words(),
                figures.bound,
                figures.sent,
                figures.refused,
                figures.utilisation() * 100.0
            );
        }
    }
}
