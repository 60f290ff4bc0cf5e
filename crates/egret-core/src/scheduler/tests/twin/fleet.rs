//! What happens to egresses and agents, and what others say of them.

use super::acts::Act;
use super::world::{World, ms, nth_of};
use super::*;

impl World {
    pub(super) fn happen_to_fleet(&mut self, act: &Act) {
        let (service, now) = (SERVICE, self.now);
        match *act {
            Act::Up { egress, agent, is_tagged } => {
                let (egress, agent) = (EgressId(egress), AgentId(agent));
                let (address, tags) =
                    (address(egress), if is_tagged { vec!["eu".to_owned()] } else { Vec::new() });
                self.homes.insert(egress, (address, tags.clone()));
                self.up.insert(egress, agent);
                self.tell(Event::EgressUp { egress, agent, address, tags });
            }
            Act::Down(egress) => {
                self.up.remove(&EgressId(egress));
                self.tell(Event::EgressDown(EgressId(egress)));
            }
            Act::AgentDown(agent) => {
                self.up.retain(|_, other| *other != AgentId(agent));
                self.credit.remove(&AgentId(agent));
                self.tell(Event::AgentDown(AgentId(agent)));
            }
            Act::Credit(agent, grants) => {
                let agent = AgentId(agent);
                *self.credit.entry(agent).or_default() += grants;
                self.tell(Event::Credit { agent, grants });
            }
            Act::Adopt { egress, job } => {
                let egress = EgressId(egress);
                let waits = |job: &Job| !matches!(job.at, Where::Store | Where::Running(_));
                let waiting = self.lines.jobs.values().filter(|job| waits(job)).map(|job| job.step.job);
                let job = job.and_then(|nth| nth_of(waiting, nth));
                self.adopted += 1;
                let attempt = AttemptId { start: 0, count: self.adopted };
                if let Some(job) = job {
                    self.lines.put(job, Where::Running(attempt));
                }
                // One that nobody waits for any more.
                let job = job.unwrap_or(JobId(1_000_000 + self.adopted));
                self.take_off(attempt, job, egress, Instant::ZERO);
                self.tell(Event::Adopt { attempt, job, service, egress });
            }
            Act::Spent(egress, calls) => {
                let egress = EgressId(egress);
                let of = self.budgets.of(egress, self.homes.get(&egress));
                self.budgets.spend(&of, calls, now + TIMEOUT + LINGER);
                self.tell(Event::Spent { service, egress, calls });
            }
            Act::Forgotten(calls) => {
                // Beyond the quota there is nothing more to forbid.
                let fleet = self.budgets.quotas.iter().find(|quota| quota.scope == Scope::Fleet);
                if let Some(most) = fleet.map(|quota| quota.units) {
                    let of = [Of::Shared(ScopeKey::Fleet)];
                    self.budgets.spend(&of, calls.min(most), now + TIMEOUT + LINGER);
                }
                let whose = Whose::Shared(Scope::Fleet, ScopeKey::Fleet);
                self.tell(Event::Forgotten { service, whose, calls });
            }
            Act::Wait(egress, length) => {
                let (egress, length) = (EgressId(egress), ms(length));
                self.budgets.wait(egress, now + length);
                self.tell(Event::Late { service, egress, length });
            }
            Act::Rest(egress, length) => {
                let (egress, length) = (EgressId(egress), ms(length));
                self.budgets.rest(&Of::Own(egress), (now + length, now + length), 0, now);
                self.tell(Event::Rest { service, egress, length });
                assert!(self.flights.iter().all(|flight| flight.egress != egress || flight.is_recalled));
            }
            Act::Left(egress, calls, reset) => {
                let (egress, reset) = (EgressId(egress), ms(reset));
                self.budgets.limit_to(egress, calls, now + reset, now);
                self.tell(Event::Left { service, egress, calls, reset });
            }
            Act::Shed => self.scheduler.shed(now),
            _ => {}
        }
    }
}
