//! One row per order, folded from `ecommerce.order.order`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use contracts::events::orders::{
    OrderCanceled, OrderConfirmed, OrderCreated, OrderEnded, OrderFailed, OrderPaid,
};
use contracts::topics::ORDER;
use platform::consumer::Received;
use platform::outbox::Event;
use platform::projection::ReadModel;
use serde::de::DeserializeOwned;
use shared_types::Timestamp;
use shared_types::orders::OrderStatus;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// `order-summaries`
pub struct OrderSummaries;

#[async_trait]
impl ReadModel for OrderSummaries {
    fn name(&self) -> &'static str {
        "order-summaries"
    }

    fn table(&self) -> &'static str {
        "order_summaries"
    }

    fn key(&self) -> &'static str {
        "order_id"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[ORDER]
    }

    async fn fold(
        &self,
        tx: &mut PgConnection,
        table: &str,
        events: &[Received],
    ) -> anyhow::Result<()> {
        let folded = Folded::of(events);
        begin(tx, table, &folded.rows).await?;
        go_on(tx, table, &folded.changes).await?;
        Ok(())
    }
}

/// An order's first row.
#[derive(Clone, Debug, PartialEq)]
struct Begun {
    created: OrderCreated,
    version: i64,
    at: Timestamp,
}

/// What later events of one order come to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Change {
    status: Option<OrderStatus>,
    paid: Option<String>,
    payment_id: Option<Uuid>,
    refunded: Option<String>,
    reason: Option<String>,
    version: i64,
    at: Option<Timestamp>,
}

/// A batch, per order.
#[derive(Clone, Debug, Default, PartialEq)]
struct Folded {
    /// Orders that begin here, with what followed in the same batch: a batch is a
    /// stretch of the log, so nothing between is missing.
    rows: BTreeMap<Uuid, (Begun, Change)>,
    /// What happened to orders that began before.
    changes: BTreeMap<Uuid, Change>,
}

impl Folded {
    fn of(events: &[Received]) -> Self {
        let mut folded = Folded::default();
        events.iter().for_each(|event| folded.take(event));
        for (order, (begun, change)) in &mut folded.rows {
            if let Some(later) = folded.changes.remove(order) {
                *change = later;
            }
            change.version = change.version.max(begun.version);
        }
        folded
    }

    fn take(&mut self, event: &Received) {
        let Ok(order) = event.aggregate_id.parse::<Uuid>() else { return };
        match event.event_type.as_str() {
            <OrderCreated as Event>::TYPE => {
                let Some(created) = payload::<OrderCreated>(event) else { return };
                let (version, at) = (event.aggregate_version, event.occurred_at);
                let begun = Begun { created, version, at };
                self.rows.entry(order).or_insert_with(|| (begun, Change::default()));
            }
            <OrderPaid as Event>::TYPE => {
                let Some(paid) = payload::<OrderPaid>(event) else { return };
                self.change(order, event, OrderStatus::Paid, |change| {
                    change.paid = Some(paid.amount.to_string());
                    change.payment_id = Some(paid.payment_id.0);
                });
            }
            <OrderConfirmed as Event>::TYPE => {
                self.change(order, event, OrderStatus::Confirmed, |_| {});
            }
            <OrderCanceled as Event>::TYPE => {
                let Some(OrderCanceled(ended)) = payload(event) else { return };
                self.end(order, event, OrderStatus::Canceled, ended);
            }
            <OrderFailed as Event>::TYPE => {
                let Some(OrderFailed(ended)) = payload(event) else { return };
                self.end(order, event, OrderStatus::Failed, ended);
            }
            _ => {}
        }
    }

    fn end(&mut self, order: Uuid, event: &Received, status: OrderStatus, ended: OrderEnded) {
        self.change(order, event, status, |change| {
            change.refunded = Some(ended.refunded_amount.to_string());
            change.reason = Some(ended.reason);
        });
    }

