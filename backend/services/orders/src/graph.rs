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
use platform::ApiError;
use platform::graphql::{
    Batch, Connection, NodeId, Subgraph, batch, caller, held, limited, or_null, page_cost, paging,
    signed_in,
};
use platform::paging::cursor;
use shared_types::OrderId;
use shared_types::orders::{OrderItem as Item, StatusChange};

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
    let app = app.clone();
    batch(move |ids: Vec<OrderId>| {
        let app = app.clone();
        async move { queries::stored_orders(&app, &ids).await }
    })
}

fn items(app: &Arc<App>) -> Items {
    let app = app.clone();
    batch(move |ids: Vec<OrderId>| {
        let app = app.clone();
        async move { queries::items_of(&app, &ids).await }
    })
}

fn histories(app: &Arc<App>) -> Histories {
    let app = app.clone();
    batch(move |ids: Vec<OrderId>| {
        let app = app.clone();
        async move { queries::histories_of(&app, &ids).await }
    })
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
            let mut shown = Connection::new(false, page.page_info.has_next_page);
            for summary in page.items {
                let at = cursor(&(summary.created_at, summary.order_id));
                let at = at.ok_or_else(|| ApiError::internal(anyhow::anyhow!("no cursor")))?;
                // An order never goes; the list was read a moment ago.
                let Some(stored) = stored.remove(&summary.order_id) else { continue };
                shown.edges.push(async_graphql::connection::Edge::new(at, Order::stored(stored)));
            }
            Ok(Some(shown))
        })
        .await
    }

    #[graphql(entity)]
    async fn find_order_by_id(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Order>> {
        or_null(ctx, async { find(ctx, &id).await }).await
    }
}
