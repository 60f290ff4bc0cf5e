//! An answer's bytes as text, when they are text.
//!
//! The API shows an answer as a string when it is UTF-8, or was made so by the
//! service's charset, and as base64 otherwise. Nothing is guessed: a service
//! left at [`Charset::Auto`] has text only where it sends UTF-8.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::UTF_8;

use crate::Charset;

/// How many bytes of an answer are weighed for a guess at its charset (chosen: a record is shorter).
const GUESSED_MAX: usize = 64 * 1024;

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

/// Reads bytes that are no UTF-8 by the charset that they look like, where `asked` is from weighing in.
///
/// A guess, and for making a record only: what was sent is kept as it is. Every byte is read as something.
pub fn guess<'a>(bytes: &'a [u8], asked: &str) -> Cow<'a, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&bytes[..bytes.len().min(GUESSED_MAX)], true);
    let last = asked.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let tld = Some(last.as_bytes()).filter(|last| !last.is_empty() && last.iter().all(|b| is_label(*b)));
    detector.guess(tld, Utf8Detection::Deny).decode_without_bom_handling(bytes).0
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
    fn a_guess_knows_the_charsets_of_where_a_name_is_from() {
        let sentence = "администратор домена: Общество с ограниченной ответственностью Ромашка";
        for (charset, asked) in [("windows-1251", "example.ru"), ("koi8-r", "example.su")] {
            let encoding = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap();
            assert_eq!(guess(&encoding.encode(sentence).0, asked), sentence, "{charset}");
        }
        let korean = "등록인 : 주식회사 예제 도메인 관리자";
        assert_eq!(guess(&encoding_rs::EUC_KR.encode(korean).0, "example.kr"), korean);
        assert_eq!(guess(b"Inhaber: M\xfcller GmbH", "example.de"), "Inhaber: Müller GmbH");
        for asked in ["", ".", "a.", "пример.рф", "EXAMPLE.RU", "10.0.0.1", "AS1"] {
            assert!(!guess(b"M\xfcller", asked).is_empty(), "{asked}");
        }
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
