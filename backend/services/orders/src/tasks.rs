//! Housekeeping: old idempotency records, and the figure of stuck sagas.

use std::sync::Arc;
use std::time::Duration;

use platform::idempotency;

use crate::app::App;
use crate::store;

const EVERY: Duration = Duration::from_secs(30);
const RECORDS_AT_ONCE: i64 = 5_000;

/// Runs until the drain; a database that is away is tried again.
pub async fn housekeeping(app: Arc<App>) -> anyhow::Result<()> {
    loop {
        match store::sagas::stuck(&app.ctx.pool).await {
            Ok(count) => metrics::gauge!("saga_stuck").set(count as f64),
            Err(error) => tracing::warn!(%error, "stuck sagas could not be counted"),
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
