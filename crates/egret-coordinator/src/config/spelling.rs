//! Which known key a mistyped one may have meant.

use strsim::levenshtein;

/// The nearest of `known` if it is near: at most a third of its letters differ, or one in a short word.
pub(super) fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let given = given.trim().to_ascii_lowercase().replace('-', "_");
    let longest = known.iter().map(|key| key.len()).max()?;
    if given.len() > 2 * longest {
        return None;
    }
    let distances = known.iter().map(|key| (levenshtein(&given, key), *key));
    let (far, key) = distances.min()?;
    (far <= (key.len() / 3).max(1)).then_some(key)
}
