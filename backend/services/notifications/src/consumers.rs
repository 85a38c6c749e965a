//! From order events to live messages.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use contracts::events::orders::{
    OrderCanceled, OrderConfirmed, OrderCreated, OrderFailed, OrderPaid, Reservation,
};
use platform::consumer::{Consumer, Done, Handle, HandleError};
use platform::outbox::Envelope;
use shared_types::orders::{OrderStatus, Stage};
use shared_types::{OrderId, Timestamp};
use sqlx::PgConnection;

use crate::App;
use crate::store::{self, LiveOrder, Said};

pub fn consumer(app: App) -> Consumer {
    let live = Arc::new(Live);
    Consumer::new("notifications", Duration::from_millis(app.config.fetch_wait_ms))
        .together()
        .on::<OrderCreated, _>(live.clone())
        .on::<OrderPaid, _>(live.clone())
        .on::<OrderConfirmed, _>(live.clone())
        .on::<OrderCanceled, _>(live.clone())
        .on::<OrderFailed, _>(live)
}

struct Live;

/// Says a change to the order's own channel, its owner's, and the staff's.
async fn tell(
    tx: &mut PgConnection,
    order: OrderId,
    (status, stage): (OrderStatus, Stage),
    at: Timestamp,
) -> Result<Done, HandleError> {
    let owner = store::find_order(tx, order).await?;
    // Events of one order come in order: its creation was handled before.
    let owner = owner.with_context(|| format!("order {order} is not known yet"))?;
    store::say(tx, &targets(order, &owner), Said { order, status, stage, at }).await?;
    Ok(Done::quietly())
}

fn targets(order: OrderId, owner: &LiveOrder) -> Vec<String> {
    let mut targets = vec![store::ADMIN.to_owned(), store::order_target(order)];
    targets.extend(owner.user_id.map(|id| format!("user:{id}")));
    targets.extend(owner.guest_id.map(|id| format!("guest:{id}")));
    targets
}

#[async_trait]
impl Handle<OrderCreated> for Live {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<OrderCreated>,
    ) -> Result<Done, HandleError> {
        let order = &event.payload;
        let total = order.total_amount.in_currency(order.currency).map_err(anyhow::Error::from)?;
        store::insert_order(tx, order, total, event.occurred_at).await?;
        let stage = match order.reservation {
            Reservation::Held => Stage::AwaitingPayment,
            Reservation::Pending => Stage::Reserving,
        };
        tell(tx, order.order_id, (OrderStatus::Pending, stage), event.occurred_at).await
    }
}

macro_rules! told_as {
    ($($event:ty => $status:ident, $stage:ident);+ $(;)?) => {$(
        #[async_trait]
        impl Handle<$event> for Live {
            async fn handle(
                &self,
                tx: &mut PgConnection,
                event: &Envelope<$event>,
            ) -> Result<Done, HandleError> {
                let news = (OrderStatus::$status, Stage::$stage);
                tell(tx, event.payload.order_id, news, event.occurred_at).await
            }
        }
    )+};
}

told_as! {
    OrderPaid => Paid, Confirming;
    OrderConfirmed => Confirmed, Done;
    OrderCanceled => Canceled, Done;
    OrderFailed => Failed, Done;
}
