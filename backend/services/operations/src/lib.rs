//! Dead letters, redrives, and the search over the audit log.
//!
//! Owns: the inbox into which every `*.DLQ` topic is read, redrives with their
//! progress, and a copy of every audit entry that services export.
//!
//! Invariants: a record of a dead letter topic is taken once; nothing leaves
//! the inbox except by redrive, redirect, or deletion with a reason; a
//! redriven message goes through the outbox to the consumer that failed and to
//! nobody else; every view of content and every action is audited per message.
//!
//! Start with `domain`, then `intake` (how letters come in), `commands` and
//! `driver` (how they go back).

mod commands;
mod config;
mod domain;
mod driver;
mod gauges;
mod graph;
mod intake;
mod neighbours;
mod outbound;
mod queries;
mod rest;
mod store;

use std::sync::Arc;

use platform::{Context, Service};
use sqlx::migrate::Migrator;

use crate::config::Settings;

/// The schema's history.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations/operations");

/// What every part of the service works with. Cheap to clone.
#[derive(Clone)]
struct App {
    ctx: Context,
    settings: Arc<Settings>,
    /// Every consumer of this installation, by name.
    consumers: Arc<[&'static str]>,
    /// A redrive was started.
    started: Arc<tokio::sync::Notify>,
}

/// Builds the service; `consumers` are the ones that dead letters can be sent
/// back to.
pub fn build(ctx: Context, consumers: Vec<&'static str>) -> anyhow::Result<Service> {
    let app = App {
        settings: Arc::new(Settings::read(&ctx.config)?),
        consumers: consumers.into(),
        started: Arc::default(),
        ctx: ctx.clone(),
    };
    Ok(Service::new(ctx)
        .rest(rest::router(app.clone()))
        .graph(graph::graph(app.clone()))
        .consumer(intake::consumer(&app))
        .task("redrives", driver::run(app.clone()))
        .task("dead letter gauges", gauges::run(app)))
}
