//! A rule as the remote keeps it and as the configuration states it.

use std::time::Duration;

use egret_core::quota::{Counting, Quota, Terms};
use egret_testkit::Limit;

/// One second.
pub const SECOND: Duration = Duration::from_secs(1);
/// Every way of counting that a remote is known to have.
pub const COUNTINGS: [Counting; 4] =
    [Counting::Fixed, Counting::Sliding, Counting::TokenBucket, Counting::TwoBucket];

/// Units in a span, once or more.
#[derive(Clone, Debug)]
pub struct Rule {
    /// How the remote counts.
    pub counting: Counting,
    /// Units, and the span that they are counted over.
    pub quotas: Vec<(u32, Duration)>,
}

impl Rule {
    /// With spans in seconds.
    pub fn new(counting: Counting, quotas: &[(u32, u64)]) -> Self {
        let quotas = quotas.iter().map(|(units, secs)| (*units, Duration::from_secs(*secs))).collect();
        Self { counting, quotas }
    }

    /// As the coordinator reads it.
    pub fn terms(&self) -> Terms {
        Terms {
            quotas: self.quotas.iter().map(|(units, per)| Quota::new(*units, *per)).collect(),
            counting: self.counting,
            cost: 1,
            concurrency: None,
            cool_down: 60 * SECOND,
            max_cool_down: 3_600 * SECOND,
            timeout: 10 * SECOND,
            linger: 2 * SECOND,
        }
    }

    /// As the remote keeps it.
    pub fn limits(&self) -> Vec<Limit> {
        let limit = |(units, per): &(u32, Duration)| {
            let (units, per) = (*units, *per);
            match self.counting {
                Counting::Fixed => Limit::Fixed { units, per, phase: per.mul_f64(0.37) },
                Counting::Sliding => Limit::Sliding { units, per },
                Counting::TokenBucket => Limit::TokenBucket { burst: units, units, per },
                Counting::TwoBucket | Counting::Unknown => Limit::TwoBucket { units, per },
            }
        };
        self.quotas.iter().map(limit).collect()
    }

    /// The longest span.
    pub fn longest(&self) -> Duration {
        self.quotas.iter().map(|(_, per)| *per).max().unwrap_or_default()
    }

    /// The word for how it counts.
    pub fn counting(&self) -> &'static str {
        match self.counting {
            Counting::Sliding => "sliding",
            Counting::Fixed => "fixed",
            Counting::TokenBucket => "token-bucket",
            Counting::TwoBucket => "two-bucket",
            Counting::Unknown => "unknown",
        }
    }

    /// `5 per 1 s and 40 per 15 s`.
    pub fn words(&self) -> String {
        let words = |(units, per): &(u32, Duration)| match per.as_secs() {
            86_400 => format!("{units} per day"),
            3_600 => format!("{units} per hour"),
            secs => format!("{units} per {secs} s"),
        };
        self.quotas.iter().map(words).collect::<Vec<_>>().join(" and ")
    }

    /// The keys of a service's table.
    pub fn config(&self) -> String {
        let quota =
            |(units, per): &(u32, Duration)| format!("{{ units = {units}, per = \"{}s\" }}", per.as_secs());
        let quotas: Vec<_> = self.quotas.iter().map(quota).collect();
        format!("counting = \"{}\"\nquotas = [{}]", self.counting(), quotas.join(", "))
    }
}
