//! Names the flows in which jobs wait: one for each service, class and batch that has open jobs.

use std::collections::HashMap;

use egret_core::id::{BatchId, FlowId, ServiceId, TenantId};
use egret_core::scheduler::{Class, Event, FlowKind, Selector};
use egret_core::time::Instant;

use super::Drive;

/// What the jobs of a flow have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    pub(crate) service: ServiceId,
    pub(crate) class: Class,
    pub(crate) batch: Option<BatchId>,
}

#[derive(Debug, Default)]
pub(crate) struct Flows {
    ids: HashMap<FlowKey, FlowId>,
    open: HashMap<FlowId, (FlowKey, usize)>,
    named: u32,
}

impl Drive {
    /// The flow that a job waits in; opened with its first job.
    pub(super) fn join_flow(&mut self, key: FlowKey, now: Instant) -> FlowId {
        let flow = match self.flows.ids.get(&key) {
            Some(flow) => *flow,
            None => {
                self.flows.named += 1;
                let flow = FlowId(self.flows.named);
                self.flows.ids.insert(key, flow);
                self.flows.open.insert(flow, (key, 0));
                let FlowKey { service, class, .. } = key;
                let kind = FlowKind { service, class, tenant: TenantId(0), selector: Selector::default() };
                self.scheduler.handle(Event::Open { flow, kind, stored: 0 }, now);
                flow
            }
        };
        if let Some((_, jobs)) = self.flows.open.get_mut(&flow) {
            *jobs += 1;
        }
        flow
    }

    /// A job of this flow has ended; with the last one the flow is over.
    pub(super) fn leave_flow(&mut self, flow: FlowId, now: Instant) {
        let Some((key, jobs)) = self.flows.open.get_mut(&flow) else { return };
        *jobs -= 1;
        if *jobs == 0 {
            let key = *key;
            self.flows.open.remove(&flow);
            self.flows.ids.remove(&key);
            self.scheduler.handle(Event::Close(flow), now);
        }
    }
}
