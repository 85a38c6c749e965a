//! Inventory against real PostgreSQL.

mod adjusting;
mod events;
mod holds;
mod races;
mod remote;
mod shop;
mod stock;
