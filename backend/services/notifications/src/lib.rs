//! Live channels: orders as they move, for shoppers and staff.
//!
//! Owns: what was said to whom (`live_messages`, kept for a day) and whose order
//! it is. Told by the events of orders; tells through `/ws/orders` and
//! `/ws/admin`.
//!
//! Invariants: `seq` counts 1, 2, 3 … per target, so that a client can resume
//! without a gap; a socket shows one account's orders only; a slow client is
//! closed, never buffered without bound.
//!
//! Start with `socket`, then `consumers`.

mod access;
mod config;
mod consumers;
mod socket;
mod store;

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use platform::wakes::Wakes;
use platform::{Context, Service};
use sqlx::migrate::Migrator;

use crate::config::NotificationsConfig;

/// The schema's history.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations/notifications");

#[derive(Clone)]
struct App {
    ctx: Context,
    config: Arc<NotificationsConfig>,
    hub: Wakes,
}

const PRUNE_EVERY: Duration = Duration::from_secs(60);
const PRUNE_AT_MOST: i64 = 10_000;

/// Builds the service.
pub fn build(ctx: Context) -> anyhow::Result<Service> {
    let config: NotificationsConfig = ctx.config.section("notifications")?;
    let app = App { ctx: ctx.clone(), config: Arc::new(config), hub: Wakes::over(store::CHANNEL) };
    let (pool, clock, lifecycle) = (ctx.pool.clone(), ctx.clock.clone(), ctx.lifecycle.clone());
    let kept = app.config.kept();
    let prune = async move {
        while lifecycle.sleep(PRUNE_EVERY).await {
            let before = clock.now().minus(kept);
            if let Err(error) = store::prune(&pool, before, PRUNE_AT_MOST).await {
                tracing::warn!(%error, "pruning old live messages");
            }
        }
        Ok(())
    };
    let sockets = axum::Router::new()
        .route("/ws/orders", get(socket::orders))
        .route("/ws/admin", get(socket::admin))
        .with_state(app.clone());
    let listen = app.hub.clone().listen(ctx.pool.clone(), ctx.lifecycle.clone(), None);
    Ok(Service::new(ctx)
        .root(sockets)
        .consumer(consumers::consumer(app))
        .task("pruning", prune)
        .task("wake-ups", listen))
}
