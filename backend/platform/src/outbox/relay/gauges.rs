//! How much waits, and for how long: reported even while publishing is stuck.

use std::time::Duration;

use sqlx::Row;

use crate::service::Context;

const EVERY: Duration = Duration::from_secs(2);
/// Counting stops here: more is as bad.
const COUNTED: i64 = 100_000;

/// Reports until the process ends; a database that is away is tried again.
pub(super) async fn run(ctx: &Context) -> anyhow::Result<()> {
    loop {
        if let Err(error) = report(ctx).await {
            tracing::warn!(service = ctx.service, %error, "the outbox cannot be counted");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn report(ctx: &Context) -> Result<(), sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT $1) AS counted) AS pending,
                (SELECT count(*) FROM (SELECT 1 FROM outbox_dead LIMIT $1) AS counted) AS dead,
                (SELECT occurred_at FROM outbox ORDER BY id LIMIT 1) AS oldest",
    )
    .bind(COUNTED)
    .fetch_one(&ctx.pool)
    .await?;
    let oldest: Option<shared_types::Timestamp> = row.try_get("oldest")?;
    let age = oldest.map_or(0.0, |at| ctx.clock.now().since(at).as_secs_f64());
    let service = ctx.service;
    metrics::gauge!("outbox_oldest_age_seconds", "service" => service).set(age);
    let (size, idle) = (f64::from(ctx.pool.size()), ctx.pool.num_idle() as f64);
    metrics::gauge!("db_pool_connections", "service" => service, "state" => "idle").set(idle);
    metrics::gauge!("db_pool_connections", "service" => service, "state" => "in_use")
        .set((size - idle).max(0.0));
    metrics::gauge!("outbox_pending", "service" => service)
        .set(row.try_get::<i64, _>("pending")? as f64);
    metrics::gauge!("outbox_dead", "service" => service).set(row.try_get::<i64, _>("dead")? as f64);
    Ok(())
}
