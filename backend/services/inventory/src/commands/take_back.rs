//! Units of a confirmed order come back after a refund with restock.

use platform::{ApiError, Failure, Kind};
use shared_types::OrderId;
use uuid::Uuid;

use super::{Stockroom, effects, settle};
use crate::domain::hold::{HoldStatus, ReturnRefusal};
use crate::domain::shelf::Units;
use crate::store;
use crate::store::ledger::{Entry, Kind as Why};
use crate::store::shelf::Effects;

#[derive(Debug, thiserror::Error)]
pub enum TakeBackError {
    #[error("This order holds no confirmed stock.")]
    NotConfirmed,
    #[error("Of {sku_key} only {left} units are left in this order.")]
    Exceeds { sku_key: String, left: i64 },
    #[error("This return was made with other lines before.")]
    Differs,
}

impl Failure for TakeBackError {
    fn kind(&self) -> Kind {
        Kind::Refused
    }

    fn code(&self) -> &'static str {
        match self {
            TakeBackError::NotConfirmed => "inventory.not_confirmed",
            TakeBackError::Exceeds { .. } => "inventory.return_exceeds",
            TakeBackError::Differs => "inventory.return_differs",
        }
    }
}

impl From<ReturnRefusal> for TakeBackError {
    fn from(refusal: ReturnRefusal) -> Self {
        match refusal {
            ReturnRefusal::NotConfirmed => TakeBackError::NotConfirmed,
            ReturnRefusal::Exceeds { sku_key, left } => TakeBackError::Exceeds { sku_key, left },
        }
    }
}

/// Takes units out of the order: undispatched ones stop being allocated,
/// dispatched ones go back on the shelf. Idempotent per `return_id`. False when
/// the order was released as a whole before, so that nothing was left to do.
pub async fn take_back(
    room: &Stockroom,
    return_id: Uuid,
    order: OrderId,
    wanted: &Units,
    actor: &str,
) -> Result<bool, ApiError> {
    let mut tx = room.pool.begin().await?;
    let Some(mut hold) = store::holds::lock(&mut tx, order.0).await? else {
        return Err(TakeBackError::NotConfirmed.into());
    };
    let text = fingerprint(wanted);
    let now = room.clock.now();
    let noted = store::holds::note_return(&mut tx, return_id, order.0, &text, now).await?;
    if let Some(noted) = noted {
        let same = noted == (order.0, text);
        return if same { Ok(true) } else { Err(TakeBackError::Differs.into()) };
    }
    if hold.status == HoldStatus::Released {
        return Ok(false);
    }
    let moves = hold.take_back(wanted).map_err(TakeBackError::from)?;
    let mut shelf = settle::lock_shelf(&mut tx, &moves).await?;
    let before = effects::availability(&shelf);
    shelf.apply(&moves);
    let effects = Effects { moves, ..Effects::default() };
    settle::write(room, &mut tx, &effects).await?;
    store::holds::write_returns(&mut tx, order.0, &hold).await?;
    for ((sku_key, warehouse), delta) in effects.moves.iter().filter(|(_, d)| d.on_hand != 0) {
        let place = shelf.items.get(sku_key).and_then(|item| item.place(warehouse));
        let entry = Entry {
            sku_key,
            warehouse,
            kind: Why::Return,
            delta: delta.on_hand,
            on_hand: place.map_or(0, |p| p.level.on_hand),
            reason: "refund with restock",
            actor,
            order_id: Some(order.0),
        };
        store::ledger::append(&mut tx, &entry, now).await?;
    }
    let events = effects::stock_events(&room.ids, &before, &shelf, &effects.moves, "return")?;
    effects::publish(room, &mut tx, events).await?;
    tx.commit().await?;
    Ok(true)
}

fn fingerprint(wanted: &Units) -> String {
    wanted.iter().map(|(key, qty)| format!("{key}={qty}\n")).collect()
}
