//! Lists for people: columns without lines, the same on a screen and in a pipe, and figures as people say them.

use std::fmt::Display;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};
use egret_wire::api::QuotaRule;
use egret_wire::value::Time;

use crate::screen::sanitize_line;

/// On a narrower screen, or one that does not know its width, lines are left to wrap (chosen).
const NARROWEST: u16 = 40;

/// Puts rows under their headings; a heading that begins with `>` has its column to the right, as figures want.
pub(crate) fn table(headings: &[&str], rows: Vec<Vec<Cell>>) -> String {
    let mut table = Table::new();
    let names = headings.iter().map(|heading| heading.trim_start_matches('>').to_uppercase());
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        // Colours that nobody wants are taken out on the way to stdout.
        .enforce_styling()
        .set_header(names.map(|name| Cell::new(name).fg(Color::DarkGrey)))
        .add_rows(rows);
    table.style_text_only();
    for (column, heading) in table.column_iter_mut().zip(headings) {
        column.set_padding((0, 2));
        if heading.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if table.width().is_some_and(|width| width < NARROWEST) {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A cell; what it holds may come from anywhere.
pub(crate) fn cell(content: impl Display) -> Cell {
    Cell::new(sanitize_line(&content.to_string()))
}

/// A cell that may be empty.
pub(crate) fn maybe(content: Option<impl Display>) -> Cell {
    content.map_or_else(|| Cell::new("-"), cell)
}

/// A cell in green when things are well, in yellow when they are not.
pub(crate) fn verdict(content: impl Display, is_well: bool) -> Cell {
    cell(content).fg(if is_well { Color::Green } else { Color::Yellow })
}

/// `5 per 1s`, `50 % of 8 per 1s, subnet`.
pub(crate) fn rule(quota: &QuotaRule) -> String {
    let share = quota.share.map(|share| format!("{:.0} % of ", share * 100.0)).unwrap_or_default();
    let burst = quota.burst.map(|burst| format!(", bucket of {burst}")).unwrap_or_default();
    let scope = if quota.scope == "ip" { String::new() } else { format!(", {}", quota.scope) };
    format!("{share}{} per {}{burst}{scope}", quota.units, quota.per)
}

/// `1 job`, `2 jobs`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// How far `at` lies ahead of `now`: `now`, `in 0.4 s`, `in 3 m 20 s`.
pub(crate) fn ahead(at: Time, now: Time) -> String {
    match at.0.saturating_sub(now.0) {
        0 => "now".to_owned(),
        millis => format!("in {}", brief(Duration::from_millis(millis))),
    }
}

/// A length of time in two units at most.
pub(crate) fn brief(length: Duration) -> String {
    let secs = length.as_secs();
    match secs {
        0 if length.subsec_millis() < 100 => format!("{} ms", length.subsec_millis()),
        0..10 => format!("{:.1} s", length.as_secs_f64()),
        10..60 => format!("{secs} s"),
        60..3_600 => format!("{} m {} s", secs / 60, secs % 60),
        3_600..86_400 => format!("{} h {} m", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use egret_wire::value::Span;

    #[test]
    fn columns_line_up_and_hostile_cells_stay_harmless() {
        let rows = vec![vec![cell("a\u{1b}[2Jb"), cell(7)], vec![cell("c"), maybe(None::<u8>)]];
        let text = anstream::adapter::strip_str(&table(&["name", ">left"], rows)).to_string();
        assert_eq!(text, "NAME         LEFT\na\\u{1b}[2Jb     7\nc               -");
    }

    #[test]
    fn lengths_are_told_in_two_units_at_most() {
        for (millis, text) in [
            (41, "41 ms"),
            (430, "0.4 s"),
            (12_900, "12 s"),
            (200_000, "3 m 20 s"),
            (7_500_000, "2 h 5 m"),
            (93_600_000, "1 d 2 h"),
        ] {
            assert_eq!(brief(Duration::from_millis(millis)), text);
        }
        assert_eq!(ahead(Time(1_400), Time(1_000)), "in 0.4 s");
        assert_eq!(ahead(Time(900), Time(1_000)), "now");
    }

    /// A plain rule for each address.
    pub(crate) fn every_second(units: u32) -> QuotaRule {
        let (burst, ipv4_prefix, ipv6_prefix, share) = (None, None, None, None);
        let per = Span(Duration::from_secs(1));
        QuotaRule { units, per, burst, scope: "ip".to_owned(), ipv4_prefix, ipv6_prefix, share }
    }

    #[test]
    fn quotas_read_as_they_are_spoken() {
        let mut quota = every_second(5);
        assert_eq!(rule(&quota), "5 per 1s");
        quota.burst = Some(10);
        assert_eq!(rule(&quota), "5 per 1s, bucket of 10");
        quota = QuotaRule { scope: "subnet".to_owned(), share: Some(0.5), ..every_second(8) };
        assert_eq!(rule(&quota), "50 % of 8 per 1s, subnet");
        assert_eq!((counted(1, "job"), counted(0, "job")), ("1 job".to_owned(), "0 jobs".to_owned()));
    }
}
