//! Manual adjustments: compare-and-set.

use http::StatusCode;
use platform::idempotency::{self, Answer, Entered, IdempotencyKey};
use platform::validate::Checks;
use platform::{ApiError, Failure, Kind, audit};
use serde_json::{Map, Value, json};
use shared_types::Sku;
use shared_types::inventory::{Adjustment, Stock};
use sqlx::PgConnection;

use super::{Stockroom, effects, settle};
use crate::calls::MAX_QTY;
use crate::domain::level::{self, AdjustRefusal, Delta, Level, Moves};
use crate::domain::shelf::Shelf;
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

pub const REASON_CHARS: std::ops::RangeInclusive<usize> = 1..=200;

impl Adjust {
    /// Checks what somebody wants of the sku that is called `name`.
    pub fn read(name: &str, input: Adjustment, actor: String) -> Result<Self, ApiError> {
        let sku: Sku = name.parse().map_err(|_| AdjustError::Unknown)?;
        let mut checks = Checks::new();
        checks.ensure(input.delta != 0, "delta", "zero", "must not be zero");
        let fits = (-MAX_QTY..=MAX_QTY).contains(&input.delta);
        checks.ensure(fits, "delta", "range", "must lie between -1000000000 and 1000000000");
        let reason = checks.text("reason", &input.reason, REASON_CHARS);
        let expected = checks.required("expectedOnHand", input.expected_on_hand);
        checks.finish()?;
        let (expected, warehouse) = (expected.unwrap_or(0), input.warehouse);
        Ok(Adjust { sku, delta: input.delta, reason, expected, warehouse, actor })
    }
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
pub const MOST_ON_HAND: i64 = 1_000_000_000_000;

/// Adds or takes units, provided that the caller knows what is there. Done once
/// under an idempotency key.
pub async fn adjust(
    room: &Stockroom,
    input: &Adjust,
    once: Option<&IdempotencyKey>,
) -> Result<Answer, ApiError> {
    match idempotency::enter_if(&room.pool, once).await? {
        Entered::Replay(answer) => Ok(answer),
        Entered::Run(mut work) => {
            let stock = adjust_within(room, work.tx(), input).await?;
            work.finish(Answer::json(StatusCode::OK, &stock)?, room.clock.now()).await
        }
    }
}

async fn adjust_within(
    room: &Stockroom,
    tx: &mut PgConnection,
    input: &Adjust,
) -> Result<Stock, ApiError> {
    let key = input.sku.key();
    let found = find_place(room, tx, &key, input.warehouse.as_deref()).await?;
    let item = found.shelf.items.get(&key).ok_or(AdjustError::Unknown)?;
    let here = item.place(&found.warehouse).map_or(Level::default(), |p| p.level);
    let known = if input.warehouse.is_some() { here.on_hand } else { item.on_hand() };
    let delta =
        level::adjust(&here, known, input.expected, input.delta).map_err(AdjustError::from)?;
    if here.on_hand + input.delta > MOST_ON_HAND {
        return Err(AdjustError::TooMany.into());
    }
    let change = Change {
        delta,
        kind: Why::Adjustment,
        reason: &input.reason,
        actor: &input.actor,
        counted: false,
    };
    let before = here.on_hand;
    let shelf = apply(room, tx, &key, found, &change).await?;
    let item = shelf.items.get(&key).ok_or(AdjustError::Unknown)?;
    let stock = queries::stock_of(item);
    let entry = audit::Entry::new(&input.actor, "inventory.adjust", format!("sku:{key}"))
        .before(&before)
        .after(&stock)
        .because(&input.reason);
    room.audit.record(tx, entry).await?;
    Ok(stock)
}

/// A locked sku and the warehouse that is meant.
pub struct Found {
    pub shelf: Shelf,
    pub warehouse: String,
}

/// Locks a sku. Without a name the first of its warehouses is meant; one that
/// it was never in gets an empty place.
pub async fn find_place(
    room: &Stockroom,
    tx: &mut PgConnection,
    key: &str,
    named: Option<&str>,
) -> Result<Found, ApiError> {
    let shelf = store::shelf::lock(tx, &[key]).await?;
    let item = shelf.items.get(key).ok_or(AdjustError::Unknown)?;
    let warehouses = store::items::warehouses(tx).await?;
    let warehouse = match named {
        Some(named) => warehouses.iter().find(|code| *code == named),
        None => item.places.first().map(|p| &p.warehouse).or(warehouses.first()),
    };
    let warehouse = warehouse.ok_or(AdjustError::NoWarehouse)?.clone();
    if item.place(&warehouse).is_some() {
        return Ok(Found { shelf, warehouse });
    }
    let safety_stock = room.settings.safety_stock;
    store::items::place(tx, key, &warehouse, 0, safety_stock).await?;
    Ok(Found { shelf: store::shelf::lock(tx, &[key]).await?, warehouse })
}

/// A change of what is on hand at one place.
pub struct Change<'a> {
    pub delta: Delta,
    pub kind: Why,
    pub reason: &'a str,
    pub actor: &'a str,
    /// A physical count: it may leave less than what is promised.
    pub counted: bool,
}

/// Writes a change with its ledger line and tells; the shelf afterwards.
pub async fn apply(
    room: &Stockroom,
    tx: &mut PgConnection,
    key: &str,
    found: Found,
    change: &Change<'_>,
) -> Result<Shelf, ApiError> {
    let Found { mut shelf, warehouse } = found;
    let before = effects::availability(&shelf);
    let mut moves = Moves::default();
    moves.add(key, &warehouse, change.delta);
    shelf.apply(&moves);
    let effects = Effects { moves, counted: change.counted, ..Effects::default() };
    settle::write(room, tx, &effects).await?;
    let place = shelf.items.get(key).and_then(|item| item.place(&warehouse));
    if change.delta.on_hand != 0 {
        let entry = Entry {
            sku_key: key,
            warehouse: &warehouse,
            kind: change.kind,
            delta: change.delta.on_hand,
            on_hand: place.map_or(0, |p| p.level.on_hand),
            reason: change.reason,
            actor: change.actor,
            order_id: None,
        };
        store::ledger::append(tx, &entry, room.clock.now()).await?;
    }
    room.sold_out.learn(&shelf);
    let reason = change.kind.as_str();
    let events = effects::stock_events(&room.ids, &before, &shelf, &effects.moves, reason)?;
    effects::publish(room, tx, events).await?;
    Ok(shelf)
}
