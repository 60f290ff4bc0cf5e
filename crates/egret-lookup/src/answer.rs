//! An answer's bytes as text, when they are text.
//!
//! The API shows an answer as a string when it is UTF-8, or was made so by the
//! service's charset, and as base64 otherwise. Nothing is guessed: a service
//! left at [`Charset::Auto`] has text only where it sends UTF-8.

use std::borrow::Cow;

use encoding_rs::UTF_8;

use crate::Charset;

/// What an answer's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw<'a> {
    /// They read as text, whole.
    Text {
        /// The text, borrowed when the bytes were UTF-8 already.
        text: Cow<'a, str>,
        /// The encoding it had to be decoded from (standard name); `None` for UTF-8.
        charset: Option<&'static str>,
    },
    /// They do not; keep them byte for byte.
    Bytes,
}

/// Reads an answer as text: UTF-8 as it is, else by the charset the service names.
///
/// A charset that uses only 7 bits (ISO-2022-JP) looks like UTF-8, so there its
/// escape sequences decide. Malformed input is [`Raw::Bytes`], never repaired.
pub fn decode(bytes: &[u8], charset: Charset) -> Raw<'_> {
    if let Charset::Named(named) = charset
        && named != UTF_8
        && (!named.is_ascii_compatible() && bytes.contains(&0x1b) || std::str::from_utf8(bytes).is_err())
    {
        return match named.decode_without_bom_handling_and_without_replacement(bytes) {
            Some(text) => Raw::Text { text, charset: Some(named.name()) },
            None => Raw::Bytes,
        };
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Raw::Text { text: Cow::Borrowed(text), charset: None },
        Err(_) => Raw::Bytes,
    }
}

/// Reads as much as can be read, for judging and never for keeping.
///
/// Unlike [`decode`] this may guess: bytes that nothing explains are read as
/// windows-1252, which every byte fits.
pub(crate) fn read_anyhow(bytes: &[u8], charset: Charset) -> Cow<'_, str> {
    match (std::str::from_utf8(bytes), charset) {
        (Ok(text), Charset::Auto) => Cow::Borrowed(text),
        // A multi-byte character cut by the caller's bound is no reason to guess.
        (Err(error), Charset::Auto) if error.error_len().is_none() => String::from_utf8_lossy(bytes),
        (_, Charset::Auto) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0,
        (_, Charset::Named(named)) => match decode(bytes, charset) {
            Raw::Text { text, .. } => text,
            Raw::Bytes => named.decode_without_bom_handling(bytes).0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], charset: &str, want: Option<(&str, Option<&'static str>)>) {
        let want = match want {
            Some((text, charset)) => Raw::Text { text: text.into(), charset },
            None => Raw::Bytes,
        };
        assert_eq!(decode(bytes, charset.parse().unwrap()), want);
    }

    #[test]
    fn utf8_stays_as_it_is_whatever_the_service_names() {
        check("grün".as_bytes(), "auto", Some(("grün", None)));
        check("grün".as_bytes(), "iso-8859-1", Some(("grün", None)));
        check(b"", "auto", Some(("", None)));
        check(b"", "iso-2022-jp", Some(("", None)));
    }

    #[test]
    fn auto_does_not_guess() {
        check(b"gr\xfcn", "auto", None);
    }

    #[test]
    fn a_named_charset_decodes_and_is_named() {
        check(b"gr\xfcn", "iso-8859-1", Some(("grün", Some("windows-1252"))));
        check(b"\xc8\xd1", "windows-1251", Some(("ИС", Some("windows-1251"))));
        check(b"\x1b$B$\"\x1b(B", "iso-2022-jp", Some(("あ", Some("ISO-2022-JP"))));
    }

    #[test]
    fn malformed_under_the_named_charset_is_kept_as_bytes() {
        check(b"\xa4", "euc-jp", None);
        check(b"\xff\xfe", "utf-8", None);
    }
}
