//! Tests of the ground against real PostgreSQL and a real Kafka client.

mod audit;
mod bench;
mod burst;
mod cluster;
mod engines;
mod health;
mod idempotency;
mod kafka;
mod projection;
mod redrive;
mod relay;
mod resting;
mod router;
mod runner;
mod sample;
mod wakes;
