//! A status by EPP's word for it.
//!
//! EPP (RFC 5731, 3915) writes `clientHold`, RDAP (RFC 8056) `client hold`, whois servers
//! both and `CLIENT-HOLD`, often with a link behind it. One spelling is kept.

/// EPP's words; those of RDAP are the same letters, spaced.
const EPP: [&str; 30] = [
    "addPeriod",
    "autoRenewPeriod",
    "clientDeleteProhibited",
    "clientHold",
    "clientRenewProhibited",
    "clientTransferProhibited",
    "clientUpdateProhibited",
    "inactive",
    "linked",
    "ok",
    "pendingCreate",
    "pendingDelete",
    "pendingRenew",
    "pendingRestore",
    "pendingTransfer",
    "pendingUpdate",
    "redemptionPeriod",
    "renewPeriod",
    "serverDeleteProhibited",
    "serverHold",
    "serverRenewProhibited",
    "serverTransferProhibited",
    "serverUpdateProhibited",
    "transferPeriod",
    "deleteProhibited",
    "renewProhibited",
    "transferProhibited",
    "updateProhibited",
    "hold",
    "locked",
];
/// A status is a few words, not a sentence, in bytes (chosen).
const LENGTH_MAX: usize = 120;

/// The statuses that one value lists: EPP's spelling of those it knows, the others as they stand.
pub(super) fn read(value: &str) -> Vec<String> {
    let value = without_link(value);
    if value.is_empty() || value.len() > LENGTH_MAX * 8 {
        return Vec::new();
    }
    let parts: Vec<&str> = value.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()).collect();
    // A list is only taken apart when a part of it is a word of EPP, and all are words.
    if parts.len() > 1
        && parts.iter().any(|part| epp(part).is_some())
        && parts.iter().all(|part| !part.contains(' '))
    {
        return parts.into_iter().map(|part| epp(part).unwrap_or_else(|| part.to_owned())).collect();
    }
    let known: Option<Vec<String>> = parts.iter().map(|part| epp(part)).collect();
    let listed = known.or_else(|| value.split_whitespace().map(epp).collect());
    listed.unwrap_or_else(|| if value.len() <= LENGTH_MAX { vec![value.to_owned()] } else { Vec::new() })
}

/// Takes off the link that explains the status.
fn without_link(value: &str) -> &str {
    let cut =
        ["http://", "https://", "(http", "<a ", "-- "].iter().filter_map(|start| value.find(start)).min();
    value[..cut.unwrap_or(value.len())].trim_end_matches(['(', '-', ' ', '\t']).trim()
}

fn epp(word: &str) -> Option<String> {
    // `serverHold (Expired)`, `ok - Normal state.`: the reason is not part of the word.
    let word =
        [" (", " - "].iter().fold(word, |word, mark| word.split_once(mark).map_or(word, |(word, _)| word));
    let plain: String = word.chars().filter(char::is_ascii_alphabetic).collect();
    // RFC 8056: EPP's `ok` is RDAP's `active`; other sources mean their own by `active`.
    EPP.iter().find(|known| known.eq_ignore_ascii_case(&plain)).map(|known| (*known).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, want: &[&str]) {
        assert_eq!(read(value), want, "{value:?}");
    }

    #[test]
    fn every_spelling_becomes_that_of_epp() {
        check(
            "clientTransferProhibited https://icann.org/epp#clientTransferProhibited",
            &["clientTransferProhibited"],
        );
        check("CLIENT-UPDATE-PROHIBITED", &["clientUpdateProhibited"]);
        check("client hold", &["clientHold"]);
        check("serverHold (Expired)", &["serverHold"]);
        check("OK", &["ok"]);
    }

    #[test]
    fn a_list_of_known_words_is_taken_apart_and_other_text_stays() {
        check("server_delete_prohibited, server_hold", &["serverDeleteProhibited", "serverHold"]);
        check("Active, clientHold", &["Active", "clientHold"]);
        check("ok - Normal state.", &["ok"]);
        check("clientDeleteProhibited clientHold", &["clientDeleteProhibited", "clientHold"]);
        check("Registered, until expiry", &["Registered, until expiry"]);
        check("", &[]);
    }
}
