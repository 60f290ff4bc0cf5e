//! The character set a service speaks.
//!
//! Whois (RFC 3912) names none, so a service is either left to [`Charset::Auto`],
//! where only UTF-8 counts as text, or given one by label. Labels are those of the
//! WHATWG Encoding Standard, so `iso-8859-1` is an alias of `windows-1252`.

use std::str::FromStr;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

/// How a service's questions are written and its answers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charset {
    /// Questions leave as UTF-8; answers are text when they are UTF-8, else bytes.
    #[default]
    Auto,
    /// Questions leave in this encoding; answers that are not UTF-8 are read by it.
    Named(&'static Encoding),
}

/// The label of a charset names nothing that can be both written and read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` names no usable charset; write \"auto\" or a label such as \"iso-8859-1\" or \"euc-kr\"", .label.escape_debug())]
pub struct CharsetError {
    label: String,
}

impl FromStr for Charset {
    type Err = CharsetError;

    fn from_str(label: &str) -> Result<Charset, CharsetError> {
        if label.trim().eq_ignore_ascii_case("auto") {
            return Ok(Charset::Auto);
        }
        match Encoding::for_label(label.as_bytes()) {
            // UTF-16 has no encoder in the standard, and "replacement" reads nothing.
            Some(named) if ![UTF_16BE, UTF_16LE, REPLACEMENT].contains(&named) => Ok(Charset::Named(named)),
            _ => Err(CharsetError { label: label.chars().take(40).collect() }),
        }
    }
}

impl Charset {
    /// The bytes of one line of text, or `None` if it cannot be said in this charset.
    ///
    /// The line must hold no control character; neither do the bytes. ISO-2022-JP
    /// switches sets by ESC, which is one, so only its ASCII part can be asked.
    pub(crate) fn encode(self, line: &str) -> Option<Vec<u8>> {
        match self {
            Charset::Named(named) if named != UTF_8 && !line.is_ascii() => {
                let (bytes, _, lossy) = named.encode(line);
                (!lossy && named.is_ascii_compatible()).then(|| bytes.into_owned())
            }
            _ => Some(line.as_bytes().to_vec()),
        }
    }

    /// What errors and answers call it: `auto` or the encoding's standard name.
    pub fn name(self) -> &'static str {
        match self {
            Charset::Auto => "auto",
            Charset::Named(named) => named.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn charset(label: &str) -> Charset {
        label.parse().unwrap()
    }

    #[test]
    fn labels_are_case_blind_and_resolve_to_the_standard_name() {
        assert_eq!(charset("AUTO"), Charset::Auto);
        assert_eq!(charset("Latin1").name(), "windows-1252");
        assert_eq!(charset("KOI8-R").name(), "KOI8-R");
    }

    #[test]
    fn what_cannot_be_written_is_no_charset() {
        for label in ["", "utf-16", "utf-16be", "iso-2022-kr", "klingon\n"] {
            let said = label.parse::<Charset>().unwrap_err().to_string();
            assert!(said.contains("auto") && !said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn a_line_is_written_in_the_charset_or_not_at_all() {
        assert_eq!(charset("iso-8859-1").encode("müller"), Some(b"m\xfcller".to_vec()));
        assert_eq!(charset("iso-8859-1").encode("мир"), None);
        assert_eq!(charset("iso-2022-jp").encode("日本"), None, "it would need ESC");
        assert_eq!(charset("iso-2022-jp").encode("example"), Some(b"example".to_vec()));
        assert_eq!(Charset::Auto.encode("ü"), Some("ü".as_bytes().to_vec()));
    }
}
