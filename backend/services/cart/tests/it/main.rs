//! Cart against real PostgreSQL.

mod events;
mod items;
mod merging;
mod remote;
mod shop;
