//! Results as CSV (RFC 4180): a row for each job, for spreadsheets.
//!
//! What a row holds comes from strangers, and spreadsheets take some of it for formulas: a cell that begins like one
//! begins with an apostrophe instead, as OWASP advises ("CSV Injection").

use serde_json::Value;

use crate::api::{AnswerOutcome, JobView};

/// The media type of it.
pub const MEDIA_TYPE: &str = "text/csv; charset=utf-8; header=present";
/// The same where the names of the columns are left out.
pub const MEDIA_TYPE_BARE: &str = "text/csv; charset=utf-8; header=absent";

/// The columns. New ones are added behind the last.
const COLUMNS: [&str; 23] = [
    "id",
    "ref",
    "lookup",
    "target",
    "service",
    "state",
    "outcome",
    "error",
    "detail",
    "cached",
    "created_at",
    "ended_at",
    "answered_at",
    "egress",
    "took_ms",
    "attempts",
    "cursor",
    "registrar",
    "created",
    "updated",
    "expires",
    "status",
    "nameservers",
];

/// The names of the columns, with the line's end.
pub fn header() -> String {
    let mut line = COLUMNS.join(",");
    line.push_str("\r\n");
    line
}

/// A job as a row, with the line's end. Its times are as in JSON, several values of one column are parted by spaces.
pub fn row(job: &JobView) -> String {
    let result = &job.result;
    let last = result.attempts.last();
    let (error, detail) =
        result.error.as_ref().map_or(("", ""), |error| (error.code.as_str(), error.detail.as_str()));
    let record = result.answer.as_ref().and_then(|answer| answer.record.as_ref()).unwrap_or(&Value::Null);
    let cells: [String; COLUMNS.len()] = [
        job.id.clone(),
        job.reference.clone().unwrap_or_default(),
        job.lookup.as_str().to_owned(),
        job.target.clone(),
        last.map_or_else(|| job.service.clone(), |last| last.service.clone()),
        job.state.as_str().to_owned(),
        result.answer.as_ref().map(|answer| outcome(answer.outcome).to_owned()).unwrap_or_default(),
        error.to_owned(),
        detail.to_owned(),
        job.cached.to_string(),
        job.created_at.to_string(),
        job.ended_at.map(|at| at.to_string()).unwrap_or_default(),
        result.answered_at.map(|at| at.to_string()).unwrap_or_default(),
        last.map(|last| last.egress.clone()).unwrap_or_default(),
        last.map(|last| last.took_ms.to_string()).unwrap_or_default(),
        result.attempts.len().to_string(),
        job.cursor.clone().unwrap_or_default(),
        record["registrar"]["name"].as_str().unwrap_or_default().to_owned(),
        event(record, "registration"),
        event(record, "last changed"),
        event(record, "expiration"),
        listed(&record["status"], |status| status.as_str()),
        listed(&record["nameservers"], |host| host["ldhName"].as_str()),
    ];
    let mut line = String::with_capacity(256);
    for (n, cell) in cells.iter().enumerate() {
        if n > 0 {
            line.push(',');
        }
        write(&mut line, cell);
    }
    line.push_str("\r\n");
    line
}

fn outcome(outcome: AnswerOutcome) -> &'static str {
    match outcome {
        AnswerOutcome::Found => "found",
        AnswerOutcome::NotFound => "not_found",
        AnswerOutcome::Reserved => "reserved",
        AnswerOutcome::Invalid => "invalid",
    }
}

fn event(record: &Value, action: &str) -> String {
    let events = record["events"].as_array().map_or(&[][..], Vec::as_slice);
    let event = events.iter().find(|event| event["eventAction"] == action);
    event.and_then(|event| event["eventDate"].as_str()).unwrap_or_default().to_owned()
}

fn listed(list: &Value, of: impl Fn(&Value) -> Option<&str>) -> String {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(of).collect::<Vec<_>>().join(" ")
}

