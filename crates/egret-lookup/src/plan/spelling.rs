//! Which known words a mistyped one may have meant.

use strsim::levenshtein;

/// Longer words are not compared: nobody mistypes them by a letter or two (chosen).
const WORD_MAX: usize = 128;

/// Up to `count` of `known` that are spelt nearly like `given`, the nearest first.
///
/// Near is an edit distance of at most a third of the length (two letters in short words), or one holding the other.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>, count: usize) -> Vec<String> {
    let given = given.trim().to_ascii_lowercase();
    if given.is_empty() || given.len() > WORD_MAX {
        return Vec::new();
    }
    let mut near: Vec<(usize, &str)> = known
        .filter(|word| word.len() <= WORD_MAX)
        .map(|word| (levenshtein(&given, &word.to_ascii_lowercase()), word))
        .filter(|(far, word)| *far <= (given.len() / 3).max(2) || given.len() > 2 && word.contains(&given))
        .collect();
    near.sort();
    near.into_iter().take(count).map(|(_, word)| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_comes_first_and_strangers_not_at_all() {
        let known = ["whois.verisign-grs.com", "whois.nic.uk", "whois.nic.us"];
        let near = |given| nearest(given, known.into_iter(), 2);
        assert_eq!(near("whois.nic.ku"), ["whois.nic.uk", "whois.nic.us"]);
        assert_eq!(near("verisign"), ["whois.verisign-grs.com"]);
        assert!(near("rdap.org/x/y").is_empty() && near("").is_empty() && near(&"w".repeat(5000)).is_empty());
    }
}
