//! `egret token create --cloud-init`: what makes a new host an agent, as user-data of the cloud that starts it.
//!
//! The template and the unit are the files of `config/deploy`, so this and a host set up by hand never differ.

use clap::Args;

use crate::exit::Failure;

const TEMPLATE: &str = include_str!("../../../../config/deploy/agent.cloud-init.yaml");
const UNIT: &str = include_str!("../../../../config/deploy/egret-agent.service");

/// The flags of `token create` for new hosts.
#[derive(Debug, Args)]
pub(crate) struct CloudInit {
    /// Print the user-data of hosts that join at their first boot; it holds the token
    #[arg(long)]
    cloud_init: bool,
    /// Where those hosts reach the coordinator [default: what --url says, unless it is loopback]
    #[arg(long, value_name = "URL", requires = "cloud_init", value_parser = url)]
    coordinator: Option<String>,
    /// Where they get the agent; without it their image has /usr/local/bin/egret-agent
    #[arg(long, value_name = "URL", requires = "cloud_init", value_parser = url)]
    binary_url: Option<String>,
    /// What the SHA-256 of the agent must be, in hexadecimal digits; needed unless --binary-url is https
    #[arg(long, value_name = "HEX", requires = "binary_url", value_parser = sha256)]
    binary_sha256: Option<String>,
}

impl CloudInit {
    /// The user-data without its token, for whoever asks for one; `known_as` is where the coordinator was reached.
    ///
    /// # Errors
    /// New hosts could not reach the coordinator, or anybody on their way could give them another program.
    pub(crate) fn draft(&self, known_as: &str) -> Result<Option<Draft>, Failure> {
        if !self.cloud_init {
            return Ok(None);
        }
        let coordinator = match &self.coordinator {
            Some(named) => named.clone(),
            None if is_loopback(known_as) => {
                let text = format!(
                    "other hosts do not reach {known_as}; say by --coordinator https://HOST:PORT how they do"
                );
                return Err(Failure::usage(text));
            }
            None => url(known_as).map_err(Failure::usage)?,
        };
        if coordinator.starts_with("http:") && !is_loopback(&coordinator) {
            let text =
                format!("agents send nothing in the clear beyond loopback; write https:// for {coordinator}");
            return Err(Failure::usage(text));
        }
        let binary_url = self.binary_url.clone().unwrap_or_default();
        if binary_url.starts_with("http:") && self.binary_sha256.is_none() {
            let text = "a program that comes over plain http needs its --binary-sha256; `sha256sum` tells it";
            return Err(Failure::usage(text.to_owned()));
        }
        let sha256 = self.binary_sha256.clone().unwrap_or_default();
        Ok(Some(Draft { coordinator, binary_url, sha256 }))
    }
}

/// User-data that lacks its token.
#[derive(Debug)]
pub(crate) struct Draft {
    coordinator: String,
    binary_url: String,
    sha256: String,
}

impl Draft {
    /// Whether an agent that joins with this token gets into this coordinator: over TLS the token has a pin.
    pub(crate) fn is_met_by(&self, token: &str) -> bool {
        self.coordinator.starts_with("http:") == (token.split('.').nth(1) == Some("plain"))
    }

    /// Where the hosts will look for the coordinator.
    pub(crate) fn coordinator(&self) -> &str {
        &self.coordinator
    }

    /// The user-data with this token.
    pub(crate) fn with(&self, token: &str) -> String {
        let unit = UNIT.trim_end().replace('\n', "\n      ");
        TEMPLATE
            .replace("@UNIT@", &unit)
            .replace("@TOKEN@", token)
            .replace("@COORDINATOR@", &self.coordinator)
            .replace("@BINARY_URL@", &self.binary_url)
            .replace("@BINARY_SHA256@", &self.sha256)
    }
}

/// A URL that means the same to YAML, to a unit and to a shell.
fn url(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!&()+,;=%".contains(&byte);
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && rest.bytes().all(plain) => Ok(text.to_owned()),
        Some(_) => Err("write what is no letter, digit or one of -._~:/?[]@!&()+,;= as %XX".to_owned()),
        None => Err("write it like https://HOST:PORT".to_owned()),
    }
}

fn sha256(text: &str) -> Result<String, String> {
    let is_one = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| text.to_ascii_lowercase()).ok_or_else(|| "write 64 hexadecimal digits".to_owned())
}

fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|start| host.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(coordinator: Option<&str>, binary_url: Option<&str>, sha256: Option<&str>) -> CloudInit {
        let [coordinator, binary_url, binary_sha256] =
            [coordinator, binary_url, sha256].map(|flag| flag.map(str::to_owned));
        CloudInit { cloud_init: true, coordinator, binary_url, binary_sha256 }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let asked = asked(Some("https://c.example:7043"), Some("https://d.example/a"), Some("ab"));
        let data = asked.draft("http://127.0.0.1:7043").unwrap().unwrap().with("egj1.pin.id.secret");
        assert!(data.starts_with("#cloud-config\n"), "{data}");
        let left: Vec<_> = data.lines().filter(|line| line.contains('@') && !line.starts_with('#')).collect();
        // What systemd calls its groups of system calls.
        assert!(left.iter().all(|line| line.contains("SystemCallFilter=")), "{left:?}");
        assert_eq!(data.matches("egj1.pin.id.secret").count(), 1);
        // AWS takes 16 KiB of user-data, the least of the large clouds.
        assert!(data.len() < 16 * 1024, "{}", data.len());
    }

    #[test]
    fn hosts_that_could_not_join_or_would_run_what_anybody_sends_are_not_made() {
        let check = |asked: CloudInit, known_as: &str, want: &str| {
            let found = asked.draft(known_as).err().map(|failure| failure.text).unwrap_or_default();
            assert!(found.contains(want) && found.is_empty() == want.is_empty(), "{found}");
        };
        let (far, here) = ("https://c.example", "http://127.0.0.1:7043");
        check(asked(None, None, None), far, "");
        check(asked(None, None, None), here, "--coordinator");
        check(asked(Some(here), None, None), here, "");
        check(asked(Some("http://c.example"), None, None), here, "https://");
        check(asked(None, Some("http://d.example/a"), None), far, "--binary-sha256");
        check(asked(None, Some("http://d.example/a"), Some("ab")), far, "");
        check(asked(None, Some("https://d.example/a"), None), far, "");
    }

    #[test]
    fn a_token_without_a_pin_is_none_for_tls() {
        let draft = |url| asked(Some(url), None, None).draft(url).unwrap().unwrap();
        for (url, token, is_met) in [
            ("https://c.example", "egj1.PIN.id.secret", true),
            ("https://c.example", "egj1.public.id.secret", true),
            ("https://c.example", "egj1.plain.id.secret", false),
            ("http://127.0.0.1:1", "egj1.plain.id.secret", true),
            ("http://127.0.0.1:1", "egj1.PIN.id.secret", false),
        ] {
            assert_eq!(draft(url).is_met_by(token), is_met, "{url} {token}");
        }
    }

    #[test]
    fn an_address_says_one_thing_to_yaml_unit_and_shell() {
        for text in ["https://c.example:7043", "https://[2001:db8::1]:7043", "http://d.example/a?b=c&d=%20"] {
            assert_eq!(url(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "c.example",
            "https://",
            "https://a b",
            "https://a\"",
            "https://a'",
            "https://a$b",
            "https://a\\",
            "https://a\n",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
        assert!(sha256(&"a".repeat(64)).is_ok() && sha256(&"g".repeat(64)).is_err() && sha256("a").is_err());
    }
}
