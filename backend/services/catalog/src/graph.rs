//! The catalogue's part of the graph: translation only.
//!
//! `Product` and `Variant` are entities: other services add to them by id and
//! by sku. What is hidden from the caller is null, as if it were not there.

mod mutations;
mod node;
mod prices;
mod product;

use std::sync::Arc;

use async_graphql::{Context, EmptySubscription, ID, Object, Result, Schema};
use platform::graphql::{
    Batch, Connection, NodeId, Refusal, Subgraph, batch, caller, connection, found, held, limited,
    or_null, page_cost, paging,
};
use shared_types::{ProductId, Sku};

use crate::App;
use crate::queries::{self, StoredProduct};

use node::Node;
use product::{Category, Product, ProductFilter, Variant};

type Products = Batch<ProductId, StoredProduct>;
type ProductsBySku = Batch<Sku, Arc<StoredProduct>>;

/// The subgraph over `app`.
pub fn graph(app: App) -> Subgraph {
    let schema = Schema::build(Query, mutations::Mutation, EmptySubscription)
        .register_output_type::<Refusal>()
        .data(app.clone());
    let schema = limited(schema).finish();
    let verifier = app.ctx.verifier.clone();
    Subgraph::new("catalog", schema, verifier, move |request| {
        request.data(products(&app)).data(products_by_sku(&app)).data(prices::pages(&app))
    })
}

fn products(app: &App) -> Products {
    batch(app, |app, ids| async move { queries::products_by_id(&app, &ids).await })
}

fn products_by_sku(app: &App) -> ProductsBySku {
    batch(app, |app, skus| async move { queries::products_by_sku(&app, &skus).await })
}

/// The product with this id, when the caller may see it.
async fn find(ctx: &Context<'_>, id: ProductId) -> Result<Option<Product>> {
    let (app, found) = (held::<App>(ctx)?, held::<Products>(ctx)?.load_one(id).await?);
    let visible = found.filter(|p| queries::is_visible(caller(ctx), p.status));
    Ok(visible.map(|p| Product::of(&p, app.config.low_at)))
}

pub struct Query;

#[Object]
impl Query {
    /// What a node id names, of whatever type; null when there is nothing that
    /// the caller may see.
    #[graphql(complexity = "10 + child_complexity")]
    async fn node(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Node>> {
        or_null(ctx, async { node::find(ctx, &id).await }).await
    }

    /// A product by id or slug; null when there is none that the caller may see.
    #[graphql(complexity = "10 + child_complexity")]
    async fn product(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Product>> {
        or_null(ctx, async {
            let Some(named) = NodeId::key_in("Product", &id) else { return Ok(None) };
            if let Ok(id) = named.parse() {
                return find(ctx, id).await;
            }
            let app = held::<App>(ctx)?;
            let product = found(queries::product(app, caller(ctx), named).await)?;
            Ok(product.map(|product| Product::of(&product, app.config.low_at)))
        })
        .await
    }

    /// Products, at most 200; `productsConnection` pages through all.
    #[graphql(
        complexity = "20 + page_cost(filter.as_ref().and_then(|f| f.first), child_complexity)"
    )]
    async fn products(
        &self,
        ctx: &Context<'_>,
        filter: Option<ProductFilter>,
    ) -> Result<Option<Vec<Option<Product>>>> {
        or_null(ctx, async {
            let app = held::<App>(ctx)?;
            let filter = filter.unwrap_or_default();
            let page = paging(filter.first, None);
            let query = filter.into_list();
            let (page, _) = queries::stored_products(app, caller(ctx), &query, &page).await?;
            let low_at = app.config.low_at;
            Ok(Some(page.items.iter().map(|p| Some(Product::of(p, low_at))).collect()))
        })
        .await
    }

    /// Products, a page at a time.
    #[graphql(complexity = "20 + page_cost(first, child_complexity)")]
    async fn products_connection(
        &self,
        ctx: &Context<'_>,
        filter: Option<ProductFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<Product>>> {
        or_null(ctx, async {
            let app = held::<App>(ctx)?;
            let filter = filter.unwrap_or_default();
            let page = paging(first.or(filter.first), after);
            let query = filter.into_list();
            let (page, sort) = queries::stored_products(app, caller(ctx), &query, &page).await?;
            let low_at = app.config.low_at;
            let shown =
                connection(page, |p| queries::position(p, sort), |p| Product::of(&p, low_at))?;
            Ok(Some(shown))
        })
        .await
    }

    /// Categories that hold active products.
    #[graphql(complexity = "20 + page_cost(first, child_complexity)")]
    async fn categories(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<Category>>> {
        or_null(ctx, async {
            let page = queries::categories(held::<App>(ctx)?, &paging(first, after)).await?;
            Ok(Some(connection(page, |c| c.slug.clone(), Category::from)?))
        })
        .await
    }

    #[graphql(entity)]
    async fn find_product_by_id(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Product>> {
        or_null(ctx, async {
            match NodeId::read("Product", &id) {
                Some(id) => find(ctx, id).await,
                None => Ok(None),
            }
        })
        .await
    }

    #[graphql(entity)]
    async fn find_variant_by_sku(&self, ctx: &Context<'_>, sku: String) -> Result<Option<Variant>> {
        or_null(ctx, async {
            let Ok(sku) = sku.parse::<Sku>() else { return Ok(None) };
            let found = held::<ProductsBySku>(ctx)?.load_one(sku.clone()).await?;
            let visible = found.filter(|p| queries::is_visible(caller(ctx), p.status));
            let variant = visible.and_then(|p| p.variants.iter().find(|v| v.sku == sku).cloned());
            Ok(variant.map(Variant::from))
        })
        .await
    }
}
