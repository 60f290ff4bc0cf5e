//! Knows: services, questions, and what an answer means. No I/O.
//!
//! Eight questions are answered here, each by a pure function of its arguments:
//!
//! - what exactly is asked, of whom, in which bytes: [`Catalogue::plan`];
//! - what an answer's bytes say as text: [`decode`];
//! - what an answer means for the job and for the budget: [`classify()`], [`classify_http()`];
//! - what the head of an HTTP answer tells of limits: [`Told`];
//! - whom an answer says to ask next: [`Onward`];
//! - what is known of an object, from whois text or RDAP alike: [`Record`];
//! - which servers know about a target, and what they publish of limits: [`known`];
//! - which header fields go on to a service, and which come back: [`fields`].
//!
//! Deliberately absent: sockets, clocks, waiting, randomness, and every type of
//! our other crates; the coordinator translates config and wire into the types
//! here.

mod answer;
mod charset;
mod classify;
pub mod fields;
mod headers;
pub mod known;
mod lexicon;
mod onward;
mod page;
mod plan;
mod record;
mod service;
mod target;
mod wait;

pub use answer::{Raw, decode, guess};
pub use charset::{Charset, CharsetError};
pub use classify::{Classifier, RdapReply, Reply, Verdict, classify, classify_http, classify_rdap, wordings};
pub use headers::Told;
pub use lexicon::{Lexicon, Wording};
pub use onward::{Onward, Place, rdap_onward, whois_onward};
pub use plan::{Catalogue, PlanError, Step, Steps};
pub use record::{
    Class, Entity, Event, Nameserver, RdapError, Record, Registrar, SecureDns, read_rdap, read_whois,
};
pub use service::{Protocol, Rule, Service, ServiceError};
pub use target::{Given, Kind, KindError, Target, TargetError};
