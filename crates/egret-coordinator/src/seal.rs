//! What binds a result to its grant: nobody reports a call that it was not granted, over restarts too.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use egret_core::id::AgentId;
use egret_wire::agent::Attempt;
use ring::hmac;

use crate::identity::{kept, random};

const FILE: &str = "coordinator.key";
/// Bytes of a seal: out of reach for guessing over a network (chosen).
const LENGTH: usize = 12;

/// Makes seals and checks them, by a key that is the coordinator's alone.
pub(crate) struct Seals(hmac::Key);

impl Seals {
    /// The key is made at the first start, and the same for as long as the data dir lives.
    ///
    /// # Errors
    /// One line: what, where, and the mend.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, String> {
        let text = kept(&data_dir.join(FILE), || random::<32>().map(|key| STANDARD.encode(key)))?;
        let key = STANDARD.decode(&text).ok().filter(|key| key.len() == 32);
        let key = key.ok_or_else(|| {
            format!("{} is damaged; restore it, or remove it", data_dir.join(FILE).display())
        })?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The seal of a grant to this agent: an attempt, and whom it asks from where.
    pub(crate) fn seal(&self, agent: AgentId, attempt: Attempt, call: (&str, &str)) -> String {
        URL_SAFE_NO_PAD.encode(&self.tag(agent, attempt, call).as_ref()[..LENGTH])
    }

    /// Whether this is the seal of such a grant.
    pub(crate) fn holds(&self, agent: AgentId, attempt: Attempt, call: (&str, &str), seal: &str) -> bool {
        // A guess takes 2^95 tries over the network: what can be learnt from the time of a comparison does not matter.
        self.seal(agent, attempt, call) == seal
    }

    fn tag(
        &self,
        agent: AgentId,
        Attempt(job, step, start, count): Attempt,
        (service, egress): (&str, &str),
    ) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in
            [&agent.0.to_be_bytes()[..], &job.to_be_bytes(), &step.to_be_bytes(), &start.to_be_bytes()]
        {
            context.update(part);
        }
        context.update(&count.to_be_bytes());
        context.update(&(service.len() as u64).to_be_bytes());
        context.update(service.as_bytes());
        context.update(egress.as_bytes());
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_good_for_its_grant_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let seals = Seals::open(dir.path()).unwrap();
        let attempt = Attempt(7, 1, 2, 3);
        let seal = seals.seal(AgentId(5), attempt, ("s", "192.0.2.1"));
        let seals = Seals::open(dir.path()).unwrap();
        assert!(seals.holds(AgentId(5), attempt, ("s", "192.0.2.1"), &seal));
        for (agent, attempt, call) in [
            (6, attempt, ("s", "192.0.2.1")),
            (5, Attempt(8, 1, 2, 3), ("s", "192.0.2.1")),
            (5, Attempt(7, 2, 2, 3), ("s", "192.0.2.1")),
            (5, Attempt(7, 1, 3, 3), ("s", "192.0.2.1")),
            (5, Attempt(7, 1, 2, 4), ("s", "192.0.2.1")),
            (5, attempt, ("s1", "92.0.2.1")),
            (5, attempt, ("s", "192.0.2.2")),
        ] {
            assert!(!seals.holds(AgentId(agent), attempt, call, &seal), "{agent} {attempt:?} {call:?}");
        }
        assert!(!seals.holds(AgentId(5), attempt, ("s", "192.0.2.1"), ""));
        std::fs::write(dir.path().join(FILE), "short").unwrap();
        assert!(Seals::open(dir.path()).err().unwrap().contains("is damaged"));
    }
}
