//! How many calls are handed out before a given one.
//!
//! Classes share by weight, and inside a class tenants do; whoever has nothing waiting leaves its share to the others.
//! Served as a fluid, each tenant has got its weight times one virtual time of its class, or all that it had; likewise
//! each class. So what went before a call is known from how far its own tenant and class have come by then.

use crate::scheduler::Class;

/// What classes get of each other, as the scheduler's queue has it.
const WEIGHTS: [(Class, f64); 3] = [(Class::Interactive, 16.0), (Class::Normal, 4.0), (Class::Bulk, 1.0)];
/// A turn lies anywhere between two of one's own: half of what others get between them goes before, in the mean.
const HALF_A_TURN: f64 = 0.5;

/// What one tenant has waiting in one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<T> {
    /// The class.
    pub class: Class,
    /// Whose.
    pub tenant: T,
    /// What the tenant gets beside others of the class; above zero.
    pub weight: f64,
    /// Calls waiting.
    pub waiting: u64,
}

/// Calls that are handed out before the one of `class` and `tenant` that has `before` of its own line in front of it.
pub fn ahead<T: PartialEq>(lines: &[Line<T>], class: Class, tenant: &T, before: u64) -> u64 {
    let own = lines.iter().find(|line| line.class == class && line.tenant == *tenant);
    let turn = (before as f64 + HALF_A_TURN) / own.map_or(1.0, |line| line.weight);
    let others = lines.iter().filter(|line| line.class == class && line.tenant != *tenant);
    let of_class =
        before as f64 + others.map(|line| (line.weight * turn).min(line.waiting as f64)).sum::<f64>();
    let turn = (of_class + HALF_A_TURN) / weight(class);
    let of_others = WEIGHTS.iter().filter(|(other, _)| *other != class).map(|(other, weight)| {
        let waiting: u64 = lines.iter().filter(|line| line.class == *other).map(|line| line.waiting).sum();
        (weight * turn).min(waiting as f64)
    });
    (of_class + of_others.sum::<f64>()).round() as u64
}

fn weight(class: Class) -> f64 {
    WEIGHTS.iter().find(|(other, _)| *other == class).map_or(1.0, |(_, weight)| *weight)
}

#[cfg(test)]
mod tests;
