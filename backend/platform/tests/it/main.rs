//! Tests of the ground against real PostgreSQL and a real Kafka client.

mod bench;
mod cluster;
mod engines;
mod sample;
