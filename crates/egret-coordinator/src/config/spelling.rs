//! Which known key a mistyped one may have meant.

/// The nearest of `known` if it is near: at most a third of its letters differ, or one in a short word.
pub(super) fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let given = given.trim().to_ascii_lowercase().replace('-', "_");
    let longest = known.iter().map(|key| key.len()).max()?;
    if given.len() > 2 * longest {
        return None;
    }
    let distances = known.iter().map(|key| (distance(&given, key), *key));
    let (far, key) = distances.min()?;
    (far <= (key.len() / 3).max(1)).then_some(key)
}

/// Levenshtein's distance in bytes, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
