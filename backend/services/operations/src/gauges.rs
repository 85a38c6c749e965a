//! How many dead letters wait, and for how long; and tidying up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::App;
use crate::store::{letters, redrives, search};

const EVERY: Duration = Duration::from_secs(5);
const PRUNE_EVERY: Duration = Duration::from_secs(600);
const PRUNED_AT_ONCE: i64 = 1_000;

/// Reports until the drain; a database that is away is asked again.
pub async fn run(app: App) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    let mut pruned: Option<Instant> = None;
    loop {
        if let Err(error) = report(&app, &mut seen).await {
            tracing::debug!(%error, "dead letters cannot be counted");
        }
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            pruned = Some(Instant::now());
            if let Err(error) = prune(&app).await {
                tracing::warn!(%error, "pruning settled dead letters");
            }
        }
        if !app.ctx.lifecycle.sleep(EVERY).await {
            return Ok(());
        }
    }
}

async fn report(app: &App, seen: &mut BTreeSet<String>) -> Result<(), sqlx::Error> {
    let mut connection = app.ctx.pool.acquire().await?;
    let sizes = search::sizes(&mut connection).await?;
    let active = redrives::active(&mut connection).await?.len();
    metrics::gauge!("redrives_active").set(active as f64);
    let now = app.ctx.clock.now();
    // A consumer whose last letter went is reported as zero.
    for consumer in seen.iter().filter(|c| !sizes.iter().any(|(name, ..)| name == *c)) {
        set(consumer, 0, 0.0);
    }
    let mut total = 0;
    for (consumer, count, oldest) in sizes {
        total += count;
        set(&consumer, count, now.since(oldest).as_secs_f64());
        seen.insert(consumer);
    }
    metrics::gauge!("dlq_size").set(total as f64);
    Ok(())
}

fn set(consumer: &str, count: i64, age: f64) {
    let labels = [("consumer", consumer.to_owned())];
    metrics::gauge!("dead_letters_open", &labels).set(count as f64);
    metrics::gauge!("dead_letters_oldest_age_seconds", &labels).set(age);
}

async fn prune(app: &App) -> Result<(), sqlx::Error> {
    let mut connection = app.ctx.pool.acquire().await?;
    let before = app.ctx.clock.now().minus(app.settings.kept());
    letters::prune(&mut connection, before, PRUNED_AT_ONCE).await?;
    Ok(())
}
