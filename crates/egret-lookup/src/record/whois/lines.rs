//! An answer's text cut into entries: what stands under which heading, and which object it is of.
//!
//! Whois has no grammar; four habits hold over nearly all servers. A line is `key: value`.
//! A key without a value is a heading for what follows, until a blank line ends it. A line
//! without a key, deeper than the key above it, goes on with that key's value. A blank line
//! between keys begins another object. Comments and prose give no entries.

use super::words;
use crate::page::{split_field, split_mark};

/// How many lines are read (chosen; the longest record among recorded answers has 250).
const LINES_MAX: usize = 5_000;
/// A line longer than this is prose, in bytes (chosen).
const LINE_MAX: usize = 2_000;

/// One statement of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The heading it stands under.
    pub(super) section: Option<&'a str>,
    /// Its key; empty for a bare line under a heading.
    pub(super) key: &'a str,
    /// Its value, which may be empty.
    pub(super) value: &'a str,
    /// The number of the block of lines it stands in.
    pub(super) object: usize,
}

/// The entries of `text`, in order.
pub(super) fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let mut cutter = Cutter::default();
    text.lines().take(LINES_MAX).filter_map(move |line| cutter.line(line))
}

#[derive(Default)]
struct Cutter<'a> {
    /// A heading, its depth, and whether something stood under it already.
    section: Option<(&'a str, usize, bool)>,
    /// The last key and its depth.
    key: Option<(&'a str, usize)>,
    object: usize,
    after_blank: bool,
}

impl<'a> Cutter<'a> {
    fn line(&mut self, line: &'a str) -> Option<Entry<'a>> {
        let (mark, text) = split_mark(line);
        let is_comment = mark.contains(['%', '#', ';', '>', '/']);
        if text.is_empty() || is_comment || line.len() > LINE_MAX {
            if !is_comment {
                self.after_blank = true;
            }
            self.key = None;
            return None;
        }
        let depth = depth_of(line);
        if self.after_blank {
            self.blank_before(depth);
        }
        match split_key(text) {
            Some((key, "")) => self.heading(key, depth),
            Some((key, value)) => Some(self.field(key, value, depth)),
            None if words::is_heading(text) && self.key.is_none_or(|(_, above)| depth <= above) => {
                self.heading(text.trim_end_matches(':'), depth)
            }
            None => self.bare(text, depth),
        }
    }

    /// A blank line ends a heading's part, unless what follows is deeper or nothing stood there yet.
    fn blank_before(&mut self, depth: usize) {
        self.after_blank = false;
        self.object += 1;
        self.key = None;
        if self.section.is_some_and(|(_, above, is_used)| is_used && depth <= above) {
            self.section = None;
        }
    }

    fn heading(&mut self, key: &'a str, depth: usize) -> Option<Entry<'a>> {
        self.key = None;
        // `Fax:` without a value, inside a contact, is no heading of its own.
        if self.section.is_some() && !words::is_heading(key) {
            return None;
        }
        self.section = Some((key, depth, false));
        Some(Entry { section: Some(key), key: "", value: "", object: self.object })
    }

    fn field(&mut self, key: &'a str, value: &'a str, depth: usize) -> Entry<'a> {
        if let Some((section, above, is_used)) = &mut self.section {
            if depth <= *above && words::ends_section(section, key) {
                self.section = None;
            } else {
                *is_used = true;
            }
        }
        self.key = Some((key, depth));
        self.entry(key, value)
    }

    fn bare(&mut self, text: &'a str, depth: usize) -> Option<Entry<'a>> {
        if let Some((key, above)) = self.key
            && depth > above
        {
            return Some(self.entry(key, text));
        }
        self.section.as_mut()?.2 = true;
        Some(self.entry("", text))
    }

    fn entry(&self, key: &'a str, value: &'a str) -> Entry<'a> {
        Entry { section: self.section.map(|(section, ..)| section), key, value, object: self.object }
    }
}

/// How far in a line starts; a tab reaches the next multiple of eight.
fn depth_of(line: &str) -> usize {
    let blank = line.bytes().take_while(|b| matches!(b, b' ' | b'\t'));
    blank.fold(0, |depth, b| if b == b'\t' { (depth / 8 + 1) * 8 } else { depth + 1 })
}

/// Splits a line at the end of its key; hosts, addresses and times with colons are none.
fn split_key(text: &str) -> Option<(&str, &str)> {
    // A time in the value has a colon too, and so the keys that we know are tried first.
    let field = split_field(text).filter(|(key, _)| words::is_known(key));
    let (key, value) = field.or_else(|| split_known(text)).or_else(|| split_field(text))?;
    let is_word = key.chars().any(char::is_alphabetic);
    let is_host = !key.contains(' ') && key.trim_end_matches('.').contains('.') && !words::is_known(key);
    let is_address =
        value.is_empty().then_some(text).is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    let is_time =
        key.starts_with(|c: char| c.is_ascii_digit()) && key.ends_with(|c: char| c.is_ascii_digit());
    (is_word && !is_host && !is_address && !is_time && !key.contains('@')).then_some((key, value))
}

/// Columns without a colon, and `Record created on 2001-02-03`, count where the first part is a key that we know.
fn split_known(text: &str) -> Option<(&str, &str)> {
    let gaps = [": ", "  ", "\t", " on "].iter().filter_map(|gap| text.split_once(gap));
    gaps.map(|(key, value)| (key, value.trim())).find(|(key, _)| !key.ends_with('.') && words::is_known(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[(Option<&str>, &str, &str)]) {
        let got: Vec<_> =
            entries(text).filter(|e| !e.value.is_empty()).map(|e| (e.section, e.key, e.value)).collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn a_key_without_a_value_heads_what_follows_until_a_blank_line() {
        let registrar = Some("Registrar");
        check(
            "Registrar:\n  Name: A\n  Number: 7\n\nStatus: ok",
            &[(registrar, "Name", "A"), (registrar, "Number", "7"), (None, "Status", "ok")],
        );
        check(
            "Name servers:\n\n  a.test\n  b.test\n",
            &[(Some("Name servers"), "", "a.test"), (Some("Name servers"), "", "b.test")],
        );
    }

    #[test]
    fn an_empty_field_of_a_contact_heads_nothing() {
        check(
            "Registrant Name: A\nRegistrant Fax:\nCreation Date: 2001-02-03",
            &[(None, "Registrant Name", "A"), (None, "Creation Date", "2001-02-03")],
        );
    }

    #[test]
    fn a_deeper_line_goes_on_with_the_value_above() {
        check("address:  1 Road\n          Town", &[(None, "address", "1 Road"), (None, "address", "Town")]);
    }

    #[test]
    fn comments_prose_hosts_addresses_and_times_are_no_fields() {
        check("% a: b\n# c: d\nBy using this you agree.\n", &[]);
        check(
            "Name servers:\n  a.test: 192.0.2.1\n  2001:db8::1\nRecord created:\n  10:33:12 today",
            &[
                (Some("Name servers"), "", "a.test: 192.0.2.1"),
                (Some("Name servers"), "", "2001:db8::1"),
                (Some("Record created"), "", "10:33:12 today"),
            ],
        );
    }

    #[test]
    fn keys_in_brackets_in_columns_and_numbered_are_keys() {
        check(
            "[Domain Name]   A.TEST\na. [Organization]  B\nDomain-name   c.test\n** Registrant:\n  D",
            &[
                (None, "Domain Name", "A.TEST"),
                (None, "Organization", "B"),
                (None, "Domain-name", "c.test"),
                (Some("Registrant"), "", "D"),
            ],
        );
    }
}
