//! What single registries write differently, as data: rows of `habits.tsv`.
//!
//! A row is a zone, a trait and its value. The reader knows the traits; a registry that
//! has one more of them needs a row and no code.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::date::Order;

/// How a registry deviates from the reader's own ways.
#[derive(Debug, Default)]
pub(super) struct Habit {
    /// How it orders a date of two small numbers.
    pub(super) order: Order,
    /// Whether a date in brackets behind the status is that of expiry.
    pub(super) status_expires: bool,
    /// Keys by their letters that mean what another key means: (its key, the usual key).
    pub(super) keys: Vec<(&'static str, &'static str)>,
}

static TABLE: &str = include_str!("habits.tsv");
static NONE: Habit = Habit { order: Order::DayFirst, status_expires: false, keys: Vec::new() };

static HABITS: LazyLock<HashMap<&'static str, Habit>> = LazyLock::new(|| {
    let mut habits: HashMap<&'static str, Habit> = HashMap::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut cells = line.split('\t');
        let (Some(zone), Some(word), Some(value)) = (cells.next(), cells.next(), cells.next()) else {
            continue;
        };
        let habit = habits.entry(zone).or_default();
        match word {
            "dates" => habit.order = if value == "month-first" { Order::MonthFirst } else { Order::DayFirst },
            "status" => habit.status_expires = value == "expires-in-brackets",
            "key" => habit.keys.extend(value.split_once('=')),
            _ => {}
        }
    }
    habits
});

/// The habits of the registry of `name`, by its longest zone in the table.
pub(super) fn of(name: &str) -> &'static Habit {
    let borders = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
    borders.filter_map(|zone| HABITS.get(zone)).next().unwrap_or(&NONE)
}

impl Habit {
    /// The usual key for one of this registry's own.
    pub(super) fn key<'a>(&self, key: &'a str) -> &'a str {
        self.keys.iter().find(|(own, _)| own.eq_ignore_ascii_case(key)).map_or(key, |(_, usual)| usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::whois::words;

    #[test]
    fn every_row_says_something_the_reader_understands() {
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let cells: Vec<&str> = line.split('\t').collect();
            let is_good = match cells[..] {
                [zone, "dates", order] => !zone.is_empty() && ["month-first", "day-first"].contains(&order),
                [zone, "status", "expires-in-brackets"] => !zone.is_empty(),
                [zone, "key", pair] => {
                    !zone.is_empty() && pair.split_once('=').is_some_and(|(_, usual)| words::is_known(usual))
                }
                _ => false,
            };
            assert!(is_good, "{line:?}");
        }
    }
}
