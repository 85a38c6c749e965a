//! Inventory's part of the graph: translation only.
//!
//! It adds to `Product` and `Variant`, which it knows by id and by sku: bands
//! for shoppers, units for merchants. What it does not know is null.

mod live;
mod mutations;
mod stock;

use async_graphql::{Context, ID, Object, Result, Schema};
use platform::auth::Principal;
use platform::graphql::{
    Batch, Connection, NodeId, Refusal, Subgraph, batch, caller, connection, connection_of, held,
    limited, or_null, page_cost, paging, signed_in,
};
use platform::{ApiError, Context as House};
use shared_types::inventory::ProductInventory;
use shared_types::{ProductId, Role, Sku};

use crate::commands::Stockroom;
use crate::queries::{self, KeptSku};

use stock::{AffectedOrder, InventoryInfo, LedgerEntry, Product, Stock, Variant, Warehouse};

type Products = Batch<ProductId, ProductInventory>;
type Skus = Batch<Sku, KeptSku>;

/// The subgraph over `room`.
pub fn graph(house: &House, room: Stockroom) -> Subgraph {
    let schema = Schema::build(Query, mutations::Mutation, live::Live)
        .register_output_type::<Refusal>()
        .data(room.clone());
    let schema = limited(schema).finish();
    Subgraph::live(house, schema, move |request| {
        let products: Products =
            batch(
                &room,
                |room, ids| async move { queries::find_availabilities(&room, &ids).await },
            );
        let skus: Skus =
            batch(&room, |room, skus| async move { queries::find_skus(&room, &skus).await });
        request.data(products).data(skus)
    })
}

fn is_merchant(caller: Option<&Principal>) -> bool {
    caller.is_some_and(|c| c.has_role(Role::Merchant))
}

/// The caller, who must be a merchant.
fn merchant<'a>(ctx: &Context<'a>) -> Result<&'a Principal, ApiError> {
    let caller = signed_in(ctx)?;
    caller.require_role(Role::Merchant)?;
    Ok(caller)
}

async fn find_product(ctx: &Context<'_>, id: ProductId) -> Result<Option<InventoryInfo>> {
    let found = held::<Products>(ctx)?.load_one(id).await?;
    let with_units = is_merchant(caller(ctx));
    Ok(found.map(|found| InventoryInfo::of(found, with_units)))
}

async fn find_sku(ctx: &Context<'_>, sku: &Sku) -> Result<Option<KeptSku>> {
    Ok(held::<Skus>(ctx)?.load_one(sku.clone()).await?)
}

pub struct Query;

#[Object]
impl Query {
    /// Stock of a product: bands for shoppers, units for merchants. Null when
    /// stock was never opened for it.
    #[graphql(complexity = "10 + child_complexity")]
    async fn product_inventory(&self, ctx: &Context<'_>, id: ID) -> Result<Option<InventoryInfo>> {
        or_null(ctx, async {
            match NodeId::read("Product", &id) {
                Some(id) => find_product(ctx, id).await,
                None => Ok(None),
            }
        })
        .await
    }

    /// Units of a sku, in all and per warehouse. For merchants.
    #[graphql(complexity = "10 + child_complexity")]
    async fn stock(&self, ctx: &Context<'_>, sku: String) -> Result<Option<Stock>> {
        or_null(ctx, async {
            merchant(ctx)?;
            let Ok(sku) = sku.parse::<Sku>() else { return Ok(None) };
            Ok(find_sku(ctx, &sku).await?.map(Stock::from))
        })
        .await
    }

    /// Every change of what is on hand of a sku, newest first. For merchants.
    #[graphql(complexity = "20 + page_cost(first, child_complexity)")]
    async fn stock_ledger(
        &self,
        ctx: &Context<'_>,
        sku: String,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<LedgerEntry>>> {
        or_null(ctx, async {
            merchant(ctx)?;
            let Ok(sku) = sku.parse::<Sku>() else { return Ok(None) };
            let page = paging(first, after);
            let found = queries::list_ledger(held::<Stockroom>(ctx)?, &sku, &page).await?;
            Ok(found.map(|page| connection(page, |e| e.id, LedgerEntry::from)).transpose()?)
        })
        .await
    }

    /// All warehouses, in order of priority. For merchants.
    #[graphql(complexity = "20 + page_cost(first, child_complexity)")]
    async fn warehouses(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<Warehouse>>> {
        or_null(ctx, async {
            merchant(ctx)?;
            let all = queries::list_warehouses(held::<Stockroom>(ctx)?).await?;
            Ok(Some(connection_of(all, &paging(first, after), Warehouse::from)?))
        })
        .await
    }

    /// Orders that were promised units which are not there. For merchants.
    #[graphql(complexity = "200 + page_cost(first, child_complexity)")]
    async fn affected_orders(
        &self,
        ctx: &Context<'_>,
        sku: Option<String>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<AffectedOrder>>> {
        or_null(ctx, async {
            merchant(ctx)?;
            let sku = match sku.map(|sku| sku.parse::<Sku>()) {
                Some(Err(_)) => return Ok(None),
                Some(Ok(sku)) => Some(sku),
                None => None,
            };
            let all = queries::affected(held::<Stockroom>(ctx)?, sku.as_ref()).await?;
            Ok(Some(connection_of(all, &paging(first, after), AffectedOrder::from)?))
        })
        .await
    }

    #[graphql(entity)]
    async fn find_product_by_id(&self, id: ID) -> Product {
        Product { id }
    }

    #[graphql(entity)]
    async fn find_variant_by_sku(&self, sku: String) -> Variant {
        Variant { sku }
    }
}