/// Writes one cell: no formula, no control character, and in quotes where it could be taken for more than one.
fn write(line: &mut String, cell: &str) {
    let is_plain = cell.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b));
    if is_plain && !begins_a_formula(cell) {
        return line.push_str(cell);
    }
    line.push('"');
    if begins_a_formula(cell) {
        line.push('\'');
    }
    for c in cell.chars() {
        match c {
            '"' => line.push_str("\"\""),
            // A row stays on its line.
            c if c.is_control() => line.push(' '),
            c => line.push(c),
        }
    }
    line.push('"');
}

/// Whether a spreadsheet might calculate this: also behind blanks, and in the wide forms that some take for the others.
fn begins_a_formula(cell: &str) -> bool {
    const SIGNS: &[char] =
        &['=', '+', '-', '@', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\u{2212}'];
    let begins = |c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}';
    cell.trim_start_matches(begins).starts_with(SIGNS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(target: &str, record: &Value) -> JobView {
        let job = json!({
            "id": "job_1", "batch": null, "lookup": "domain", "target": target, "service": "w", "state": "done",
            "priority": "normal", "created_at": "2026-01-01T00:00:00.000Z", "ended_at": "2026-01-01T00:00:01.000Z",
            "cached": false, "labels": {}, "cursor": "7",
            "answer": {"outcome": "found", "protocol": "whois", "record": record, "raw": "=not in here"},
            "attempts": [{"service": "whois.example", "egress": "192.0.2.1", "agent": "a", "outcome": "answered",
                          "sent_at": "2026-01-01T00:00:00.500Z", "took_ms": 84, "bytes": 9}],
        });
        serde_json::from_value(job).unwrap()
    }

    /// The cells of a row, read as RFC 4180 says.
    fn read(row: &str) -> Vec<String> {
        let (mut cells, mut quoted) = (vec![String::new()], false);
        let mut chars = row.trim_end_matches("\r\n").chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => cells.last_mut().unwrap().extend(chars.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cells.last_mut().unwrap().push(c),
            }
        }
        cells
    }

    #[test]
    fn a_row_has_a_cell_for_each_column_and_ends_with_the_record() {
        let record = json!({
            "registrar": {"name": "Example \"Registrar\", Inc."},
            "events": [{"eventAction": "registration", "eventDate": "2001-02-03T04:05:06Z"},
                       {"eventAction": "expiration", "eventDate": "2031-02-03T04:05:06Z"}],
            "status": ["clientHold", "inactive"],
            "nameservers": [{"ldhName": "a.example.net"}, {"ldhName": "b.example.net"}],
        });
        let row = row(&job("a.example", &record));
        assert_eq!(
            row,
            "job_1,,domain,a.example,whois.example,done,found,,,false,2026-01-01T00:00:00.000Z,\
             2026-01-01T00:00:01.000Z,,192.0.2.1,84,1,7,\"Example \"\"Registrar\"\", Inc.\",\
             2001-02-03T04:05:06Z,,2031-02-03T04:05:06Z,\"clientHold inactive\",\"a.example.net b.example.net\"\r\n"
        );
        assert_eq!(read(&row).len(), read(&header()).len());
    }

    #[test]
    fn no_cell_is_a_formula_and_no_row_has_two_lines() {
        for hostile in [
            "=cmd|'/c calc'!A0",
            "+1",
            "-1+1",
            "@SUM(A1)",
            "\t=1",
            "\r\n=1",
            "  =1",
            "\u{ff1d}1",
            "\u{feff}=1",
            "|x",
        ] {
            let record = json!({"registrar": {"name": hostile}, "status": [hostile]});
            let row = row(&job(hostile, &record));
            assert_eq!(row.find(['\r', '\n']), Some(row.len() - 2), "{row}");
            let cells = read(&row);
            for column in [3, 17, 21] {
                assert!(cells[column].starts_with('\''), "{hostile:?}: {row}");
            }
        }
        let cells = read(&row(&job("a,b\"\n;c", &Value::Null)));
        assert_eq!((cells.len(), &*cells[3]), (COLUMNS.len(), "a,b\" ;c"));
    }
}
