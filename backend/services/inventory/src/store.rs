//! All SQL of inventory: free functions on a connection.
//!
//! Locks are taken in one order by everybody: a hold that exists, then stock by
//! sku and warehouse, then new holds by order id, then the outbox.

pub mod asides;
pub mod holds;
pub mod items;
pub mod ledger;
pub mod promises;
pub mod queue;
pub mod shelf;
