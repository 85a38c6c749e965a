//! Read models over the service's own events.

pub mod snapshot;
