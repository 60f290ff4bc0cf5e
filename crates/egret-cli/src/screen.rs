//! Remote text made harmless for screens: what would act on a terminal is shown, not obeyed.
//!
//! Answers come from strangers. Escape sequences can rename windows and fill clipboards, C1 bytes do the
//! same without ESC, and bidirectional controls make a line read as another one (CVE-2021-42574).

use std::borrow::Cow;

/// Text of several lines: line ends and tabs stay, every other control character becomes visible, as `\u{1b}`.
pub(crate) fn sanitize_terminal(text: &str) -> Cow<'_, str> {
    let text =
        if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    if text.chars().any(|c| acts(c) && !matches!(c, '\n' | '\t')) {
        Cow::Owned(shown(&text, |c| matches!(c, '\n' | '\t')))
    } else {
        text
    }
}

/// Text that has to stay on its line: line ends and tabs become visible too.
pub(crate) fn sanitize_line(text: &str) -> Cow<'_, str> {
    if text.chars().any(acts) { Cow::Owned(shown(text, |_| false)) } else { Cow::Borrowed(text) }
}

/// A JSON document in which nothing acts on a terminal; its meaning stays the same.
///
/// Such characters can only stand in strings, save for the line ends between tokens; those stay.
pub(crate) fn sanitize_json(text: &str) -> Cow<'_, str> {
    let escape = |c: &char| acts(*c) && *c != '\n';
    if !text.chars().any(|c| escape(&c)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 32);
    let mut units = [0; 2];
    for c in text.chars() {
        if escape(&c) {
            safe.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn shown(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len() + 32);
    for c in text.chars() {
        if acts(c) && !keep(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Whether a terminal, or a reader's eye, is led astray: C0, DEL, C1, bidirectional controls, line and
/// paragraph separators, invisible tags.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_instead() {
        for (hostile, harmless) in [
            ("\u{1b}]52;c;cm0gLXJm\u{7}", "\\u{1b}]52;c;cm0gLXJm\\u{7}"),
            ("\u{1b}[2J\u{1b}[31mred", "\\u{1b}[2J\\u{1b}[31mred"),
            ("\u{9b}31m\u{9d}0;title\u{9c}", "\\u{9b}31m\\u{9d}0;title\\u{9c}"),
            ("user\u{202e}gpj.exe\u{2066}", "user\\u{202e}gpj.exe\\u{2066}"),
            ("over\rwritten\u{8}", "over\\u{d}written\\u{8}"),
            ("a\u{7f}b\0c\u{200f}", "a\\u{7f}b\\u{0}c\\u{200f}"),
            ("a\u{e0041}", "a\\u{e0041}"),
        ] {
            assert_eq!(sanitize_terminal(hostile), harmless);
            assert_eq!(sanitize_line(hostile), harmless);
        }
    }

    #[test]
    fn harmless_text_stays_as_it_is() {
        let text = "Domain: zwölf.example\n\tOwner: 株式会社 👩‍👩‍👧\n";
        assert!(matches!(sanitize_terminal(text), Cow::Borrowed(_)));
        assert_eq!(sanitize_terminal("a\r\nb\r\n"), "a\nb\n");
        assert_eq!(sanitize_line("a\tb\n"), "a\\u{9}b\\u{a}");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let hostile = serde_json::json!({"raw": "\u{1b}[2J\u{9b}1m\u{202e}\u{e0041}\u{7f}ö"});
        let text = serde_json::to_string_pretty(&hostile).unwrap();
        let safe = sanitize_json(&text);
        assert!(!safe.chars().any(|c| acts(c) && c != '\n'), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), hostile);
    }
}
