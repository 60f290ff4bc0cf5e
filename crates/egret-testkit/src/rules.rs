//! What a remote holds its peers to, whatever protocol it speaks.

use crate::ban::Ban;
use crate::limit::Limit;
use crate::trouble::Troubles;

/// Arrivals a remote remembers unless told otherwise: 8 bytes each.
const KEEP_ARRIVALS: usize = 4_000_000;

/// What a remote holds its peers to. The default lets everything in.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(crate) limits: Vec<Limit>,
    pub(crate) count_refused: bool,
    pub(crate) ban: Option<Ban>,
    pub(crate) max_open: Option<u32>,
    pub(crate) troubles: Troubles,
    pub(crate) seed: u64,
    pub(crate) keep_arrivals: usize,
    pub(crate) networks: (u8, u8),
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            count_refused: false,
            ban: None,
            max_open: None,
            troubles: Troubles::default(),
            seed: 1,
            keep_arrivals: KEEP_ARRIVALS,
            networks: (32, 128),
        }
    }
}

impl Rules {
    /// No limits, no bans, no troubles.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a limit; a call is let in only if every limit lets it in.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Whether refused calls count against the limits too. Unless told, they do not.
    pub fn count_refused(mut self, count_refused: bool) -> Self {
        self.count_refused = count_refused;
        self
    }

    /// Bans peers that were refused.
    pub fn ban(mut self, ban: Ban) -> Self {
        self.ban = Some(ban);
        self
    }

    /// Connections one peer may have open at once; more are refused when they open, which counts towards a ban.
    pub fn max_open(mut self, max_open: u32) -> Self {
        self.max_open = Some(max_open);
        self
    }

    /// Adds delays, losses and unreasonable answers.
    pub fn troubles(mut self, troubles: Troubles) -> Self {
        self.troubles = troubles;
        self
    }

    /// Seeds the random delays and losses; 1 unless told.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Takes all addresses of one network for one peer: those that agree in the first `ipv4` bits, or `ipv6` bits. The
    /// score calls it by its first address.
    pub fn networks(mut self, ipv4: u8, ipv6: u8) -> Self {
        self.networks = (ipv4, ipv6);
        self
    }

    /// Arrivals remembered, over all peers; 4 million unless told. Later ones are counted but not remembered.
    pub fn keep_arrivals(mut self, keep_arrivals: usize) -> Self {
        self.keep_arrivals = keep_arrivals;
        self
    }
}
