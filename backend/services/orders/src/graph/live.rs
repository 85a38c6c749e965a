//! An order as it moves.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject, Subscription};
use futures_util::Stream;
use platform::ApiError;
use platform::graphql::{DateTime, Follow, NodeId, follow, held, signed_in};
use shared_types::OrderId;
use shared_types::orders::StatusChange;

use super::Orders;
use super::order::{Order, OrderStatus};
use crate::app::App;
use crate::commands::access::not_found;
use crate::queries;

pub struct Live;

#[Subscription(name = "Subscription")]
impl Live {
    /// What happens to an order, for who may see it: first what happened last, then
    /// everything from then on, in order and without a gap. It has no end of its
    /// own, because a fulfilled order can still be refunded. Another person's order
    /// is not found.
    #[graphql(complexity = "20 + child_complexity")]
    async fn order_status(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
    ) -> Result<impl Stream<Item = Result<OrderStatusUpdate>>> {
        let (app, caller) = (held::<Arc<App>>(ctx)?.clone(), signed_in(ctx)?);
        let order_id = NodeId::read::<OrderId>("Order", &order_id).ok_or_else(not_found)?;
        queries::see(&app, caller, order_id).await?;
        // Heard from before the first look on.
        let watch = app.wakes.watch(&order_id.to_string());
        Ok(follow(watch, Duration::ZERO, History { app, order_id, seen: None }))
    }
}

/// Something that happened to an order.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct OrderStatusUpdate {
    /// The id as the REST API has it.
    order_id: ID,
    /// Of the order afterwards.
    status: OrderStatus,
    at: DateTime,
    /// A stable word: `placed`, `captured`, …
    cause: String,
    #[graphql(skip)]
    id: OrderId,
}

#[ComplexObject]
impl OrderStatusUpdate {
    /// The order as it is when this is told; it may have moved on since.
    async fn order(&self, ctx: &Context<'_>) -> Result<Order> {
        let found = held::<Orders>(ctx)?.load_one(self.id).await?;
        Ok(Order::stored(found.ok_or_else(not_found)?))
    }
}

/// The history of one order, read on from what was told.
struct History {
    app: Arc<App>,
    order_id: OrderId,
    seen: Option<i64>,
}

impl Follow for History {
    type Item = OrderStatusUpdate;

    async fn news(&mut self) -> Result<Vec<OrderStatusUpdate>, ApiError> {
        let found = queries::history_since(&self.app, self.order_id, self.seen).await?;
        if let Some((place, _)) = found.last() {
            self.seen = Some(*place);
        }
        let id = self.order_id;
        let told = |(_, change): (i64, StatusChange)| OrderStatusUpdate {
            order_id: ID(id.to_string()),
            status: change.status.into(),
            at: change.at.into(),
            cause: change.cause,
            id,
        };
        Ok(found.into_iter().map(told).collect())
    }
}
