//! Opening stock: once per variant.

use std::collections::BTreeMap;

use platform::{ApiError, Failure, Kind};
use shared_types::{ProductId, Sku, VariantId};
use sqlx::PgConnection;

use super::{Stockroom, effects};
use crate::domain::level::{Delta, Moves};
use crate::store;
use crate::store::items::NewItem;
use crate::store::ledger::{Entry, Kind as Why};

/// A variant that gets its first stock.
#[derive(Clone, Debug)]
pub struct Open {
    pub variant_id: VariantId,
    pub product_id: ProductId,
    pub sku: Sku,
    pub qty: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("The sku {0} belongs to another variant.")]
    SkuTaken(Sku),
    #[error("This variant was opened under another sku.")]
    OtherSku,
    #[error("There is no warehouse.")]
    NoWarehouse,
}

impl Failure for OpenError {
    fn kind(&self) -> Kind {
        match self {
            OpenError::SkuTaken(_) | OpenError::OtherSku => Kind::Refused,
            OpenError::NoWarehouse => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            OpenError::SkuTaken(_) => "inventory.sku_taken",
            OpenError::OtherSku => "inventory.variant_opened",
            OpenError::NoWarehouse => "inventory.no_warehouse",
        }
    }
}

/// Opens stock in the first warehouse; what is on hand now. Sent again it
/// changes nothing, whatever has become of the stock since.
pub async fn open(room: &Stockroom, open: &Open, actor: &str) -> Result<i64, ApiError> {
    let mut tx = room.pool.begin().await?;
    let on_hand = open_on(room, &mut tx, open, actor).await?;
    tx.commit().await?;
    Ok(on_hand)
}

/// The same on a transaction of somebody else.
pub async fn open_on(
    room: &Stockroom,
    tx: &mut PgConnection,
    open: &Open,
    actor: &str,
) -> Result<i64, ApiError> {
    let key = open.sku.key();
    let now = room.clock.now();
    let item = NewItem {
        sku: &open.sku,
        variant_id: open.variant_id,
        product_id: open.product_id,
        low_threshold: room.settings.low_threshold,
    };
    if !store::items::insert(tx, &item, now).await? {
        return opened_before(tx, open, &key).await;
    }
    let warehouses = store::items::warehouses(tx).await?;
    let warehouse = warehouses.first().ok_or(OpenError::NoWarehouse)?;
    store::items::place(tx, &key, warehouse, open.qty, room.settings.safety_stock).await?;
    if open.qty > 0 {
        let entry = Entry {
            sku_key: &key,
            warehouse,
            kind: Why::Opening,
            delta: open.qty,
            on_hand: open.qty,
            reason: "opening stock",
            actor,
            order_id: None,
        };
        store::ledger::append(tx, &entry, now).await?;
    }
    let shelf = store::shelf::read(tx, &[&key]).await?;
    let mut moves = Moves::default();
    moves.add(&key, warehouse, Delta { on_hand: open.qty, ..Delta::default() });
    // Nothing was there to fall from: opening says nothing about low stock.
    let events = effects::stock_events(&room.ids, &BTreeMap::new(), &shelf, &moves, "opening")?;
    effects::publish(room, tx, events).await?;
    Ok(open.qty)
}

async fn opened_before(tx: &mut PgConnection, open: &Open, key: &str) -> Result<i64, ApiError> {
    let claims = store::items::claims(tx, key, open.variant_id).await?;
    if claims.iter().any(|(_, variant)| *variant != open.variant_id) {
        return Err(OpenError::SkuTaken(open.sku.clone()).into());
    }
    if claims.iter().any(|(claimed, _)| claimed != key) {
        return Err(OpenError::OtherSku.into());
    }
    let shelf = store::shelf::read(tx, &[key]).await?;
    Ok(shelf.items.get(key).map_or(0, |item| item.on_hand()))
}
