//! Settles what was left open: by a crash, a lost answer or a provider that
//! was away. Runs in every instance; a row belongs to one at a time.

use std::time::Duration;

use platform::trace;

use crate::house::House;
use crate::{capture, refund, store};

/// How often the gauges are read from the database.
const GAUGES_EVERY: Duration = Duration::from_secs(5);

/// Until the drain.
pub async fn run(house: House) -> anyhow::Result<()> {
    let every = Duration::from_millis(house.settings.reconcile_every_ms);
    let mut since_gauges = GAUGES_EVERY;
    loop {
        let (attempts, refunds) = tokio::join!(attempts(&house), refunds(&house));
        for failure in [attempts.err(), refunds.err()].into_iter().flatten() {
            // The database may be away for a moment; the rows stay where they are.
            tracing::warn!(error = format!("{failure:#}"), "reconciliation pauses");
        }
        since_gauges += every;
        if since_gauges >= GAUGES_EVERY {
            since_gauges = Duration::ZERO;
            gauges(&house).await;
        }
        if !house.ctx.lifecycle.sleep(every).await {
            return Ok(());
        }
    }
}

async fn attempts(house: &House) -> anyhow::Result<()> {
    let (claim, _) = house.claim();
    let limit = house.settings.reconcile_batch;
    let due = store::attempts::claim_due(&house.ctx.pool, &claim, limit).await?;
    for row in due {
        let (working, id) = (house.clone(), row.attempt_id);
        let context = store::trace_of(&row.trace_id, &row.correlation_id);
        let work = async move { capture::resume(&working, row).await };
        spawn(house, id.to_string(), context, work).await;
    }
    Ok(())
}

async fn refunds(house: &House) -> anyhow::Result<()> {
    let (claim, _) = house.claim();
    let limit = house.settings.reconcile_batch;
    let due = store::refunds::claim_due(&house.ctx.pool, &claim, limit).await?;
    for row in due {
        let (working, id) = (house.clone(), row.refund_id);
        let context = store::trace_of(&row.trace_id, &row.correlation_id);
        let work = async move { refund::resume(&working, row).await };
        spawn(house, id.to_string(), context, work).await;
    }
    Ok(())
}

/// One slow provider call must not hold up the rest; the number of calls is
/// bounded by the permits, and waiting for one slows the claiming down.
async fn spawn(
    house: &House,
    id: String,
    context: trace::TraceContext,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) {
    let Ok(permit) = house.running.clone().acquire_owned().await else { return };
    house.ctx.lifecycle.spawn("reconciliation", async move {
        if let Err(error) = trace::within(context, work).await {
            tracing::error!(id, error = format!("{error:#}"), "left to the next round");
        }
        drop(permit);
        Ok(())
    });
}

async fn gauges(house: &House) {
    let read = async {
        let mut connection = house.connection().await?;
        store::unknown(&mut connection).await
    };
    if let Ok((count, oldest)) = read.await {
        let age = oldest.map_or(Duration::ZERO, |at| house.ctx.clock.now().since(at));
        metrics::gauge!("payments_unknown").set(count as f64);
        metrics::gauge!("payments_unknown_oldest_seconds").set(age.as_secs_f64());
    }
}
