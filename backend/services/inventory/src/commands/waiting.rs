//! Orders that wait for units get what came, first come first served.
//!
//! Units come by many ways: receipts, returns, releases, expiries. None of them
//! serves the queue itself; while orders wait for a sku, what is free of it is
//! sold to nobody else, so that this can happen a moment later and in the one
//! lock order, holds before stock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contracts::events::inventory::ReservationHeld;
use platform::ApiError;
use shared_types::OrderId;
use uuid::Uuid;

use super::{Stockroom, effects, settle};
use crate::domain::hold::HoldStatus;
use crate::store;
use crate::store::shelf::Effects;

/// Skus served at a time, and orders of each.
const SKUS: i64 = 20;
const ORDERS: i64 = 100;
/// How long the buyer has to pay for what came.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Serves the heads of the queues; how many orders got everything.
pub async fn serve(room: &Stockroom) -> Result<usize, ApiError> {
    let mut connection = room.pool.acquire().await?;
    let keys = store::queue::servable(&mut connection, SKUS).await?;
    drop(connection);
    let mut complete = 0;
    for key in keys {
        complete += serve_sku(room, key).await?;
    }
    Ok(complete)
}

async fn serve_sku(room: &Stockroom, key: String) -> Result<usize, ApiError> {
    let keys = [key];
    let mut tx = room.pool.begin().await?;
    let heads = store::queue::head(&mut tx, &keys, ORDERS).await?;
    let orders: BTreeSet<Uuid> = heads.iter().map(|w| w.order_id).collect();
    let mut holds = BTreeMap::new();
    for order in orders {
        if let Some(hold) = store::holds::lock(&mut tx, order).await? {
            holds.insert(order, hold);
        }
    }
    let mut shelf = store::shelf::lock(&mut tx, &[&keys[0]]).await?;
    // What was read before the locks may be over: only those are served whose
    // hold is ours and waits, and nobody behind somebody who is not.
    let mut queue = store::queue::head(&mut tx, &keys, ORDERS).await?;
    let ours = |order: &Uuid| holds.get(order).is_some_and(|h| h.status == HoldStatus::Waiting);
    let end = queue.iter().position(|w| !ours(&w.order_id)).unwrap_or(queue.len());
    queue.truncate(end);
    let before = effects::availability(&shelf);
    let (served, moves) = shelf.serve(&queue);
    if served.is_empty() {
        return Ok(0);
    }
    let expires_at = room.clock.now().plus(KEPT);
    let effects = Effects { moves, ..Effects::default() };
    settle::write(room, &mut tx, &effects).await?;
    let mut events = Vec::new();
    let mut complete = 0;
    for (order, picks) in &served {
        let Some(hold) = holds.get_mut(order) else { continue };
        let all_there = hold.receive(picks, expires_at);
        store::queue::write_served(&mut tx, *order, picks, hold).await?;
        if all_there {
            complete += 1;
            let skus: BTreeSet<&str> = hold.lines.iter().map(|l| l.sku_key.as_str()).collect();
            let skus: Vec<&str> = skus.into_iter().collect();
            let named = store::shelf::read(&mut tx, &skus).await?;
            let lines = effects::held_lines(&named, &hold.lines);
            let (order_id, expires_at) = (OrderId(*order), hold.expires_at);
            events
                .push(effects::event(&room.ids, &ReservationHeld { order_id, lines, expires_at })?);
        }
    }
    let moves = &effects.moves;
    events.extend(effects::stock_events(&room.ids, &before, &shelf, moves, "backorder")?);
    effects::publish(room, &mut tx, events).await?;
    tx.commit().await?;
    Ok(complete)
}
