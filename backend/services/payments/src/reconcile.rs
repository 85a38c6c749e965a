//! Settles what was left open: by a crash, a lost answer or a provider that
//! was away. Runs in every instance; a row belongs to one at a time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use platform::trace;

use crate::domain::masked;
use crate::house::House;
use crate::provider::CallRow;
use crate::{drive, refund, store};

/// How often the gauges are read from the database.
const GAUGES_EVERY: Duration = Duration::from_secs(5);

/// Until the drain.
pub async fn run(house: House) -> anyhow::Result<()> {
    let every = Duration::from_millis(house.settings.reconcile_every_ms);
    let mut since_gauges = GAUGES_EVERY;
    loop {
        let freed = store::free_from_the_dead(&house.ctx.pool, house.ctx.clock.now()).await;
        let (attempts, refunds) = tokio::join!(attempts(&house), refunds(&house));
        let freed = freed.map_err(anyhow::Error::from);
        for failure in [freed.err(), attempts.err(), refunds.err()].into_iter().flatten() {
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
        let work = async move { drive::resume(&working, row).await };
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

/// Says in the row of the question that the amount is another: a person has to
/// look, and reconciliation never settles it by itself.
pub fn mark_mismatch(calls: &mut [CallRow], transaction_id: &str) {
    metrics::counter!("payment_mismatches_total").increment(1);
    if let Some(asked) = calls.last_mut() {
        asked.outcome = "mismatch";
        asked.message.push_str(&format!(", {} of another amount", masked(transaction_id)));
    }
}

/// The share of the fallback among the last answers of this process.
#[derive(Debug, Default)]
pub struct FallbackShare(Mutex<VecDeque<bool>>);

impl FallbackShare {
    const LAST: usize = 1_000;

    /// An answer came, through the fallback or not.
    pub fn note(&self, fallback: bool) {
        let mut last = self.0.lock().unwrap_or_else(|p| p.into_inner());
        if last.len() == Self::LAST {
            last.pop_front();
        }
        last.push_back(fallback);
    }

    /// 0 to 1; 0 while there is no answer.
    fn value(&self) -> f64 {
        let last = self.0.lock().unwrap_or_else(|p| p.into_inner());
        let through = last.iter().filter(|fallback| **fallback).count();
        through as f64 / last.len().max(1) as f64
    }
}

async fn gauges(house: &House) {
    metrics::gauge!("payment_fallback_share").set(house.share.value());
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
