//! Cart against real PostgreSQL.

mod events;
mod graph;
mod items;
mod merging;
mod remote;
mod shop;
