//! Accounts: who somebody is and how they prove it.
//!
//! Owns: users, credentials (Argon2id), roles, sessions, refresh tokens and the
//! public half of the signing key.
//!
//! Invariants: personal columns are encrypted and found by keyed hash only; an
//! address that is taken is refused, one that does not exist is not told from a
//! wrong password; a refresh token works once, and a second use ends its session.
//!
//! Start with `sessions`, then `accounts`.

mod accounts;
mod config;
mod graph;
mod passwords;
mod rest;
mod sessions;
mod store;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use platform::{Context, Service, idempotency};
use sqlx::migrate::Migrator;

use crate::config::IdentityConfig;

/// The schema's history.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations/identity");

/// What every handler stands on.
#[derive(Clone)]
struct App {
    ctx: Context,
    config: Arc<IdentityConfig>,
    passwords: passwords::Passwords,
    throttle: throttle::Throttle,
}

/// Ended sessions are swept this often.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
const SWEEP_AT_MOST: i64 = 1_000;

/// Builds the service.
pub fn build(ctx: Context) -> anyhow::Result<Service> {
    let config: IdentityConfig = ctx.config.section("identity")?;
    let app = App {
        passwords: passwords::Passwords::new(config.concurrent_hashes)?,
        throttle: throttle::Throttle::new(ctx.clock.clone(), &config),
        config: Arc::new(config),
        ctx: ctx.clone(),
    };
    let (pool, clock, lifecycle) = (ctx.pool.clone(), ctx.clock.clone(), ctx.lifecycle.clone());
    let sweep = async move {
        while lifecycle.sleep(SWEEP_EVERY).await {
            if let Err(error) = store::sweep_sessions(&pool, clock.now(), SWEEP_AT_MOST).await {
                tracing::warn!(%error, "sweeping ended sessions");
            }
        }
        Ok(())
    };
    let graph = graph::graph(app.clone());
    let (rest, root) = rest::routers(app);
    Ok(Service::new(ctx.clone())
        .rest(rest)
        .graph(graph)
        .root(root)
        .task("session sweep", sweep)
        .task("identity-prune", idempotency::pruning(ctx)))
}
