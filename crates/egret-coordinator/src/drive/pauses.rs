//! What an operator, or a service itself, has brought to a halt, and why.

use std::collections::BTreeMap;

use egret_core::id::ServiceId;
use egret_core::scheduler::Event;
use egret_core::time::Instant;
use egret_wire::value::Time;

use super::{BatchOrder, Drive};
use crate::clock::millis;

/// Services that are paused, and whether everything stands still.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    services: BTreeMap<ServiceId, String>,
    stopped: Option<String>,
}

/// Whether a service can be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Why it is paused, if it is.
    pub(crate) paused: Option<String>,
    /// Since when it answers nobody.
    pub(crate) down_since: Option<Time>,
}

impl Drive {
    /// What was ordered before this start.
    pub(super) fn remember_orders(&mut self, orders: Vec<(String, String)>, now: Instant) {
        for (key, word) in orders {
            match key.split_once('/') {
                Some(("batch", id)) => {
                    if let Ok(id) = id.parse() {
                        self.order_batch(id, BatchOrder::read(&word), now);
                    }
                }
                Some(("service", id)) => {
                    // One that is configured no more comes back as it was left.
                    if let Some(service) = self.find_service(id) {
                        self.pause(service, word, now);
                    }
                }
                Some(("agent", id)) => {
                    if let Ok(id) = id.parse() {
                        self.order_drain(id, true, now);
                    }
                }
                _ if key == "stop" => self.stop(Some(word), now),
                _ => tracing::warn!("an order of a newer egret is passed over: {key}"),
            }
        }
    }

    pub(crate) fn pause(&mut self, service: ServiceId, why: String, now: Instant) {
        self.pauses.services.insert(service, why);
        self.scheduler.handle(Event::Pause(service), now);
    }

    pub(crate) fn resume(&mut self, service: ServiceId, now: Instant) {
        self.pauses.services.remove(&service);
        self.scheduler.handle(Event::Resume(service), now);
    }

    /// Brings everything to a halt, or ends that.
    pub(crate) fn stop(&mut self, why: Option<String>, now: Instant) {
        self.scheduler.handle(Event::Stop(why.is_some()), now);
        self.pauses.stopped = why;
    }

    /// Why everything stands still, if it does.
    pub(super) fn halted(&self) -> Option<&str> {
        self.pauses.stopped.as_deref()
    }

    /// A service shut us out: it is paused, over restarts too, until somebody has looked.
    pub(super) fn shut_out(&mut self, service: ServiceId, now: Instant) {
        let name = self.services.name(service).to_owned();
        tracing::error!(service = name, "the service shuts us out; it is paused until it is resumed");
        let why = "the service says that we are shut out".to_owned();
        self.pause(service, why.clone(), now);
        self.keep_order(format!("service/{name}"), Some(why));
    }

    /// Writes an order down that nobody waits for.
    pub(super) fn keep_order(&self, key: String, word: Option<String>) {
        let store = std::sync::Arc::clone(&self.store);
        // Once for each block and each end of a batch, over with its commit.
        tokio::spawn(async move {
            let kept = match store.save_order(key.clone(), word).await {
                Ok(commit) => commit.await,
                Err(error) => Err(error),
            };
            if let Err(error) = kept {
                tracing::error!("the order of {key} could not be kept, a restart does not know it: {error}");
            }
        });
    }

    /// Whether a service can be asked.
    pub(crate) fn standing(&self, service: ServiceId) -> Standing {
        let outage = self.scheduler.outage(service);
        let down_since = outage.map(|outage| Time(millis(outage.since)));
        let paused = self.pauses.stopped.as_ref().or_else(|| self.pauses.services.get(&service)).cloned();
        Standing { paused, down_since }
    }
}
