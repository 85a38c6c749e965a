//! Inventory against real PostgreSQL.

mod adjusting;
mod events;
mod graph;
mod holds;
mod instances;
mod keeping;
mod live;
mod races;
mod remote;
mod sales;
mod shop;
mod stock;
mod waiting;
