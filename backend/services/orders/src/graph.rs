//! Orders' part of the graph: translation only.
//!
//! Another person's order is null here as it is 404 over REST. Items name their
//! product and variant, which other services know more about.

mod input;
mod live;
mod mutations;
mod order;
mod refusals;

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result, Schema};
use platform::graphql::{
    Batch, Connection, NodeId, Subgraph, batch, caller, connection, held, limited, or_null,
    page_cost, paging, signed_in,
};
use shared_types::orders::{OrderItem as Item, StatusChange};
use shared_types::{OrderId, Page};

use crate::app::App;
use crate::commands::access::may_see;
use crate::queries::{self, StoredOrder};

use input::OrderFilter;
use order::{Node, Order};
use refusals::Refusal;

type Orders = Batch<OrderId, Arc<StoredOrder>>;
type Items = Batch<OrderId, Vec<Item>>;
type Histories = Batch<OrderId, Vec<StatusChange>>;

/// The subgraph over `app`.
pub fn graph(app: Arc<App>) -> Subgraph {
    let schema = Schema::build(Query, mutations::Mutation, live::Live)
        .register_output_type::<Node>()
        .register_output_type::<Refusal>()
        .data(app.clone());
    let schema = limited(schema).finish();
    let ctx = app.ctx.clone();
    Subgraph::live(&ctx, schema, move |request| {
        request.data(orders(&app)).data(items(&app)).data(histories(&app))
    })
}

fn orders(app: &Arc<App>) -> Orders {
    batch(app, |app, ids| async move { queries::stored_orders(&app, &ids).await })
}

fn items(app: &Arc<App>) -> Items {
    batch(app, |app, ids| async move { queries::items_of(&app, &ids).await })
}

fn histories(app: &Arc<App>) -> Histories {
    batch(app, |app, ids| async move { queries::histories_of(&app, &ids).await })
}

/// The order that `id` names, when the caller may see it.
async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Order>> {
    let (Some(caller), Some(id)) = (caller(ctx), NodeId::read::<OrderId>("Order", id)) else {
        return Ok(None);
    };
    let found = held::<Orders>(ctx)?.load_one(id).await?;
    let visible = found.filter(|stored| may_see(caller, id, &stored.owner).is_ok());
    Ok(visible.map(Order::stored))
}

pub struct Query;

#[Object]
impl Query {
    /// One order: its owner's, or any for support; otherwise null.
    #[graphql(complexity = "10 + child_complexity")]
    async fn order(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Order>> {
        or_null(ctx, async {
            signed_in(ctx)?;
            find(ctx, &id).await
        })
        .await
    }

    /// Orders, newest first: one's own; all for support.
    #[graphql(complexity = "20 + page_cost(first, child_complexity)")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        filter: Option<OrderFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<Order>>> {
        or_null(ctx, async {
            let (app, caller) = (held::<Arc<App>>(ctx)?, signed_in(ctx)?);
            let filter = filter.unwrap_or_default().into_filter();
            let page = queries::list_orders(app, caller, &filter, &paging(first, after)).await?;
            let ids = page.items.iter().map(|o| o.order_id);
            let mut stored = held::<Orders>(ctx)?.load_many(ids).await?;
            // An order never goes; the list was read a moment ago.
            let items = page.items.iter().filter_map(|o| stored.remove(&o.order_id)).collect();
            let page = Page { items, page_info: page.page_info };
            let key = |stored: &Arc<StoredOrder>| (stored.order.created_at, stored.order.order_id);
            Ok(Some(connection(page, key, Order::stored)?))
        })
        .await
    }

    #[graphql(entity)]
    async fn find_order_by_id(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Order>> {
        or_null(ctx, async { find(ctx, &id).await }).await
    }
}
