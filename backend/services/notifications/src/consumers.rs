//! From order events to live messages.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use contracts::events::orders::{
    OrderCanceled, OrderConfirmed, OrderCreated, OrderFailed, OrderPaid, Reservation,
};
use platform::consumer::{Consumer, Done, HandleAll, HandleError, Received, payload};
use platform::outbox::Event;
use shared_types::OrderId;
use shared_types::orders::{OrderStatus, Stage};
use sqlx::PgConnection;

use crate::App;
use crate::store::{self, LiveOrder, NewOrder, Said};

pub fn consumer(app: App) -> Consumer {
    let live = Arc::new(Live);
    Consumer::new("notifications", Duration::from_millis(app.config.fetch_wait_ms))
        .on_all::<OrderCreated>(live.clone())
        .on_all::<OrderPaid>(live.clone())
        .on_all::<OrderConfirmed>(live.clone())
        .on_all::<OrderCanceled>(live.clone())
        .on_all::<OrderFailed>(live)
}

/// Says each change to the order's own channel, its owner's, and the staff's.
struct Live;

#[async_trait]
impl HandleAll for Live {
    async fn handle_all(
        &self,
        tx: &mut PgConnection,
        events: &[&Received],
    ) -> Result<Done, HandleError> {
        let mut placed: Vec<NewOrder> = Vec::new();
        let mut news: Vec<Said> = Vec::with_capacity(events.len());
        for event in events {
            if event.event_type == OrderCreated::TYPE {
                placed.push(new_order(event)?);
            }
            news.push(said(event)?);
        }
        store::insert_orders(tx, &placed).await?;
        let orders: Vec<OrderId> = news.iter().map(|said| said.order).collect();
        let owners = store::find_orders(tx, &orders).await?;
        let mut told: Vec<(String, Said)> = Vec::new();
        for said in news {
            // Events of one order come in order: its creation was handled before.
            let owner = owners.get(&said.order);
            let owner = owner.with_context(|| format!("order {} is not known yet", said.order))?;
            told.extend(targets(said.order, owner).into_iter().map(|target| (target, said)));
        }
        store::say(tx, &told).await?;
        Ok(Done::quietly())
    }
}

fn new_order(event: &Received) -> Result<NewOrder, HandleError> {
    let created: OrderCreated = payload(event)?;
    let total = created.total_amount.in_currency(created.currency).map_err(anyhow::Error::from)?;
    Ok(NewOrder { created, total, at: event.occurred_at })
}

/// What an event says about its order.
fn said(event: &Received) -> Result<Said, HandleError> {
    let (order, status, stage) = match event.event_type.as_str() {
        OrderPaid::TYPE => {
            (payload::<OrderPaid>(event)?.order_id, OrderStatus::Paid, Stage::Confirming)
        }
        OrderConfirmed::TYPE => {
            (payload::<OrderConfirmed>(event)?.order_id, OrderStatus::Confirmed, Stage::Done)
        }
        OrderCanceled::TYPE => {
            (payload::<OrderCanceled>(event)?.order_id, OrderStatus::Canceled, Stage::Done)
        }
        OrderFailed::TYPE => {
            (payload::<OrderFailed>(event)?.order_id, OrderStatus::Failed, Stage::Done)
        }
        _ => {
            let created: OrderCreated = payload(event)?;
            let stage = match created.reservation {
                Reservation::Held => Stage::AwaitingPayment,
                Reservation::Pending => Stage::Reserving,
            };
            (created.order_id, OrderStatus::Pending, stage)
        }
    };
    Ok(Said { order, status, stage, at: event.occurred_at })
}

fn targets(order: OrderId, owner: &LiveOrder) -> Vec<String> {
    let mut targets = vec![store::ADMIN.to_owned(), store::order_target(order)];
    targets.extend(owner.user_id.map(|id| format!("user:{id}")));
    targets.extend(owner.guest_id.map(|id| format!("guest:{id}")));
    targets
}
