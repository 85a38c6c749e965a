//! From moved levels to stored rows and events.

use std::collections::BTreeMap;

use contracts::events::inventory::{HeldLine, StockAdjusted, StockLow};
use platform::outbox::{Event, NewEvent};
use platform::{ApiError, Ids};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Stockroom;
use crate::domain::hold::HoldLine;
use crate::domain::level::{Moves, crosses};
use crate::domain::shelf::{Pick, Shelf};

/// More events than this go into several statements.
const EVENTS_PER_APPEND: usize = 2_000;

/// What was available per sku before anything moved.
pub fn availability(shelf: &Shelf) -> BTreeMap<String, i64> {
    shelf.items.iter().map(|(key, item)| (key.clone(), item.available())).collect()
}

/// One `stock.adjusted` per sku and warehouse that moved, and `stock.low` for
/// every sku that fell to its threshold. `shelf` shows the levels afterwards.
pub fn stock_events(
    ids: &Ids,
    before: &BTreeMap<String, i64>,
    shelf: &Shelf,
    moves: &Moves,
    reason: &str,
) -> Result<Vec<NewEvent>, ApiError> {
    let mut events = Vec::new();
    let mut last: Option<&str> = None;
    for ((key, warehouse), delta) in moves.iter() {
        let Some(item) = shelf.items.get(key) else { continue };
        let Some(place) = item.place(warehouse) else { continue };
        let level = place.level;
        events.push(event(
            ids,
            &StockAdjusted {
                product_id: item.product_id,
                sku: item.sku.clone(),
                warehouse: warehouse.clone(),
                delta: delta.on_hand,
                reason: reason.to_owned(),
                on_hand: level.on_hand,
                held: level.held,
                allocated: level.allocated,
                set_aside: level.set_aside,
                available: level.available(),
            },
        )?);
        if last == Some(key) {
            continue;
        }
        last = Some(key);
        let (was, available) = (before.get(key).copied().unwrap_or(0), item.available());
        if crosses(was, available, item.low_threshold) {
            events.push(event(
                ids,
                &StockLow {
                    product_id: item.product_id,
                    sku: item.sku.clone(),
                    available,
                    threshold: item.low_threshold,
                },
            )?);
        }
    }
    Ok(events)
}

pub fn event<E: Event>(ids: &Ids, event: &E) -> Result<NewEvent, ApiError> {
    NewEvent::of(ids, event).map_err(ApiError::internal)
}

pub async fn publish(
    room: &Stockroom,
    tx: &mut PgConnection,
    mut events: Vec<NewEvent>,
) -> Result<(), ApiError> {
    while !events.is_empty() {
        let rest = events.split_off(events.len().min(EVENTS_PER_APPEND));
        room.outbox.append_all(tx, events).await?;
        events = rest;
    }
    Ok(())
}

/// Lines of an event from what was picked.
pub fn picked_lines(shelf: &Shelf, picks: &[Pick]) -> Vec<HeldLine> {
    let line = |p: &Pick| line_of(shelf, &p.sku_key, &p.warehouse, p.qty, p.sale);
    picks.iter().filter_map(line).collect()
}

/// Lines of an event from a hold.
pub fn held_lines(shelf: &Shelf, lines: &[HoldLine]) -> Vec<HeldLine> {
    let line = |l: &HoldLine| line_of(shelf, &l.sku_key, &l.warehouse, l.qty, l.sale);
    lines.iter().filter_map(line).collect()
}

fn line_of(
    shelf: &Shelf,
    key: &str,
    warehouse: &str,
    qty: i64,
    sale_id: Option<Uuid>,
) -> Option<HeldLine> {
    let item = shelf.items.get(key)?;
    let (product_id, sku) = (item.product_id, item.sku.clone());
    Some(HeldLine { product_id, sku, qty, warehouse: warehouse.to_owned(), sale_id })
}
