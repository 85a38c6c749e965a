//! Looking at stock.

use std::collections::HashMap;

use contracts::generated::bellavista::inventory::v1::StockLevel;
use platform::ApiError;
use platform::paging::{self, Paging};
use shared_types::catalog::Availability;
use shared_types::inventory::{
    AffectedOrder, LedgerEntry, ProductInventory, ProductStock, Stock, StockPolicy,
    VariantInventory, Warehouse, WarehouseStock,
};
use shared_types::{OrderId, Page, ProductId, Sku};

use crate::commands::Stockroom;
use crate::domain::level::{self, Level};
use crate::domain::shelf::{Item, Shelf};
use crate::store;

/// Levels of these skus, in the order asked; unknown ones are marked.
pub async fn levels(room: &Stockroom, skus: &[Sku]) -> Result<Vec<StockLevel>, ApiError> {
    let keys: Vec<String> = skus.iter().map(Sku::key).collect();
    let shelf = read(room, &keys).await?;
    let level = |(sku, key): (&Sku, &String)| {
        let item = shelf.items.get(key);
        let sum = item.map(total).unwrap_or_default();
        StockLevel {
            sku: sku.to_string(),
            on_hand: sum.on_hand,
            held: sum.held,
            allocated: sum.allocated,
            set_aside: sum.set_aside,
            available: item.map_or(0, Item::available),
            known: item.is_some(),
        }
    };
    Ok(skus.iter().zip(&keys).map(level).collect())
}

async fn read(room: &Stockroom, keys: &[String]) -> Result<Shelf, ApiError> {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut connection = room.pool.acquire().await?;
    Ok(store::shelf::read(&mut connection, &keys).await?)
}

fn total(item: &Item) -> Level {
    item.places.iter().fold(Level::default(), |sum, place| Level {
        on_hand: sum.on_hand + place.level.on_hand,
        held: sum.held + place.level.held,
        allocated: sum.allocated + place.level.allocated,
        set_aside: sum.set_aside + place.level.set_aside,
        safety_stock: sum.safety_stock + place.level.safety_stock,
        backordered: sum.backordered + place.level.backordered,
    })
}

/// The stock of one sku.
pub async fn find_stock(room: &Stockroom, sku: &Sku) -> Result<Option<Stock>, ApiError> {
    let key = sku.key();
    let shelf = read(room, std::slice::from_ref(&key)).await?;
    Ok(shelf.items.get(&key).map(stock_of))
}

pub fn stock_of(item: &Item) -> Stock {
    let sum = total(item);
    let place = |p: &crate::domain::shelf::Place| WarehouseStock {
        warehouse: p.warehouse.clone(),
        on_hand: p.level.on_hand,
        held: p.level.held,
        allocated: p.level.allocated,
        set_aside: p.level.set_aside,
        safety_stock: p.level.safety_stock,
        available: p.level.available(),
    };
    Stock {
        sku: item.sku.clone(),
        on_hand: sum.on_hand,
        held: sum.held,
        allocated: sum.allocated,
        set_aside: sum.set_aside,
        available: item.available(),
        warehouses: item.places.iter().map(place).collect(),
    }
}

pub fn policy_of(item: &Item) -> StockPolicy {
    StockPolicy {
        sku: item.sku.clone(),
        low_threshold: item.low_threshold,
        safety_stock: item.places.iter().map(|p| p.level.safety_stock).max().unwrap_or(0),
        backorder_limit: item.backorder_limit,
        backordered: item.backordered(),
    }
}

/// How a sku is kept.
pub async fn find_policy(room: &Stockroom, sku: &Sku) -> Result<Option<StockPolicy>, ApiError> {
    let key = sku.key();
    let shelf = read(room, std::slice::from_ref(&key)).await?;
    Ok(shelf.items.get(&key).map(policy_of))
}

pub async fn list_warehouses(room: &Stockroom) -> Result<Vec<Warehouse>, ApiError> {
    let mut connection = room.pool.acquire().await?;
    Ok(store::items::list_warehouses(&mut connection).await?)
}

/// Places whose units are counted at once, at most.
const AFFECTED_PLACES: i64 = 200;

/// Orders that were promised units which are not there, of one sku or of all.
pub async fn affected(room: &Stockroom, sku: Option<&Sku>) -> Result<Vec<AffectedOrder>, ApiError> {
    let mut connection = room.pool.acquire().await?;
    let key = sku.map(Sku::key);
    let places =
        store::promises::short_places(&mut connection, key.as_deref(), AFFECTED_PLACES).await?;
    let mut affected = Vec::new();
    for place in places {
        let promises = store::promises::of_place(&mut connection, &place).await?;
        affected.extend(level::broken(&place.level, &promises).into_iter().map(|broken| {
            AffectedOrder {
                order_id: OrderId(broken.order_id),
                sku: place.sku.clone(),
                warehouse: place.warehouse.clone(),
                units: broken.units,
            }
        }));
    }
    Ok(affected)
}

