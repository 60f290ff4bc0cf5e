//! What goes wrong in a story, and when: drawn from its seed.

use std::time::Duration;

/// Something that goes wrong, or is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Nothing passes between an agent and the coordinators; what is said is lost.
    Cut(usize),
    /// Nothing that the agent says reaches them.
    Mute(usize),
    /// Nothing that they say reaches the agent.
    Deafen(usize),
    Mend(usize),
    /// What is said between them waits.
    Hold(usize),
    Release(usize),
    /// Frames between them take up to so many milliseconds.
    Slow(usize, u64),
    KillAgent(usize),
    /// What it has written down of its calls is gone.
    LoseJournal(usize),
    StartAgent(usize),
    KillCoordinator,
    StartCoordinator,
    KillRemote,
    StartRemote,
    /// The coordinator's data are copied.
    Copy,
    /// A coordinator starts on the copy, and the agent's link leads to it.
    Divert(usize),
    /// The link leads back, and the copy stops.
    Return(usize),
}

/// Acts in the order of their times, before `until`; those that mend what goes wrong may come at `until`.
pub(crate) fn plan(rng: &mut fastrand::Rng, agents: usize, until: Duration) -> Vec<(Duration, Act)> {
    let mut acts = Vec::new();
    let millis = until.as_millis() as u64;
    for _ in 0..rng.usize(4..16) {
        let at = rng.u64(3_000..millis);
        let agent = rng.usize(..agents);
        let mut add = |act: Act, after: u64| {
            acts.push((Duration::from_millis((at + after).min(millis)), act));
        };
        let brief = rng.u64(10..4_000);
        let long = rng.u64(100..25_000);
        match rng.u8(..20) {
            0 | 1 => [(Act::Cut(agent), 0), (Act::Mend(agent), long)].map(|(act, after)| add(act, after)),
            2 => [(Act::Mute(agent), 0), (Act::Mend(agent), brief)].map(|(act, after)| add(act, after)),
            3 => [(Act::Deafen(agent), 0), (Act::Mend(agent), brief)].map(|(act, after)| add(act, after)),
            4..=6 => {
                let wait = if rng.bool() { brief } else { long };
                [(Act::Hold(agent), 0), (Act::Release(agent), wait)].map(|(act, after)| add(act, after))
            }
            7 | 8 => {
                let slow = Act::Slow(agent, rng.u64(200..5_000));
                [(slow, 0), (Act::Slow(agent, USUAL), long)].map(|(act, after)| add(act, after))
            }
            9..=11 => [(Act::KillAgent(agent), 0), (Act::StartAgent(agent), brief)]
                .map(|(act, after)| add(act, after)),
            12..=14 => [(Act::KillCoordinator, 0), (Act::StartCoordinator, brief)]
                .map(|(act, after)| add(act, after)),
            15 | 16 => {
                let both = brief / 10;
                add(Act::KillCoordinator, 0);
                (0..agents).for_each(|agent| add(Act::KillAgent(agent), 0));
                if long.is_multiple_of(2) {
                    (0..agents).for_each(|agent| add(Act::LoseJournal(agent), 0));
                }
                (0..agents).for_each(|agent| add(Act::StartAgent(agent), both));
                [(Act::StartCoordinator, brief), (Act::StartCoordinator, brief)]
                    .map(|(act, after)| add(act, after))
            }
            17 => [(Act::KillRemote, 0), (Act::StartRemote, brief)].map(|(act, after)| add(act, after)),
            _ => {
                add(Act::Copy, 0);
                let on = rng.u64(100..20_000);
                [(Act::Divert(agent), on), (Act::Return(agent), on + long)]
                    .map(|(act, after)| add(act, after))
            }
        };
    }
    acts.sort_by_key(|(at, _)| *at);
    acts
}

/// The longest that a frame takes when nothing is wrong, in milliseconds.
pub(crate) const USUAL: u64 = 80;
