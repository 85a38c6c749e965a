//! What inventory does about events of others.
//!
//! Events of orders and payments repeat commands that the saga has sent, or
//! could not send. They may arrive before or after them: every command is
//! idempotent, and a release that overtakes its reservation leaves a mark.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::events::inventory::{ReservationHeld, ReservationInsufficient, Short};
use contracts::events::iot::StockReading;
use contracts::events::orders::{OrderCanceled, OrderCreated, OrderFailed, OrderPaid, Reservation};
use contracts::events::payments::PaymentFailed;
use contracts::events::products::ProductUpdated;
use platform::consumer::{Consumer, Done, Handle, HandleError};
use platform::outbox::Envelope;
use platform::{ApiError, Kind, trace};
use shared_types::Sku;
use sqlx::PgConnection;

use crate::calls;
use crate::commands::count::{self, Reading};
use crate::commands::open::{self, Open};
use crate::commands::reserve::{self, BatchError, Reserve, ReserveError, Reserved};
use crate::commands::{Stockroom, settle};
use crate::domain::shelf::{Ask, Wanted};

/// A buyer waits for some of these events.
const FETCH_WAIT: Duration = Duration::from_millis(150);

pub fn consumer(room: Stockroom) -> Consumer {
    let listener = Arc::new(Listener { room });
    Consumer::new("inventory", FETCH_WAIT)
        .on::<ProductUpdated, _>(listener.clone())
        .on::<OrderCreated, _>(listener.clone())
        .on::<OrderPaid, _>(listener.clone())
        .on::<OrderCanceled, _>(listener.clone())
        .on::<OrderFailed, _>(listener.clone())
        .on::<PaymentFailed, _>(listener.clone())
        .on::<StockReading, _>(listener)
}

struct Listener {
    room: Stockroom,
}

/// A refusal stays a refusal however often it is tried.
fn disposed(error: ApiError) -> HandleError {
    match error.kind {
        Kind::Invalid | Kind::Refused => {
            let code = error.code;
            HandleError::Poison { code, error: anyhow::anyhow!("{}", error.detail) }
        }
        _ => error.into(),
    }
}

#[async_trait]
impl Handle<ProductUpdated> for Listener {
    /// Opening stock that `catalog` could not hand over by a call.
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<ProductUpdated>,
    ) -> Result<Done, HandleError> {
        let product = &event.payload;
        for variant in &product.variants {
            let Some(qty) = variant.opening_stock else { continue };
            if !(0..=calls::MAX_QTY).contains(&qty) {
                let error = anyhow::anyhow!("opening stock {qty} of {}", variant.sku);
                return Err(HandleError::Poison { code: "inventory.opening_stock", error });
            }
            let wish = Open {
                variant_id: variant.id,
                product_id: product.product_id,
                sku: variant.sku.clone(),
                qty,
            };
            open::open_on(&self.room, tx, &wish, "service:catalog").await.map_err(disposed)?;
        }
        Ok(Done::quietly())
    }
}

#[async_trait]
impl Handle<OrderCreated> for Listener {
    /// Reserves for an order that was placed while inventory was away.
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<OrderCreated>,
    ) -> Result<Done, HandleError> {
        let order = &event.payload;
        if self.is_known(event) {
            return Ok(Done::quietly());
        }
        let wanted =
            calls::add_up(order.items.iter().map(|i| (&i.sku, i.qty))).map_err(|(line, why)| {
                HandleError::Poison {
                    code: "inventory.lines",
                    error: anyhow::anyhow!("line {line} {why}"),
                }
            })?;
        let wish = Reserve {
            order_id: order.order_id,
            wanted,
            ttl: self.room.settings.hold_ttl(),
            accept_backorder: true,
            context: trace::current(),
        };
        let answer = match reserve::on(&self.room, tx, &[&wish]).await {
            Ok(mut answers) => answers.pop().unwrap_or(Err(ReserveError::Raced)),
            Err(BatchError::Raced) => Err(ReserveError::Raced),
            Err(BatchError::Failed(error)) => return Err(disposed(error)),
        };
        self.answer(tx, order, &wish.wanted, answer).await?;
        Ok(Done::quietly())
    }

    /// The stock was held before the order was placed.
    fn is_known(&self, event: &Envelope<OrderCreated>) -> bool {
        event.payload.reservation == Reservation::Held
    }
}

