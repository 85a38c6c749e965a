//! Stock as the graph shows it.

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use platform::graphql::{DateTime, Long, NodeId, caller, or_null};
use shared_types::Sku;
use shared_types::inventory as told;

use super::{find_product, find_sku, is_merchant, merchant};
use crate::queries::KeptSku;

/// Stock as shoppers see it: a band, never a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::catalog::Availability")]
pub enum Availability {
    InStock,
    Low,
    Out,
}

/// A product, with what is known of its stock.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Product {
    pub id: ID,
}

#[ComplexObject]
impl Product {
    /// The best band of its variants; null when stock was never opened.
    async fn availability(&self, ctx: &Context<'_>) -> Result<Option<Availability>> {
        or_null(ctx, async { Ok(self.find(ctx).await?.map(|found| found.availability)) }).await
    }

    /// Stock per variant.
    async fn inventory(&self, ctx: &Context<'_>) -> Result<Option<InventoryInfo>> {
        or_null(ctx, async { self.find(ctx).await }).await
    }
}

impl Product {
    async fn find(&self, ctx: &Context<'_>) -> Result<Option<InventoryInfo>> {
        match NodeId::read("Product", &self.id) {
            Some(id) => find_product(ctx, id).await,
            None => Ok(None),
        }
    }
}

/// A variant, with what is known of its stock.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Variant {
    pub sku: String,
}

#[ComplexObject]
impl Variant {
    /// Null when stock was never opened.
    async fn availability(&self, ctx: &Context<'_>) -> Result<Option<Availability>> {
        or_null(ctx, async { Ok(self.find(ctx).await?.map(|kept| kept.availability.into())) }).await
    }

    /// Units that can be sold now; null for shoppers.
    async fn available(&self, ctx: &Context<'_>) -> Result<Option<Long>> {
        or_null(ctx, async {
            if !is_merchant(caller(ctx)) {
                return Ok(None);
            }
            Ok(self.find(ctx).await?.map(|kept| Long(kept.stock.available)))
        })
        .await
    }

    /// Units in all and per warehouse. For merchants.
    async fn stock(&self, ctx: &Context<'_>) -> Result<Option<Stock>> {
        or_null(ctx, async {
            merchant(ctx)?;
            Ok(self.find(ctx).await?.map(Stock::from))
        })
        .await
    }
}

impl Variant {
    async fn find(&self, ctx: &Context<'_>) -> Result<Option<KeptSku>> {
        match self.sku.parse::<Sku>() {
            Ok(sku) => find_sku(ctx, &sku).await,
            Err(_) => Ok(None),
        }
    }
}

/// Stock of a product.
#[derive(Clone, SimpleObject)]
pub struct InventoryInfo {
    /// The id as the REST API has it.
    product_id: ID,
    /// The best band of its variants.
    availability: Availability,
    variants: Vec<VariantInventory>,
}

#[derive(Clone, SimpleObject)]
pub struct VariantInventory {
    sku: String,
    availability: Availability,
    /// Units that can be sold now; null for shoppers.
    available: Option<Long>,
}

impl InventoryInfo {
    pub fn of(found: told::ProductInventory, with_units: bool) -> Self {
        let variant = |v: told::VariantInventory| VariantInventory {
            sku: v.sku.to_string(),
            availability: v.availability.into(),
            available: v.available.filter(|_| with_units).map(Long),
        };
        InventoryInfo {
            product_id: ID(found.product_id.to_string()),
            availability: found.availability.into(),
            variants: found.variants.into_iter().map(variant).collect(),
        }
    }
}

/// Units of a sku.
#[derive(Clone, SimpleObject)]
pub struct Stock {
    sku: String,
    /// Physically there; the sum of the ledger.
    on_hand: Long,
    /// In live holds.
    held: Long,
    /// Of confirmed orders that are not dispatched yet.
    allocated: Long,
    /// Carved out for flash sales.
    set_aside: Long,
    /// What can be sold now.
    available: Long,
    warehouses: Vec<WarehouseStock>,
    /// How the sku is kept; null right after an adjustment.
    policy: Option<StockPolicy>,
}

#[derive(Clone, SimpleObject)]
pub struct WarehouseStock {
    warehouse: String,
    on_hand: Long,
    held: Long,
    allocated: Long,
    set_aside: Long,
    safety_stock: Long,
    available: Long,
}

/// How a sku is kept.
#[derive(Clone, SimpleObject)]
pub struct StockPolicy {
    low_threshold: Long,
    safety_stock: Long,
    /// Units accepted beyond what is there; null: none.
    backorder_limit: Option<Long>,
    backordered: Long,
}

impl From<told::Stock> for Stock {
    fn from(stock: told::Stock) -> Self {
        let place = |p: told::WarehouseStock| WarehouseStock {
            warehouse: p.warehouse,
            on_hand: Long(p.on_hand),
            held: Long(p.held),
            allocated: Long(p.allocated),
            set_aside: Long(p.set_aside),
            safety_stock: Long(p.safety_stock),
            available: Long(p.available),
        };
        Stock {
            sku: stock.sku.to_string(),
            on_hand: Long(stock.on_hand),
            held: Long(stock.held),
            allocated: Long(stock.allocated),
            set_aside: Long(stock.set_aside),
            available: Long(stock.available),
            warehouses: stock.warehouses.into_iter().map(place).collect(),
            policy: None,
        }
    }
}

impl From<KeptSku> for Stock {
    fn from(kept: KeptSku) -> Self {
        let policy = StockPolicy {
            low_threshold: Long(kept.policy.low_threshold),
            safety_stock: Long(kept.policy.safety_stock),
            backorder_limit: kept.policy.backorder_limit.map(Long),
            backordered: Long(kept.policy.backordered),
        };
        Stock { policy: Some(policy), ..Stock::from(kept.stock) }
    }
}

#[derive(Clone, SimpleObject)]
pub struct Warehouse {
    code: String,
    name: String,
    /// The lowest comes first.
    priority: i32,
}

impl From<told::Warehouse> for Warehouse {
    fn from(w: told::Warehouse) -> Self {
        Warehouse { code: w.code, name: w.name, priority: w.priority }
    }
}

/// One change of what is on hand.
#[derive(Clone, SimpleObject)]
pub struct LedgerEntry {
    warehouse: String,
    kind: String,
    delta: Long,
    /// In this warehouse afterwards.
    on_hand: Long,
    reason: String,
    actor: String,
    order_id: Option<ID>,
    at: DateTime,
}

impl From<told::LedgerEntry> for LedgerEntry {
    fn from(e: told::LedgerEntry) -> Self {
        LedgerEntry {
            warehouse: e.warehouse,
            kind: e.kind.to_string(),
            delta: Long(e.delta),
            on_hand: Long(e.on_hand),
            reason: e.reason,
            actor: e.actor,
            order_id: e.order_id.map(|id| ID(id.to_string())),
            at: e.at.into(),
        }
    }
}

/// An order whose promised units are not there.
#[derive(Clone, SimpleObject)]
pub struct AffectedOrder {
    order_id: ID,
    sku: String,
    warehouse: String,
    units: Long,
}

impl From<told::AffectedOrder> for AffectedOrder {
    fn from(a: told::AffectedOrder) -> Self {
        AffectedOrder {
            order_id: ID(a.order_id.to_string()),
            sku: a.sku.to_string(),
            warehouse: a.warehouse,
            units: Long(a.units),
        }
    }
}
