//! Addresses, networks and AS numbers in their canonical form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::TargetError;
use super::error::Given;

/// Reads an address or a network: host bits cleared, IPv6 as RFC 5952 writes it,
/// a network of one address as that address.
pub(super) fn parse_ip(input: &str) -> Result<String, TargetError> {
    let refuse = || TargetError::NotAnAddress { given: Given::new(input) };
    let (address, prefix) = match input.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (input.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(input), None),
    };
    let address: IpAddr = address.parse().map_err(|_| refuse())?;
    let Some(prefix) = prefix else { return Ok(address.to_canonical().to_string()) };
    let bits = small_number(prefix).ok_or_else(refuse)?;
    network(address, bits).ok_or_else(refuse)
}

/// Reads `AS3333` or `3333` (RFC 5396 asplain).
pub(super) fn parse_asn(input: &str) -> Result<String, TargetError> {
    let digits = match input.get(..2) {
        Some(letters) if letters.eq_ignore_ascii_case("as") => input[2..].trim_start(),
        _ => input,
    };
    let number: Option<u32> =
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number
        .map(|number| format!("AS{number}"))
        .ok_or_else(|| TargetError::NotAnAsn { given: Given::new(input) })
}

fn network(address: IpAddr, bits: u32) -> Option<String> {
    let (first, width): (IpAddr, u32) = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32u32.checked_sub(bits)?).unwrap_or(0);
            (Ipv4Addr::from_bits(v4.to_bits() & mask).into(), 32)
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128u32.checked_sub(bits)?).unwrap_or(0);
            (Ipv6Addr::from_bits(v6.to_bits() & mask).into(), 128)
        }
    };
    Some(if bits == width { first.to_string() } else { format!("{first}/{bits}") })
}

/// One to three digits; a sign or a leading zero is a typing error.
fn small_number(digits: &str) -> Option<u32> {
    let plain = digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    (plain && (digits == "0" || !digits.starts_with('0'))).then(|| digits.parse().ok()).flatten()
}
