//! Confirming and giving back.

use std::collections::BTreeSet;

use contracts::events::inventory::{ReservationConfirmed, ReservationExpired, ReservationReleased};
use platform::outbox::NewEvent;
use platform::{ApiError, Ids};
use shared_types::OrderId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::reserve::ReserveError;
use super::{Stockroom, effects};
use crate::domain::hold::{Hold, HoldStatus, Settlement};
use crate::domain::level::Moves;
use crate::domain::shelf::Shelf;
use crate::store;
use crate::store::shelf::{Effects, WriteError};

/// Turns a hold into an allocation. False when the hold is gone: expired,
/// released or never made. Idempotent.
pub async fn confirm(room: &Stockroom, order: OrderId) -> Result<bool, ApiError> {
    let mut tx = room.pool.begin().await?;
    let confirmed = confirm_on(room, &mut tx, order).await?;
    tx.commit().await?;
    Ok(confirmed)
}

/// The same on a transaction of somebody else.
pub async fn confirm_on(
    room: &Stockroom,
    tx: &mut PgConnection,
    order: OrderId,
) -> Result<bool, ApiError> {
    let Some(hold) = store::holds::lock(tx, order.0).await? else { return Ok(false) };
    let settlement = hold.confirm();
    let confirmed = settlement != Settlement::Gone;
    carry_out(room, tx, vec![(order.0, hold, settlement)], "confirmed").await?;
    Ok(confirmed)
}

/// Gives a hold or an allocation back; false when there was nothing (left) to
/// give. An order that holds nothing yet is marked, so that a reservation that
/// arrives late holds nothing either. Idempotent.
pub async fn release(room: &Stockroom, order: OrderId) -> Result<bool, ApiError> {
    let mut tx = room.pool.begin().await?;
    let released = release_on(room, &mut tx, order).await?;
    tx.commit().await?;
    Ok(released)
}

/// The same on a transaction of somebody else.
pub async fn release_on(
    room: &Stockroom,
    tx: &mut PgConnection,
    order: OrderId,
) -> Result<bool, ApiError> {
    let hold = match store::holds::lock(tx, order.0).await? {
        Some(hold) => hold,
        None if store::holds::bury(tx, order.0, room.clock.now()).await? => return Ok(false),
        // A reservation was committed between the two statements.
        None => store::holds::lock(tx, order.0).await?.ok_or(ReserveError::Raced)?,
    };
    let settlement = hold.release();
    let released = matches!(settlement, Settlement::Moves(..));
    carry_out(room, tx, vec![(order.0, hold, settlement)], "released").await?;
    Ok(released)
}

/// Writes what was decided for locked holds, and tells.
pub async fn carry_out(
    room: &Stockroom,
    tx: &mut PgConnection,
    settled: Vec<(Uuid, Hold, Settlement)>,
    reason: &str,
) -> Result<(), ApiError> {
    let mut effects = Effects::default();
    let mut moved: Vec<(Uuid, Hold, HoldStatus)> = Vec::new();
    for (order, hold, settlement) in settled {
        match settlement {
            Settlement::Moves(status, moves) => {
                for ((key, warehouse), delta) in moves.iter() {
                    effects.moves.add(key, warehouse, *delta);
                }
                effects.marked.push((order, status));
                moved.push((order, hold, status));
            }
            Settlement::Marks(status) => effects.marked.push((order, status)),
            Settlement::Already | Settlement::Gone => {}
        }
    }
    if effects.marked.is_empty() {
        return Ok(());
    }
    let mut shelf = lock_shelf(tx, &effects.moves).await?;
    let before = effects::availability(&shelf);
    shelf.apply(&effects.moves);
    write(room, tx, &effects).await?;
    let mut events = Vec::new();
    for (order, hold, status) in &moved {
        events.extend(outcome(&room.ids, &shelf, *order, hold, *status)?);
    }
    events.extend(effects::stock_events(&room.ids, &before, &shelf, &effects.moves, reason)?);
    effects::publish(room, tx, events).await
}

/// Locks the skus that will move.
pub async fn lock_shelf(tx: &mut PgConnection, moves: &Moves) -> Result<Shelf, ApiError> {
    let keys: BTreeSet<&str> = moves.iter().map(|((key, _), _)| key.as_str()).collect();
    if keys.is_empty() {
        return Ok(Shelf::default());
    }
    let keys: Vec<&str> = keys.into_iter().collect();
    Ok(store::shelf::lock(tx, &keys).await?)
}

/// Writes effects that make no holds, and so cannot lose a race.
pub async fn write(
    room: &Stockroom,
    tx: &mut PgConnection,
    effects: &Effects,
) -> Result<(), ApiError> {
    store::shelf::write(tx, effects, room.clock.now()).await.map_err(|error| match error {
        WriteError::Raced => ReserveError::Raced.into(),
        WriteError::Database(error) => error.into(),
    })
}

fn outcome(
    ids: &Ids,
    shelf: &Shelf,
    order: Uuid,
    hold: &Hold,
    status: HoldStatus,
) -> Result<Option<NewEvent>, ApiError> {
    let (order_id, lines) = (OrderId(order), effects::held_lines(shelf, &hold.lines));
    let event = match status {
        HoldStatus::Held => return Ok(None),
        HoldStatus::Confirmed => effects::event(ids, &ReservationConfirmed { order_id, lines })?,
        HoldStatus::Released => effects::event(ids, &ReservationReleased { order_id, lines })?,
        HoldStatus::Expired => effects::event(ids, &ReservationExpired { order_id, lines })?,
    };
    Ok(Some(event))
}
