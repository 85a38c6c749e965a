//! What was physically counted, by people or devices: the truth, applied
//! whatever was promised. Orders whose units are not there are listed for a
//! person.

use platform::{ApiError, audit};
use shared_types::Sku;
use sqlx::PgConnection;

use super::Stockroom;
use super::adjust::{AdjustError, Change, Found, MOST_ON_HAND, apply, find_place};
use crate::domain::level::{self, Level};
use crate::store;
use crate::store::ledger::Kind as Why;

/// Checked input.
#[derive(Clone, Debug)]
pub struct Count {
    pub sku: Sku,
    /// Units that are there.
    pub counted: i64,
    pub reason: String,
    /// The warehouse; the first by priority when absent.
    pub warehouse: Option<String>,
    pub actor: String,
}

/// Makes what was counted what is on hand; the warehouse it was in. Counting
/// the same twice changes nothing.
pub async fn count(room: &Stockroom, input: &Count) -> Result<String, ApiError> {
    let key = input.sku.key();
    let mut tx = room.pool.begin().await?;
    let found = find_place(room, &mut tx, &key, input.warehouse.as_deref()).await?;
    let warehouse = found.warehouse.clone();
    let here = level_of(&found, &key)?;
    let change = Change {
        delta: level::count(&here, input.counted.min(MOST_ON_HAND)),
        kind: Why::Count,
        reason: &input.reason,
        actor: &input.actor,
        counted: true,
    };
    if change.delta.on_hand != 0 {
        apply(room, &mut tx, &key, found, &change).await?;
        let entry = audit::Entry::new(&input.actor, "inventory.count", format!("sku:{key}"))
            .before(&here.on_hand)
            .after(&input.counted)
            .because(&input.reason);
        room.audit.record(&mut tx, entry).await?;
        tx.commit().await?;
    }
    Ok(warehouse)
}

/// What a device saw coming or going.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    pub sku: &'a Sku,
    pub delta: i64,
    pub reason: &'a str,
    pub device_id: &'a str,
    /// Named readings count once.
    pub reading_id: Option<&'a str>,
}

/// Applies a reading on a transaction of somebody else. False when it was
/// counted before.
pub async fn read_on(
    room: &Stockroom,
    tx: &mut PgConnection,
    reading: &Reading<'_>,
) -> Result<bool, ApiError> {
    let key = reading.sku.key();
    let found = find_place(room, tx, &key, None).await?;
    let now = room.clock.now();
    if let Some(id) = reading.reading_id
        && !store::ledger::note_reading(tx, reading.device_id, id, now).await?
    {
        return Ok(false);
    }
    let here = level_of(&found, &key)?;
    let after = (here.on_hand + reading.delta).clamp(0, MOST_ON_HAND);
    let actor = format!("device:{}", reading.device_id);
    let change = Change {
        delta: level::count(&here, after),
        kind: Why::Count,
        reason: reading.reason,
        actor: &actor,
        counted: true,
    };
    if change.delta.on_hand != 0 {
        apply(room, tx, &key, found, &change).await?;
    }
    Ok(true)
}

fn level_of(found: &Found, key: &str) -> Result<Level, AdjustError> {
    let place = found.shelf.items.get(key).and_then(|item| item.place(&found.warehouse));
    place.map(|p| p.level).ok_or(AdjustError::Unknown)
}
