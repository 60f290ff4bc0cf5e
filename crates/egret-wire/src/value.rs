//! Durations, times and bytes as JSON and configuration write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration such as `"250ms"`, `"30s"`, `"15m"`, `"12h"` or `"1d"`: a whole number and one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A text that is no [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write a whole number and a unit: 250ms, 30s, 15m, 12h, 1d")]
pub struct SpanError(String);

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        let millis = number.parse::<u64>().ok().zip(scale).and_then(|(n, scale)| n.checked_mul(scale));
        millis
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(|| SpanError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let fits = |(_, scale): &&(&str, u64)| millis >= *scale && millis.is_multiple_of(*scale);
        let (unit, scale) = UNITS.iter().find(fits).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", millis / scale)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An instant as RFC 3339 UTC with milliseconds; inside, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{at:.3}")
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.parse::<jiff::Timestamp>();
        at.ok()
            .and_then(|at| u64::try_from(at.as_millisecond()).ok())
            .map(Self)
            .ok_or_else(|| format!("`{}` is not an RFC 3339 time", text.chars().take(40).collect::<String>()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that is shown to nobody but whom it is sent to: formatted for a log it says only that it is there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Bytes that are mostly text: a JSON string when they are UTF-8 that JSON need not escape much, else
/// `{"base64": "…"}`; never more than about twice as long as the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A control character takes six bytes in JSON.
        let controls = self.0.iter().filter(|byte| **byte < 0x20 && !b"\r\n\t".contains(byte)).count();
        if let Ok(text) = std::str::from_utf8(&self.0)
            && controls * 8 <= self.0.len()
        {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or {\"base64\": …}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_vec()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Bytes, E> {
                Ok(Bytes(text.into_bytes()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
                let entry = map.next_entry::<String, String>()?.filter(|(key, _)| key == "base64");
                let Some((_, encoded)) = entry else {
                    return Err(de::Error::custom("expected {\"base64\": …}"));
                };
                STANDARD.decode(encoded).map(Bytes).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_of_any_kind_come_back_whole(bytes: Vec<u8>) {
            let json = serde_json::to_string(&Bytes(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap().0, bytes);
        }

        #[test]
        fn durations_read_back_as_written(ms in 0u64..1_000_000_000_000) {
            let span = Span(Duration::from_millis(ms));
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
    }

    #[test]
    fn durations_are_a_whole_number_and_one_unit() {
        assert_eq!("15m".parse::<Span>().map(|s| s.0), Ok(Duration::from_secs(900)));
        assert_eq!(Span(Duration::from_secs(86_400)).to_string(), "1d");
        for text in ["", "5", "s", "1.5s", "-1s", "1w", "99999999999999999999d", "1 s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_travels_and_is_not_shown() {
        let secret = Secret("sesame".to_owned());
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"sesame\"");
        assert!(!format!("{secret:?}").contains("sesame"));
    }

    #[test]
    fn times_carry_milliseconds_and_a_z() {
        assert_eq!(Time(1_700_000_000_000).to_string(), "2023-11-14T22:13:20.000Z");
        assert_eq!("2023-11-14T23:13:20.007+01:00".parse(), Ok(Time(1_700_000_000_007)));
        assert!("yesterday".parse::<Time>().is_err());
    }
}
