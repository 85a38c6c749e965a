//! What tests of services stand on: real PostgreSQL, held time, hand-fed events.

pub mod cluster;
