//! Orders against real PostgreSQL, with scripted neighbours.

mod cancel;
mod events;
mod pay;
mod place;
mod reads;
mod refund;
mod saga;
mod support;
