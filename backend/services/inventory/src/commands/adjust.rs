//! Manual adjustments: compare-and-set.

use platform::{ApiError, Failure, Kind};
use serde_json::{Map, Value, json};
use shared_types::Sku;
use shared_types::inventory::Stock;

use super::{Stockroom, effects, settle};
use crate::domain::level::{self, AdjustRefusal, Level, Moves};
use crate::queries;
use crate::store;
use crate::store::ledger::{Entry, Kind as Why};
use crate::store::shelf::Effects;

/// Checked input.
#[derive(Clone, Debug)]
pub struct Adjust {
    pub sku: Sku,
    /// Never zero.
    pub delta: i64,
    pub reason: String,
    /// On hand as the caller believes: in the named warehouse, else in all.
    pub expected: i64,
    pub warehouse: Option<String>,
    pub actor: String,
}

#[derive(Debug, thiserror::Error)]
pub enum AdjustError {
    #[error("Nobody ever opened stock for this sku.")]
    Unknown,
    #[error("There is no such warehouse.")]
    NoWarehouse,
    #[error("There are {on_hand} units on hand by now; look again.")]
    Stale { on_hand: i64 },
    #[error("{committed} units are promised to orders or sales; they must stay.")]
    Committed { committed: i64 },
    #[error("More units than can be counted.")]
    TooMany,
}

impl Failure for AdjustError {
    fn kind(&self) -> Kind {
        match self {
            AdjustError::Unknown => Kind::NotFound,
            AdjustError::NoWarehouse | AdjustError::TooMany => Kind::Refused,
            AdjustError::Stale { .. } | AdjustError::Committed { .. } => Kind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            AdjustError::Unknown => "inventory.unknown_sku",
            AdjustError::NoWarehouse => "inventory.unknown_warehouse",
            AdjustError::Stale { .. } => "inventory.stale",
            AdjustError::Committed { .. } => "inventory.committed",
            AdjustError::TooMany => "inventory.too_many",
        }
    }

    fn extensions(&self) -> Map<String, Value> {
        let (name, units) = match self {
            AdjustError::Stale { on_hand } => ("onHand", *on_hand),
            AdjustError::Committed { committed } => ("committed", *committed),
            _ => return Map::new(),
        };
        Map::from_iter([(name.to_owned(), json!(units))])
    }
}

impl From<AdjustRefusal> for AdjustError {
    fn from(refusal: AdjustRefusal) -> Self {
        match refusal {
            AdjustRefusal::Stale { on_hand } => AdjustError::Stale { on_hand },
            AdjustRefusal::Committed { committed } => AdjustError::Committed { committed },
        }
    }
}

/// Units that fit a place; far from where sums overflow.
const MOST_ON_HAND: i64 = 1_000_000_000_000;

/// Adds or takes units, provided that the caller knows what is there.
pub async fn adjust(room: &Stockroom, input: &Adjust) -> Result<Stock, ApiError> {
    let key = input.sku.key();
    let mut tx = room.pool.begin().await?;
    let mut shelf = store::shelf::lock(&mut tx, &[&key]).await?;
    let item = shelf.0.get(&key).ok_or(AdjustError::Unknown)?;
    let warehouses = store::items::warehouses(&mut tx).await?;
    let warehouse = match &input.warehouse {
        Some(named) => warehouses.iter().find(|code| *code == named),
        None => item.places.first().map(|p| &p.warehouse).or(warehouses.first()),
    };
    let warehouse = warehouse.ok_or(AdjustError::NoWarehouse)?.clone();
    let place = item.place(&warehouse);
    let here = place.map_or(Level::default(), |p| p.level);
    let known = if input.warehouse.is_some() { here.on_hand } else { item.on_hand() };
    let delta =
        level::adjust(&here, known, input.expected, input.delta).map_err(AdjustError::from)?;
    if here.on_hand + input.delta > MOST_ON_HAND {
        return Err(AdjustError::TooMany.into());
    }
    let before = effects::availability(&shelf);
    if place.is_none() {
        let safety_stock = room.settings.safety_stock;
        store::items::place(&mut tx, &key, &warehouse, 0, safety_stock).await?;
        shelf = store::shelf::lock(&mut tx, &[&key]).await?;
    }
    let mut moves = Moves::default();
    moves.add(&key, &warehouse, delta);
    shelf.apply(&moves);
    let effects = Effects { moves, ..Effects::default() };
    settle::write(room, &mut tx, &effects).await?;
    let entry = Entry {
        sku_key: &key,
        warehouse: &warehouse,
        kind: Why::Adjustment,
        delta: input.delta,
        on_hand: here.on_hand + input.delta,
        reason: &input.reason,
        actor: &input.actor,
        order_id: None,
    };
    store::ledger::append(&mut tx, &entry, room.clock.now()).await?;
    let events = effects::stock_events(&room.ids, &before, &shelf, &effects.moves, "adjustment")?;
    effects::publish(room, &mut tx, events).await?;
    tx.commit().await?;
    let item = shelf.0.get(&key).ok_or(AdjustError::Unknown)?;
    Ok(queries::stock_of(item))
}
