//! The ground that every service stands on. It knows no business word.
//!
//! Owns: configuration, lifecycle with drain, identity of callers, errors and
//! their one table, HTTP and gRPC manners, the database with its migrations,
//! the transactional outbox and its relay, consumers with inbox and parking,
//! idempotency, metrics, logs, and the child engines of the embedded mode.
//!
//! Invariants: an event is published only by appending to the outbox on the
//! transaction that changes state; a background task is spawned only by the
//! [`lifecycle`]; every queue, retry, page and body has a limit.
//!
//! Start with [`service`], then [`error`], [`http`], [`outbox`] and [`consumer`].

pub mod audit;
pub mod auth;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod crypto;
pub mod db;
pub mod engines;
pub mod error;
pub mod etag;
pub mod gather;
pub mod graphql;
pub mod grpc;
pub mod health;
pub mod http;
pub mod idempotency;
pub mod instance;
pub mod kafka;
pub mod lifecycle;
pub mod logging;
pub mod news;
pub mod outbox;
pub mod paging;
pub mod policy;
pub mod projection;
pub mod recent;
pub mod resilience;
pub mod service;
pub mod telemetry;
pub mod testing;
pub mod trace;
pub mod validate;
pub mod wakes;

pub use clock::{Clock, Ids};
pub use error::{ApiError, Failure, Kind};
pub use service::{Context, Service};
