//! Windows of a minute, an hour and a day, in virtual time.

use std::time::Duration;

use egret_tests::rule::{COUNTINGS, Rule, SECOND};
use egret_tests::simulated::Fleet;

pub(crate) fn table() {
    println!(
        "\n| 16 egresses, virtual time | counting | way each | windows | bound | sent | refused | of the bound |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let rules: [&[(u32, u64)]; 3] = [&[(60, 60)], &[(300, 3_600)], &[(1_000, 86_400), (1, 1)]];
    for quotas in rules {
        for counting in COUNTINGS {
            let rule = Rule::new(counting, quotas);
            let ms = Duration::from_millis;
            let fleet = Fleet {
                terms: rule.terms(),
                limits: rule.limits(),
                egresses: 16,
                link: ms(5),
                way: ms(20)..=ms(220),
                lasts: rule.longest().mul_f64(3.5) + SECOND,
                seed: 1,
            };
            let outcome = fleet.run();
            println!(
                "| {} | {} | 20 to 220 ms | 3.5 | {} | {} | {} | {:.1} % |",
                rule.words(),
                rule.counting(),
                outcome.bound,
                outcome.sent,
                outcome.refused,
                outcome.utilisation() * 100.0
            );
        }
    }
}