    /// An event that is older than what the batch has seen says nothing new.
    fn change(
        &mut self,
        order: Uuid,
        event: &Received,
        status: OrderStatus,
        with: impl FnOnce(&mut Change),
    ) {
        let change = self.changes.entry(order).or_default();
        if event.aggregate_version > change.version {
            change.status = Some(status);
            change.version = event.aggregate_version;
            change.at = Some(event.occurred_at);
            with(change);
        }
    }
}

fn payload<P: DeserializeOwned>(event: &Received) -> Option<P> {
    let parsed = serde_json::from_str(event.payload.get());
    if let Err(error) = &parsed {
        tracing::warn!(event_id = %event.event_id, %error, "left out of the order summaries");
    }
    parsed.ok()
}

fn customer(created: &OrderCreated) -> String {
    match (created.user_id, created.guest_id) {
        (Some(user), _) => format!("user:{user}"),
        (None, Some(guest)) => format!("guest:{guest}"),
        (None, None) => String::new(),
    }
}

async fn begin(
    tx: &mut PgConnection,
    table: &str,
    begun: &BTreeMap<Uuid, (Begun, Change)>,
) -> Result<(), sqlx::Error> {
    if begun.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO {table} AS s (order_id, order_number, customer, status, currency, total, paid,
            refunded, units, lines, created_at, payment_id, reason, version, updated_at)
         SELECT b.id, b.number, b.customer, b.status, b.currency, b.total::numeric,
            coalesce(b.paid::numeric, 0), coalesce(b.refunded::numeric, 0), b.units, b.lines, b.at,
            b.payment_id, b.reason, b.version, b.changed
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
                     $7::int[], $8::timestamptz[], $9::text[], $10::text[], $11::uuid[],
                     $12::text[], $13::text[], $14::bigint[], $15::timestamptz[])
              AS b(id, number, customer, currency, total, units, lines, at, status, paid,
                   payment_id, refunded, reason, version, changed)
         ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, paid = excluded.paid,
            payment_id = excluded.payment_id, refunded = excluded.refunded,
            reason = excluded.reason, version = excluded.version, updated_at = excluded.updated_at
         WHERE s.version < excluded.version"
    );
    let rows = || begun.values().map(|(begun, _)| begun);
    let later = || begun.values().map(|(_, change)| change);
    let status = |change: &Change| change.status.unwrap_or(OrderStatus::Pending).as_str();
    sqlx::query(AssertSqlSafe(sql))
        .bind(begun.keys().copied().collect::<Vec<_>>())
        .bind(rows().map(|b| b.created.order_number.clone()).collect::<Vec<_>>())
        .bind(rows().map(|b| customer(&b.created)).collect::<Vec<_>>())
        .bind(rows().map(|b| b.created.currency.to_string()).collect::<Vec<_>>())
        .bind(rows().map(|b| b.created.total_amount.to_string()).collect::<Vec<_>>())
        .bind(rows().map(|b| b.created.items.iter().map(|i| i.qty).sum()).collect::<Vec<i64>>())
        .bind(rows().map(|b| b.created.items.len() as i32).collect::<Vec<_>>())
        .bind(rows().map(|b| b.at).collect::<Vec<_>>())
        .bind(later().map(status).collect::<Vec<_>>())
        .bind(later().map(|c| c.paid.clone()).collect::<Vec<_>>())
        .bind(later().map(|c| c.payment_id).collect::<Vec<_>>())
        .bind(later().map(|c| c.refunded.clone()).collect::<Vec<_>>())
        .bind(later().map(|c| c.reason.clone()).collect::<Vec<_>>())
        .bind(later().map(|c| c.version).collect::<Vec<_>>())
        .bind(begun.values().map(|(b, c)| c.at.unwrap_or(b.at)).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    Ok(())
}

