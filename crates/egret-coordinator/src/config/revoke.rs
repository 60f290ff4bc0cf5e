//! A config file without one of its keys, everything else as its owner wrote it.

use super::Config;
use crate::key::KeyHash;

/// The text of a config file without the table of the key with this hash; comments stay.
///
/// # Errors
/// What is in the way, and the mend: a file with mistakes, no such key, the only one, or one that is not written as a
/// `[[api_key]]` of its own.
pub fn without_key(text: &str, name: &str, hash: KeyHash) -> Result<String, String> {
    let mut config = Config::parse(text, name).map_err(|error| error.to_string())?;
    let before = config.api_keys.len();
    config.api_keys.retain(|key| key.hash != hash);
    match config.api_keys.len() {
        after if after == before => return Err(format!("{name} has no key with the hash {hash}")),
        0 => {
            return Err(format!(
                "it is the only key in {name}, and without any every program on this host may do everything; \
                 make another first, or remove its table by hand"
            ));
        }
        _ => {}
    }
    // Whatever was cut out, the rest must say what it said before.
    let rest = cut(text, &hash.to_string()).filter(|rest| {
        Config::parse(rest, name).is_ok_and(|rest| format!("{rest:?}") == format!("{config:?}"))
    });
    rest.ok_or_else(|| format!("the table of the key is not easily told apart in {name}; remove it by hand"))
}

/// Cuts the table out that has this hash: from its head to its last line that is neither empty nor a comment.
fn cut(text: &str, hash: &str) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let has = |line: &&str| !is_idle(line) && line.to_ascii_lowercase().contains(hash);
    let at = lines.iter().position(has)?;
    let head = lines.iter().take(at).rposition(|line| line.trim_start().starts_with("[["))?;
    let next = lines.iter().skip(at).position(|line| line.trim_start().starts_with('['));
    let next = next.map_or(lines.len(), |next| at + next);
    let last = lines.iter().take(next).rposition(|line| !is_idle(line))?;
    let (kept, rest) = (lines.get(..head)?, lines.get(last + 1..)?);
    Some(kept.iter().chain(rest).copied().collect())
}

fn is_idle(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(key: &str) -> String {
        let hash = KeyHash::of(key).to_string().to_ascii_uppercase().replace("SHA256", "sha256");
        format!(
            "  [[api_key]]  # of {key}\nname = \"{key}\"\n# its hash\nhash = \"{hash}\"\nrole = \"read\"\n"
        )
    }

    #[test]
    fn one_table_goes_and_all_else_stays_as_it_was_written() {
        let [a, b, c] = ["a", "b", "c"].map(table);
        let head = format!("# Keys.\nlisten = \"127.0.0.1:0\"\n\n# once {}\n", KeyHash::of("b"));
        let (gap, service) = (
            "\n# the next\n",
            "\n[[service]] # w\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n",
        );
        let text = format!("{head}{a}{gap}{b}{gap}{c}{service}");
        for (key, rest) in [
            ("a", format!("{head}{gap}{b}{gap}{c}{service}")),
            ("b", format!("{head}{a}{gap}{gap}{c}{service}")),
            ("c", format!("{head}{a}{gap}{b}{gap}{service}")),
        ] {
            assert_eq!(without_key(&text, "egret.toml", KeyHash::of(key)).as_deref(), Ok(&*rest), "{key}");
        }
    }

    #[test]
    fn what_cannot_be_cut_out_safely_is_left_alone_with_a_reason() {
        let reason = |text: &str, key| without_key(text, "egret.toml", KeyHash::of(key)).unwrap_err();
        let [a, b] = ["a", "b"].map(table);
        assert!(reason(&a, "b").contains("no key with the hash sha256:"));
        assert!(reason(&a, "a").contains("without any every program on this host may do everything"));
        assert!(reason(&format!("{a}{b}x"), "a").contains("egret.toml:"));
        let inline =
            |key| format!("{{ name = \"{key}\", hash = \"{}\", role = \"read\" }}", KeyHash::of(key));
        let text = format!("api_key = [\n{},\n{}]\n", inline("a"), inline("b"));
        assert!(reason(&text, "a").contains("remove it by hand"));
    }
}
