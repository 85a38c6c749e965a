//! Runs a service's [`Consumer`](super::Consumer) against the broker.

pub(crate) mod attempt;

pub use attempt::Outcome;