async fn go_on(
    tx: &mut PgConnection,
    table: &str,
    changes: &BTreeMap<Uuid, Change>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE {table} s SET status = c.status, paid = coalesce(c.paid::numeric, s.paid),
            payment_id = coalesce(c.payment_id, s.payment_id),
            refunded = coalesce(c.refunded::numeric, s.refunded),
            reason = coalesce(c.reason, s.reason), version = c.version, updated_at = c.at
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[],
                     $7::bigint[], $8::timestamptz[])
              AS c(id, status, paid, payment_id, refunded, reason, version, at)
         WHERE s.order_id = c.id AND s.version < c.version"
    );
    let rows = || changes.values();
    sqlx::query(AssertSqlSafe(sql))
        .bind(changes.keys().copied().collect::<Vec<_>>())
        .bind(rows().map(|c| c.status.map(|s| s.as_str())).collect::<Vec<_>>())
        .bind(rows().map(|c| c.paid.clone()).collect::<Vec<_>>())
        .bind(rows().map(|c| c.payment_id).collect::<Vec<_>>())
        .bind(rows().map(|c| c.refunded.clone()).collect::<Vec<_>>())
        .bind(rows().map(|c| c.reason.clone()).collect::<Vec<_>>())
        .bind(rows().map(|c| c.version).collect::<Vec<_>>())
        .bind(rows().map(|c| c.at).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use platform::outbox::{Envelope, SCHEMA_VERSION};
    use serde_json::json;

    use super::*;

    const ORDER_ID: &str = "0199aaaa-0000-7000-8000-00000000000b";

    fn event(kind: &str, version: i64, payload: serde_json::Value) -> Received {
        Envelope {
            event_id: Uuid::from_u128(version as u128),
            event_type: format!("ecommerce.order.order.{kind}.v1"),
            occurred_at: "2026-11-20T10:00:00Z".parse().unwrap(),
            producer: "orders".to_owned(),
            trace_id: String::new(),
            correlation_id: String::new(),
            causation_id: None,
            schema_version: SCHEMA_VERSION.to_owned(),
            partition_key: ORDER_ID.to_owned(),
            aggregate_id: ORDER_ID.to_owned(),
            aggregate_version: version,
            tenant: "default".to_owned(),
            payload: serde_json::value::to_raw_value(&payload).unwrap(),
        }
    }

    fn paid() -> Received {
        let payment = "0199aaaa-0000-7000-8000-00000000000a";
        let payload = json!({ "orderId": ORDER_ID, "paymentId": payment, "amount": 29.90, "currency": "USD" });
        event("paid", 2, payload)
    }

    fn canceled() -> Received {
        let payload = json!({ "orderId": ORDER_ID, "by": "user:1", "reason": "support_request",
            "items": [], "totalAmount": 29.90, "currency": "USD", "refundedAmount": 29.90 });
        event("canceled", 3, payload)
    }

    #[test]
    fn the_last_version_of_a_batch_counts_and_what_came_before_it_is_kept() {
        let changes = |events: &[Received]| Folded::of(events).changes;
        let folded = changes(&[paid(), canceled()]);
        let change = folded.values().next().unwrap();
        assert_eq!((change.status, change.version), (Some(OrderStatus::Canceled), 3));
        assert_eq!(change.reason.as_deref(), Some("support_request"));
        assert!(change.paid.is_some() && change.refunded.is_some());
        assert_eq!(changes(&[paid(), canceled(), paid()]), folded, "read twice");
    }

    #[test]
    fn what_follows_in_the_batch_of_the_first_event_is_one_row_with_it() {
        let created = event(
            "created",
            1,
            json!({ "orderId": ORDER_ID, "orderNumber": "BV-1", "reservation": "held",
                "totalAmount": 29.90, "currency": "USD", "items": [],
                "amounts": { "subtotal": 25, "discount": 0, "tax": 0, "shipping": 4.90 } }),
        );
        let row = |events: &[Received]| {
            let folded = Folded::of(events);
            assert!(folded.changes.is_empty());
            folded.rows.into_values().next().unwrap().1
        };
        let alone = row(std::slice::from_ref(&created));
        assert_eq!((alone.status, alone.version, alone.at), (None, 1, None));
        let whole = row(&[created, paid(), canceled()]);
        assert_eq!((whole.status, whole.version), (Some(OrderStatus::Canceled), 3));
        assert!(whole.paid.is_some() && whole.refunded.is_some());
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let odd = [event("paid", 2, json!({ "amount": "much" })), event("shipped?", 3, json!({}))];
        assert_eq!(Folded::of(&odd), Folded::default());
    }
}