impl Listener {
    /// Tells `orders` what became of a pending reservation.
    async fn answer(
        &self,
        tx: &mut PgConnection,
        order: &OrderCreated,
        wanted: &Wanted,
        answer: reserve::Answer,
    ) -> Result<(), HandleError> {
        let order_id = order.order_id;
        let outbox = &self.room.outbox;
        let short = match answer {
            // Told with the reservation.
            Ok(Reserved::Held { repeated: false, waiting, .. }) if waiting.is_empty() => {
                return Ok(());
            }
            Ok(Reserved::Held { waiting, .. }) if !waiting.is_empty() => {
                let short = waiting.into_iter();
                let short = short.map(|(sku, open)| Short { sku, requested: open, available: 0 });
                let event =
                    ReservationInsufficient { order_id, short: short.collect(), backordered: true };
                return Ok(outbox.append(tx, &event).await?);
            }
            Ok(Reserved::Held { expires_at, lines, .. }) => {
                let held = ReservationHeld { order_id, lines, expires_at };
                return Ok(outbox.append(tx, &held).await?);
            }
            Ok(Reserved::Short(lines)) => lines
                .into_iter()
                .map(|l| Short { sku: l.sku, requested: l.requested, available: l.available })
                .collect(),
            Err(ReserveError::UnknownSkus(keys)) => unknown(order, wanted, &keys),
            // The order was given up before its event was read.
            Err(ReserveError::Ended) => return Ok(()),
            Err(error @ ReserveError::Raced) => {
                let code = "inventory.raced";
                return Err(HandleError::Retry { code, error: error.into() });
            }
            Err(error) => return Err(disposed(error.into())),
        };
        let event = ReservationInsufficient { order_id, short, backordered: false };
        Ok(outbox.append(tx, &event).await?)
    }
}

/// Of a sku that nobody opened there is nothing.
fn unknown(order: &OrderCreated, wanted: &Wanted, keys: &[String]) -> Vec<Short> {
    let spelling = |key: &str| -> Option<Sku> {
        order.items.iter().map(|i| &i.sku).find(|sku| sku.key() == key).cloned()
    };
    let short = |key: &String| {
        let requested = wanted.get(&Ask::ordinary(key.clone())).copied().unwrap_or(0);
        Some(Short { sku: spelling(key)?, requested, available: 0 })
    };
    keys.iter().filter_map(short).collect()
}

#[async_trait]
impl Handle<OrderPaid> for Listener {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<OrderPaid>,
    ) -> Result<Done, HandleError> {
        let confirmed = settle::confirm_on(&self.room, tx, event.payload.order_id).await?;
        if !confirmed.done {
            // The saga takes the stock anew or pays back; it is not ours to do.
            tracing::warn!(order_id = %event.payload.order_id, "a paid order's hold is gone");
        }
        Ok(Done::quietly())
    }

    /// The saga's command came first, as it nearly always does.
    fn is_known(&self, event: &Envelope<OrderPaid>) -> bool {
        settle::is_confirmed(&self.room, event.payload.order_id)
    }
}

#[async_trait]
impl Handle<OrderCanceled> for Listener {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<OrderCanceled>,
    ) -> Result<Done, HandleError> {
        settle::release_on(&self.room, tx, event.payload.order_id).await?;
        Ok(Done::quietly())
    }
}

#[async_trait]
impl Handle<OrderFailed> for Listener {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<OrderFailed>,
    ) -> Result<Done, HandleError> {
        settle::release_on(&self.room, tx, event.payload.order_id).await?;
        Ok(Done::quietly())
    }
}

#[async_trait]
impl Handle<PaymentFailed> for Listener {
    /// Only when no further attempt will be made.
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<PaymentFailed>,
    ) -> Result<Done, HandleError> {
        if event.payload.is_final {
            settle::release_on(&self.room, tx, event.payload.order_id).await?;
        }
        Ok(Done::quietly())
    }
}

/// Text of a device that goes into the ledger, at most.
const READING_CHARS: usize = 200;

#[async_trait]
impl Handle<StockReading> for Listener {
    /// Devices tell what is there, not what ought to be.
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<StockReading>,
    ) -> Result<Done, HandleError> {
        let seen = &event.payload;
        let device_id = seen.device_id.as_deref().unwrap_or("unknown");
        let texts = [Some(device_id), seen.reading_id.as_deref(), Some(seen.reason.as_str())];
        let long = texts.iter().flatten().any(|text| text.chars().count() > READING_CHARS);
        if long || !(-calls::MAX_QTY..=calls::MAX_QTY).contains(&seen.delta) {
            let error = anyhow::anyhow!("a reading of {} units, or with long texts", seen.delta);
            return Err(HandleError::Poison { code: "inventory.reading", error });
        }
        let reading = Reading {
            sku: &seen.sku,
            delta: seen.delta,
            reason: &seen.reason,
            device_id,
            reading_id: seen.reading_id.as_deref(),
        };
        match count::read_on(&self.room, tx, &reading).await {
            Ok(_) => Ok(Done::quietly()),
            // A device that counts what the shop does not sell.
            Err(error) if error.kind == Kind::NotFound => {
                let code = error.code;
                Err(HandleError::Poison { code, error: anyhow::anyhow!("{}", seen.sku) })
            }
            Err(error) => Err(disposed(error)),
        }
    }
}
