//! Dates as registries write them, as RFC 3339 in UTC.
//!
//! A text is cut into numbers, words and the marks between them; the shape of the numbers
//! decides. What a registry leaves open is read in the most common way: a day before a
//! month, UTC where no zone is named. A registry that writes otherwise has its [`Order`].

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// Texts longer than this are no dates, in bytes (chosen).
const LENGTH_MAX: usize = 80;

/// What the first of two small numbers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    /// The day, as in most of the world.
    #[default]
    DayFirst,
    /// The month, as in the United States.
    MonthFirst,
}

/// Reads the date that a text begins with or consists of.
///
/// `None` if there is none, or if it is not a day of the calendar between 1970 and 2200.
pub(super) fn read(text: &str, order: Order) -> Option<String> {
    let text = text.trim();
    // The first bytes decide; what follows is a remark.
    let end = text.char_indices().map(|(at, _)| at).find(|&at| at >= LENGTH_MAX).unwrap_or(text.len());
    let tokens = tokens(&text[..end]);
    let (date, used) = date_of(&tokens, order)?;
    let (time, offset) =
        time_of(&tokens[used..]).or_else(|| time_of(&tokens)).unwrap_or((Time::midnight(), 0));
    let offset = Offset::from_seconds(offset).ok()?;
    let at = offset.to_timestamp(DateTime::from_parts(date, time)).ok()?;
    (1970..2200).contains(&date.year()).then(|| at.to_string())
}

/// A piece of a date.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    /// Digits: their value, how many there were.
    Number(u32, usize),
    Word(&'a str),
    Mark(char),
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = |is: fn(char) -> bool| rest.find(|c| !is(c)).unwrap_or(rest.len());
        let end = if first.is_ascii_digit() {
            let end = run(|c| c.is_ascii_digit());
            tokens.push(rest[..end].parse().map_or(Token::Mark('?'), |value| Token::Number(value, end)));
            // `20110531` and `20110531142100` are dates of eight digits.
            if end == 14 {
                tokens.pop();
                let whole =
                    [(0, 8), (8, 10), (10, 12), (12, 14)].map(|(from, to)| rest[from..to].parse().ok());
                if let [Some(day), Some(hour), Some(minute), Some(second)] = whole {
                    tokens.push(Token::Number(day, 8));
                    tokens.extend([Token::Number(hour, 2), Token::Mark(':'), Token::Number(minute, 2)]);
                    tokens.extend([Token::Mark(':'), Token::Number(second, 2)]);
                }
            }
            end
        } else if first.is_alphabetic() {
            let end = run(char::is_alphabetic);
            tokens.push(Token::Word(&rest[..end]));
            end
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Mark(first));
            }
            first.len_utf8()
        };
        rest = &rest[end..];
    }
    tokens
}

fn month_of(word: &str) -> Option<u32> {
    const MONTHS: [&[&str]; 12] = [
        &["jan", "ene", "gen", "oca"],
        &["feb", "fév", "fev", "şub"],
        &["mar", "mär", "mrt"],
        &["apr", "abr", "avr", "nis"],
        &["may", "mai", "mag", "maj"],
        &["jun", "juin", "giu", "haz"],
        &["jul", "juil", "lug", "tem"],
        &["aug", "ago", "aoû", "aou"],
        &["sep", "set", "eyl"],
        &["oct", "okt", "ott", "out", "eki"],
        &["nov", "kas"],
        &["dec", "dez", "dic", "déc", "ara"],
    ];
    let plain = word.to_lowercase();
    let found = MONTHS.iter().position(|names| names.iter().any(|name| plain.starts_with(name)));
    found.and_then(|at| u32::try_from(at + 1).ok())
}

