//! Housekeeping: old idempotency records, and the figures of sagas.

use std::sync::Arc;
use std::time::Duration;

use platform::idempotency;

use crate::app::App;
use crate::domain::saga::State;
use crate::store;

const EVERY: Duration = Duration::from_secs(10);
const RECORDS_AT_ONCE: i64 = 5_000;

/// Runs until the drain; a database that is away is tried again.
pub async fn housekeeping(app: Arc<App>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = count(&app).await {
            tracing::warn!(%error, "sagas could not be counted");
        }
        loop {
            let now = app.ctx.clock.now();
            match idempotency::prune(&app.ctx.pool, now, RECORDS_AT_ONCE).await {
                Ok(gone) if gone == RECORDS_AT_ONCE as u64 => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "old idempotency records could not be deleted");
                    break;
                }
            }
            if app.ctx.lifecycle.is_draining() {
                return Ok(());
            }
        }
        if !app.ctx.lifecycle.sleep(EVERY).await {
            return Ok(());
        }
    }
}

/// Count and age of sagas under way by state, those that need a person, and
/// those that nobody took up in time.
async fn count(app: &App) -> Result<(), sqlx::Error> {
    let now = app.ctx.clock.now();
    let found = store::saga_lists::census(&app.ctx.pool).await?;
    for state in State::ALL.into_iter().filter(|s| *s != State::Done) {
        let entry = found.iter().find(|c| c.state == state.as_str());
        let age = entry.map_or(0.0, |c| now.since(c.oldest).as_secs_f64());
        let label = state.as_str();
        metrics::gauge!("saga_count", "state" => label).set(entry.map_or(0.0, |c| c.count as f64));
        metrics::gauge!("saga_age_seconds", "state" => label).set(age);
    }
    let limit = now.minus(Duration::from_millis(app.config.overdue_ms));
    let (stuck, overdue) = store::saga_lists::troubled(&app.ctx.pool, limit).await?;
    metrics::gauge!("saga_stuck").set(stuck as f64);
    metrics::gauge!("saga_overdue").set(overdue as f64);
    Ok(())
}
