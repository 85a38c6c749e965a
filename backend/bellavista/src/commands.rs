//! One file per command.

pub mod audit;
pub mod config;
pub mod generate;
pub mod healthcheck;
pub mod migrate;
pub mod outbox;
pub mod replay;
pub mod serve;
pub mod token;
pub mod token_keys;