fn day(year: u32, month: u32, day: u32) -> Option<Date> {
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// The first date among the tokens, and how many of them it took.
fn date_of(tokens: &[Token<'_>], order: Order) -> Option<(Date, usize)> {
    (0..tokens.len()).find_map(|at| date_at(&tokens[at..], order).map(|(date, used)| (date, at + used)))
}

/// Numbers and names of months from here on, up to three, whatever marks stand between them.
fn date_at(tokens: &[Token<'_>], order: Order) -> Option<(Date, usize)> {
    if let Some(&Token::Number(whole, 8)) = tokens.first() {
        return day(whole / 10_000, whole / 100 % 100, whole % 100).map(|date| (date, 1));
    }
    if !matches!(tokens.first()?, Token::Number(..)) && month_at(tokens.first()?).is_none() {
        return None;
    }
    let mut parts = [(0, 0, false); 3];
    let mut found = 0;
    for (at, token) in tokens.iter().enumerate() {
        let is_time = [at.checked_sub(1), Some(at + 1)].into_iter().flatten().any(|next| {
            tokens.get(next) == Some(&Token::Mark(':')) && matches!(token, Token::Number(_, 1 | 2))
        });
        match *token {
            Token::Number(value, digits) if !is_time => parts[found] = (value, digits, false),
            Token::Word(_) if month_at(token).is_some() => parts[found] = (month_at(token)?, 0, true),
            // `1st`, `2nd`, `of`, the zone in `Fri Mar 29 22:03:53 GMT 2002`.
            Token::Word(_) if found > 0 => continue,
            Token::Mark('-' | '/' | '.' | ',' | '\'' | '年' | '月') => continue,
            // The year stands behind the time.
            _ if found == 2 => continue,
            _ => return None,
        }
        found += 1;
        if found == 3 {
            return arrange(parts, order)
                .map(|date| (date, if is_year_last(tokens, at) { 0 } else { at + 1 }));
        }
    }
    // `before Aug-1996`: a month and a year.
    match parts {
        [(month, _, true), (year, 4, _), (_, 0, _)] if found == 2 => {
            day(year, month, 1).map(|date| (date, 2))
        }
        _ => None,
    }
}

/// Whether a time stands among the tokens before `at`: it is then not after the date.
fn is_year_last(tokens: &[Token<'_>], at: usize) -> bool {
    tokens[..at].contains(&Token::Mark(':'))
}

fn month_at(token: &Token<'_>) -> Option<u32> {
    match token {
        Token::Word(word) => month_of(word),
        _ => None,
    }
}

/// Three parts (value, digits, whether it is a month's name) as a day.
fn arrange(parts: [(u32, usize, bool); 3], order: Order) -> Option<Date> {
    let [a, b, c] = parts;
    let full = |two: (u32, usize, bool)| match two {
        (year, 4, _) => Some(year),
        (year, 2, _) => Some(if year < 70 { 2000 + year } else { 1900 + year }),
        _ => None,
    };
    match (a, b, c) {
        ((year, 4, _), (month, ..), (date, ..)) => day(year, month, date),
        ((month, _, true), (date, ..), year) | ((date, ..), (month, _, true), year) => {
            day(full(year)?, month, date)
        }
        ((first, ..), (second, ..), year) => {
            let year = full(year)?;
            let (date, month) = match order {
                Order::DayFirst => (first, second),
                Order::MonthFirst => (second, first),
            };
            // What only the other order allows is that order.
            day(year, month, date).or_else(|| day(year, date, month))
        }
    }
}

/// The first time of day among the tokens, with the seconds its zone is ahead of UTC.
fn time_of(tokens: &[Token<'_>]) -> Option<(Time, i32)> {
    let at = tokens.iter().position(|token| *token == Token::Mark(':'))?;
    let Some(&Token::Number(hour, _)) = at.checked_sub(1).and_then(|before| tokens.get(before)) else {
        return None;
    };
    let Some(&Token::Number(minute, _)) = tokens.get(at + 1) else { return None };
    let mut rest = &tokens[at + 2..];
    let mut second = 0;
    if let [Token::Mark(':'), Token::Number(value, _), after @ ..] = rest {
        second = *value;
        rest = after;
    }
    if let [Token::Mark('.'), Token::Number(..), after @ ..] = rest {
        rest = after;
    }
    let hour = match rest.first() {
        Some(Token::Word("PM" | "pm")) if hour < 12 => hour + 12,
        Some(Token::Word("AM" | "am")) if hour == 12 => 0,
        _ => hour,
    };
    // A leap second is the last of its minute.
    let time = Time::new(
        i8::try_from(hour).ok()?,
        i8::try_from(minute).ok()?,
        i8::try_from(second.min(59)).ok()?,
        0,
    );
    Some((time.ok()?, offset_of(rest)))
}

/// Seconds ahead of UTC: `Z`, `+02:00`, `+0200`, `(UTC+8)`, `JST`; 0 where nothing known is named.
fn offset_of(tokens: &[Token<'_>]) -> i32 {
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            Token::Mark(sign @ ('+' | '-')) => return signed(sign, &tokens[at + 1..]).unwrap_or(0),
            Token::Word(word) => {
                if let Some(hours) = zone(word) {
                    return hours * 3_600;
                }
            }
            Token::Mark('(') => {}
            _ => return 0,
        }
    }
    0
}

fn signed(sign: char, tokens: &[Token<'_>]) -> Option<i32> {
    let seconds = match *tokens {
        [Token::Number(hours, 1 | 2), Token::Mark(':'), Token::Number(minutes, 2), ..] => {
            hours * 3_600 + minutes * 60
        }
        [Token::Number(both, 4), ..] => both / 100 * 3_600 + both % 100 * 60,
        [Token::Number(hours, 1 | 2), ..] => hours * 3_600,
        _ => return None,
    };
    let seconds = i32::try_from(seconds).ok().filter(|seconds| *seconds <= 14 * 3_600)?;
    Some(if sign == '-' { -seconds } else { seconds })
}

/// Hours ahead of UTC, of the zones that registries name.
fn zone(word: &str) -> Option<i32> {
    let hours = match word {
        "JST" | "KST" => 9,
        "HKT" | "SGT" | "CCT" | "MYT" => 8,
        "ICT" => 7,
        "MSK" | "EEST" | "TRT" => 3,
        "EET" | "CEST" | "MEST" | "IST" => 2,
        "CET" | "MET" | "BST" | "WEST" => 1,
        "BRT" | "ART" | "CLST" => -3,
        "CLT" | "EDT" | "AST" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return None,
    };
    Some(hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(read(text, Order::DayFirst).as_deref(), Some(want), "{text:?}");
    }

    #[test]
    fn years_first() {
        check("2010-07-04T07:52:56Z", "2010-07-04T07:52:56Z");
        check("2014-09-27T23:59:59.0Z", "2014-09-27T23:59:59Z");
        check("2010-07-04 07:52:56 +03:00", "2010-07-04T04:52:56Z");
        check("2009-01-15T12:00:00-0330", "2009-01-15T15:30:00Z");
        check("2004/10/30", "2004-10-30T00:00:00Z");
        check("2011/03/01 01:05:01 (JST)", "2011-02-28T16:05:01Z");
        check("2013. 04. 25.", "2013-04-25T00:00:00Z");
        check("2012-Apr-25.", "2012-04-25T00:00:00Z");
        check("2003-03-17 12:20:05 (GMT+08:00)", "2003-03-17T04:20:05Z");
        check("2008-05-08 17:59:38.43", "2008-05-08T17:59:38Z");
    }

    #[test]
    fn eight_and_fourteen_digits() {
        check("20170315 14:41:55", "2017-03-15T14:41:55Z");
        check("19990518 #123456", "1999-05-18T00:00:00Z");
        check("20110531142105", "2011-05-31T14:21:05Z");
        check("hostmaster@example.net 20020304", "2002-03-04T00:00:00Z");
    }

    #[test]
    fn days_first_and_what_only_the_other_order_allows() {
        check("03/04/2003", "2003-04-03T00:00:00Z");
        check("30.8.2015 10:02:12", "2015-08-30T10:02:12Z");
        check("12/21/2014", "2014-12-21T00:00:00Z");
        assert_eq!(read("03/04/2003", Order::MonthFirst).as_deref(), Some("2003-03-04T00:00:00Z"));
    }

    #[test]
    fn months_by_name() {
        check("18-mar-2010", "2010-03-18T00:00:00Z");
        check("03-Jan-2005 12:00:00", "2005-01-03T12:00:00Z");
        check("05 Feb 08", "2008-02-05T00:00:00Z");
        check("Fri Mar 29 22:03:53 GMT 2002", "2002-03-29T22:03:53Z");
        check("Thu, 21 Nov 1996 00:00:00 UTC", "1996-11-21T00:00:00Z");
        check("December 2, 2010", "2010-12-02T00:00:00Z");
        check("before Aug-1996", "1996-08-01T00:00:00Z");
        check("1st September 2011 at 03:15:07 PM", "2011-09-01T15:15:07Z");
    }

    #[test]
    fn what_is_no_day_is_none() {
        for text in
            ["", "-", "no date", "2011-02-30", "31/31/2011", "12:00:00", "0000-00-00", "1, 2", "²/²/2011"]
        {
            assert_eq!(read(text, Order::DayFirst), None, "{text:?}");
        }
        assert_eq!(read(&"9".repeat(500), Order::DayFirst), None);
    }
}
