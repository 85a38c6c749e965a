//! Units carved out for flash sales, and what is left of them afterwards.

use std::collections::BTreeSet;

use platform::{ApiError, Failure, Kind};
use shared_types::Sku;
use uuid::Uuid;

use super::reserve::ReserveError;
use super::{Stockroom, effects, settle};
use crate::store;
use crate::store::shelf::Effects;

/// Units of a sku for a sale.
#[derive(Clone, Debug)]
pub struct SetAside {
    pub sale: Uuid,
    pub sku: Sku,
    pub qty: i64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carved {
    /// All units were carved out, now or before; else none.
    pub done: bool,
    /// Units that can be sold outside the sale.
    pub available: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum SetAsideError {
    #[error("Another number of units of this sku was set aside for this sale before.")]
    Differs,
    #[error("This sale is over.")]
    Ended,
}

impl Failure for SetAsideError {
    fn kind(&self) -> Kind {
        Kind::Refused
    }

    fn code(&self) -> &'static str {
        match self {
            SetAsideError::Differs => "inventory.sale_differs",
            SetAsideError::Ended => "inventory.sale_ended",
        }
    }
}

/// Carves all units out or none. Idempotent per sale and sku.
pub async fn set_aside(room: &Stockroom, wish: &SetAside) -> Result<Carved, ApiError> {
    let key = wish.sku.key();
    let mut tx = room.pool.begin().await?;
    let mut shelf = store::shelf::lock(&mut tx, &[&key]).await?;
    let Some(item) = shelf.items.get(&key) else {
        return Err(ReserveError::UnknownSkus(vec![key]).into());
    };
    let available = item.available();
    match store::asides::carved(&mut tx, wish.sale, &key).await? {
        Some((_, true)) => return Err(SetAsideError::Ended.into()),
        Some((units, _)) if units == wish.qty => return Ok(Carved { done: true, available }),
        Some(_) => return Err(SetAsideError::Differs.into()),
        None => {}
    }
    let before = effects::availability(&shelf);
    let moves = match shelf.carve(wish.sale, &key, wish.qty) {
        Ok(moves) => moves,
        Err(available) => return Ok(Carved { done: false, available }),
    };
    store::asides::insert(&mut tx, &moves, room.clock.now()).await?;
    let effects = Effects { moves, ..Effects::default() };
    settle::write(room, &mut tx, &effects).await?;
    room.sold_out.learn(&shelf);
    let moves = &effects.moves;
    let events = effects::stock_events(&room.ids, &before, &shelf, moves, "set aside")?;
    effects::publish(room, &mut tx, events).await?;
    tx.commit().await?;
    Ok(Carved { done: true, available: available - wish.qty })
}

/// Ends a sale for one of its skus, or for all: what is left can be sold by
/// anybody from now on, and so can what its buyers give back. The units that
/// went back. Idempotent.
pub async fn give_back(room: &Stockroom, sale: Uuid, sku: Option<&Sku>) -> Result<i64, ApiError> {
    let key = sku.map(Sku::key);
    let mut tx = room.pool.begin().await?;
    let keys = store::asides::skus_of(&mut tx, sale, key.as_deref()).await?;
    if keys.is_empty() {
        let named: BTreeSet<String> = key.into_iter().collect();
        return Err(ReserveError::UnknownSale(named.into_iter().collect()).into());
    }
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut shelf = store::shelf::lock(&mut tx, &names).await?;
    store::shelf::add_asides(&mut tx, &mut shelf, &[sale]).await?;
    let before = effects::availability(&shelf);
    let moves = shelf.dissolve();
    let returned: i64 = moves.asides().map(|(_, units)| -units).sum();
    let effects = Effects { moves, ..Effects::default() };
    settle::write(room, &mut tx, &effects).await?;
    store::asides::end(&mut tx, sale, &keys, room.clock.now()).await?;
    room.sold_out.learn(&shelf);
    if returned > 0 {
        let moves = &effects.moves;
        let events = effects::stock_events(&room.ids, &before, &shelf, moves, "sale ended")?;
        effects::publish(room, &mut tx, events).await?;
    }
    tx.commit().await?;
    Ok(returned)
}
