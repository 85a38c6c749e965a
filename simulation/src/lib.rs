//! Saga, stock and payments in virtual time.
//!
//! What decides here is what decides in the shop: the pure cores of `orders`
//! ([`orders::domain::saga`]), `inventory` ([`inventory::domain::book`]) and
//! `payments`. Everything around them is a world made up from a seed: buyers
//! who race for few units, calls that are lost, late or doubled, instances that
//! die wherever something is stored, clocks that differ, events that are
//! published twice.
//!
//! Invariants: one seed is one course of events, to the byte: no clock, no
//! thread, no hash order; a world that breaks a promise says which and when.
//!
//! Start with [`examine`], then `scenario`, `world`, `promises`.

mod events;
mod money;
mod network;
mod orders;
mod promises;
mod rng;
mod sabotage;
mod scenario;
mod shrink;
mod stock;
mod worker;
mod world;

pub use sabotage::Sabotage;
use scenario::Scenario;
use world::World;

/// What became of a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Which promise was broken first.
    pub broken: Option<String>,
    /// Orders that were placed.
    pub orders: usize,
    /// Orders that were sold in the end.
    pub sold: usize,
    /// Transactions after which the promises were looked at.
    pub commits: u64,
    /// Everything that happened, when it was asked for.
    pub trace: String,
}

/// A broken promise, as small as it could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub seed: u64,
    pub broken: String,
    /// What the course needs to break it.
    pub needs: String,
    pub trace: String,
}

/// Lets a seed take its course.
pub fn run(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Course {
    live(&Scenario::of(seed), sabotage, traced)
}

fn live(scenario: &Scenario, sabotage: Option<Sabotage>, traced: bool) -> Course {
    let mut world = World::new(scenario, sabotage, traced);
    world.run();
    let confirmed = shared_types::orders::OrderStatus::Confirmed;
    Course {
        broken: world.broken.clone(),
        orders: world.rows.len(),
        sold: world.rows.values().filter(|row| row.saga.status == confirmed).count(),
        commits: world.commits,
        trace: world.into_trace(),
    }
}

/// The broken promise of a seed, made small; none when it keeps them all.
pub fn examine(seed: u64, sabotage: Option<Sabotage>) -> Option<Finding> {
    run(seed, sabotage, false).broken?;
    Some(shrink::smallest(Scenario::of(seed), sabotage))
}
