//! Read models over the service's own events.

pub mod order_summaries;