/// The stock of all variants of a product.
pub async fn find_product_stock(
    room: &Stockroom,
    product_id: ProductId,
) -> Result<Option<ProductStock>, ApiError> {
    let variants: Vec<Stock> =
        of_products(room, &[product_id]).await?.items.values().map(stock_of).collect();
    if variants.is_empty() {
        return Ok(None);
    }
    let sum = |of: fn(&Stock) -> i64| variants.iter().map(of).sum();
    Ok(Some(ProductStock {
        product_id,
        on_hand: sum(|s| s.on_hand),
        held: sum(|s| s.held),
        allocated: sum(|s| s.allocated),
        set_aside: sum(|s| s.set_aside),
        available: sum(|s| s.available),
        variants,
    }))
}

async fn of_products(room: &Stockroom, products: &[ProductId]) -> Result<Shelf, ApiError> {
    let mut connection = room.pool.acquire().await?;
    Ok(store::shelf::of_products(&mut connection, products).await?)
}

/// Sku keys of a product.
pub async fn keys_of_product(
    room: &Stockroom,
    product: ProductId,
) -> Result<Vec<String>, ApiError> {
    Ok(of_products(room, &[product]).await?.items.into_keys().collect())
}

/// Bands per variant; units only where `with_units`.
pub async fn find_availability(
    room: &Stockroom,
    product_id: ProductId,
    with_units: bool,
) -> Result<Option<ProductInventory>, ApiError> {
    let shelf = of_products(room, &[product_id]).await?;
    Ok(availability_of(product_id, shelf.items.values(), with_units))
}

/// The same of several products, in one statement and with units; products
/// without stock are absent.
pub async fn find_availabilities(
    room: &Stockroom,
    products: &[ProductId],
) -> Result<HashMap<ProductId, ProductInventory>, ApiError> {
    let shelf = of_products(room, products).await?;
    let mut by_product: HashMap<ProductId, Vec<&Item>> = HashMap::new();
    for item in shelf.items.values() {
        by_product.entry(item.product_id).or_default().push(item);
    }
    let shown = |(id, items): (ProductId, Vec<&Item>)| {
        availability_of(id, items.into_iter(), true).map(|found| (id, found))
    };
    Ok(by_product.into_iter().filter_map(shown).collect())
}

/// The same of one product for those who follow it: a crowd asks in one statement.
pub async fn availability_now(
    room: &Stockroom,
    product_id: ProductId,
) -> Result<Option<ProductInventory>, ApiError> {
    let ask = |asked: Vec<ProductId>| async move {
        let found = find_availabilities(room, &asked).await?;
        Ok(asked.iter().map(|id| Ok(found.get(id).cloned())).collect())
    };
    room.followed.ask(product_id, ask).await
}

fn availability_of<'a>(
    product_id: ProductId,
    items: impl Iterator<Item = &'a Item>,
    with_units: bool,
) -> Option<ProductInventory> {
    let variant = |item: &Item| VariantInventory {
        sku: item.sku.clone(),
        availability: band(item.available(), item.low_threshold),
        available: with_units.then(|| item.available()),
    };
    let variants: Vec<VariantInventory> = items.map(variant).collect();
    // The best band of its variants is the product's.
    let best = variants.iter().map(|v| v.availability).min();
    best.map(|availability| ProductInventory { product_id, availability, variants })
}

/// A sku on the shelf, as shoppers and as merchants see it.
#[derive(Clone, Debug)]
pub struct KeptSku {
    pub availability: Availability,
    pub stock: Stock,
    pub policy: StockPolicy,
}

/// Several skus in one statement; unknown ones are absent.
pub async fn find_skus(room: &Stockroom, skus: &[Sku]) -> Result<HashMap<Sku, KeptSku>, ApiError> {
    let keys: Vec<String> = skus.iter().map(Sku::key).collect();
    let shelf = read(room, &keys).await?;
    let kept = |item: &Item| KeptSku {
        availability: band(item.available(), item.low_threshold),
        stock: stock_of(item),
        policy: policy_of(item),
    };
    Ok(shelf.items.values().map(|item| (item.sku.clone(), kept(item))).collect())
}

fn band(available: i64, threshold: i64) -> Availability {
    match available {
        0 => Availability::Out,
        some if some <= threshold => Availability::Low,
        _ => Availability::InStock,
    }
}

/// The ledger of a sku, newest first; none when the sku is unknown.
pub async fn list_ledger(
    room: &Stockroom,
    sku: &Sku,
    paging: &Paging,
) -> Result<Option<Page<LedgerEntry>>, ApiError> {
    let (limit, before) = (paging.limit()?, paging.position::<i64>()?);
    let key = sku.key();
    let mut connection = room.pool.acquire().await?;
    if store::shelf::read(&mut connection, &[&key]).await?.items.is_empty() {
        return Ok(None);
    }
    let rows = store::ledger::list(&mut connection, &key, before, limit + 1).await?;
    let entry = |row: store::ledger::Row| LedgerEntry {
        id: row.id,
        warehouse: row.warehouse,
        kind: row.kind,
        delta: row.delta,
        on_hand: row.on_hand,
        reason: row.reason,
        actor: row.actor,
        order_id: row.order_id.map(OrderId),
        at: row.at,
    };
    Ok(Some(paging::page(rows.into_iter().map(entry).collect(), limit, |e| e.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_follow_the_threshold_and_the_best_one_comes_first() {
        assert_eq!(band(0, 5), Availability::Out);
        assert_eq!(band(5, 5), Availability::Low);
        assert_eq!(band(6, 5), Availability::InStock);
        assert!(Availability::InStock < Availability::Low && Availability::Low < Availability::Out);
    }
}
