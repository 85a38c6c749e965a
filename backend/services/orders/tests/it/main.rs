//! Orders against real PostgreSQL, with scripted neighbours.

mod cancel;
mod crashes;
mod events;
mod graph;
mod live;
mod operators;
mod pay;
mod place;
mod reads;
mod refund;
mod saga;
mod support;
