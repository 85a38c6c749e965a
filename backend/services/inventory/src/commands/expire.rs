//! Holds whose time ran out give their units back, within a second, and orders
//! that wait for units get what came.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use platform::lifecycle::Lifecycle;
use platform::{ApiError, trace};

use super::settle::Decided;
use super::{Stockroom, settle, waiting};
use crate::store;

/// Holds that expire in one transaction, at most.
const BATCH: i64 = 500;
/// How often the number of live holds is counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How long to wait when the database does not answer.
const AWAY: Duration = Duration::from_secs(1);

/// Expires what is due until the drain.
pub async fn run(room: Stockroom, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut counted: Option<Instant> = None;
    loop {
        let mut pause = room.settings.expiry_interval();
        match expire_due(&room).await {
            // More may be due already.
            Ok(expired) if expired == BATCH as usize => pause = Duration::ZERO,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(code = error.code, ?error, "holds could not be expired");
                pause = AWAY;
            }
        }
        if let Err(error) = waiting::serve(&room).await {
            tracing::warn!(code = error.code, ?error, "waiting orders could not be served");
        }
        if counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
            count(&room).await;
            counted = Some(Instant::now());
        }
        if !lifecycle.sleep(pause).await {
            return Ok(());
        }
    }
}

/// Expires up to one batch of due holds; how many it were.
pub async fn expire_due(room: &Stockroom) -> Result<usize, ApiError> {
    let now = room.clock.now();
    let mut tx = room.pool.begin().await?;
    let due: BTreeMap<_, _> =
        store::holds::lock_due(&mut tx, now, BATCH).await?.into_iter().collect();
    let expired = due.len();
    if expired == 0 {
        return Ok(0);
    }
    let settled = due.into_iter().map(|(order, hold)| {
        let settlement = hold.expire(now);
        Decided { order, hold, settlement, context: trace::current() }
    });
    settle::carry_out(room, &mut tx, settled.collect(), "expired").await?;
    tx.commit().await?;
    metrics::counter!("inventory_holds_expired_total").increment(expired as u64);
    Ok(expired)
}

async fn count(room: &Stockroom) {
    let counted = async {
        let mut connection = room.pool.acquire().await?;
        store::holds::count_live(&mut connection).await
    };
    match counted.await {
        Ok(live) => metrics::gauge!("inventory_holds").set(live as f64),
        Err(error) => tracing::debug!(%error, "live holds could not be counted"),
    }
}
