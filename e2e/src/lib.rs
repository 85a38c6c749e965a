//! A whole shop under test: started like a person would, spoken to like a client
//! would.
//!
//! Owns: [`shop::Shop`], one running shop per test process with its own state
//! folder and ports, gone when the process ends; [`api::Api`], a plain REST
//! client; [`log`], a plain Kafka reader; [`browser`], a real Chromium.
//!
//! Invariant: nothing here knows a service's insides; what a test sees, a
//! client sees.

pub mod api;
mod axe;
pub mod browser;
pub mod log;
pub mod shop;
