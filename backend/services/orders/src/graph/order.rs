//! Orders as the graph shows them.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Interface, Object, Result, SimpleObject};
use platform::graphql::{DateTime, Money, NodeId, held, or_null};
use shared_types::Currency;
use shared_types::orders as told;

use super::{Histories, Items};
use crate::app::App;
use crate::queries::{self, StoredOrder};

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::orders::OrderStatus")]
pub enum OrderStatus {
    Pending,
    Paid,
    Confirmed,
    Shipped,
    Fulfilled,
    Canceled,
    Failed,
}

/// What is being done for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::orders::Stage")]
pub enum OrderStage {
    Reserving,
    AwaitingPayment,
    Backordered,
    Authorizing,
    Capturing,
    Confirming,
    PlanningShipment,
    Compensating,
    Refunding,
    Done,
}

/// What has an id of its own in the graph.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Unique over the whole graph."))]
pub enum Node {
    Order(Order),
}

/// An order as its owner and support see it.
pub struct Order {
    order: told::Order,
    /// Where the rest is, unless the answer of a command told everything.
    stored: Option<Arc<StoredOrder>>,
}

impl Order {
    pub fn stored(stored: Arc<StoredOrder>) -> Self {
        Order { order: stored.order.clone(), stored: Some(stored) }
    }

    /// From the answer of a command.
    pub fn told(order: told::Order) -> Self {
        Order { order, stored: None }
    }

    fn money(&self, amount: shared_types::Amount) -> Money {
        Money::of(amount, self.order.currency)
    }
}

#[Object]
impl Order {
    async fn id(&self) -> ID {
        NodeId::of("Order", self.order.order_id)
    }

    /// The id as the REST API has it.
    async fn order_id(&self) -> ID {
        ID(self.order.order_id.to_string())
    }

    /// For people: `BV-100001`.
    async fn order_number(&self) -> &str {
        &self.order.order_number
    }

    async fn status(&self) -> OrderStatus {
        self.order.status.into()
    }

    async fn stage(&self) -> OrderStage {
        self.order.stage.into()
    }

    /// At most 1,000.
    async fn items(&self, ctx: &Context<'_>) -> Result<Vec<OrderItem>> {
        let items = match &self.stored {
            None => self.order.items.clone(),
            Some(_) => {
                let found = held::<Items>(ctx)?.load_one(self.order.order_id).await?;
                found.unwrap_or_default()
            }
        };
        let currency = self.order.currency;
        Ok(items.into_iter().map(|item| OrderItem::of(item, currency)).collect())
    }

    async fn amounts(&self) -> OrderAmounts {
        OrderAmounts::of(&self.order.amounts, self.order.currency)
    }

    async fn total_amount(&self) -> Money {
        self.money(self.order.total_amount)
    }

    /// What has gone back to the buyer so far.
    async fn refunded_amount(&self) -> Money {
        self.money(self.order.refunded_amount)
    }

    /// Until when the stock is held; null once it is not, or not yet.
    async fn hold_expires_at(&self) -> Option<DateTime> {
        self.order.hold_expires_at.map(DateTime::from)
    }

    async fn created_at(&self) -> DateTime {
        self.order.created_at.into()
    }

    /// The last decline while payment is awaited: a code such as
    /// `card_declined`.
    async fn last_decline(&self) -> Option<&str> {
        self.order.last_decline.as_deref()
    }

    /// Where the mails go.
    async fn email(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        or_null(ctx, async {
            match &self.stored {
                None => Ok(self.order.email.clone()),
                Some(stored) => {
                    Ok(Some(queries::email_in(held::<Arc<App>>(ctx)?, &stored.email_sealed)?))
                }
            }
        })
        .await
    }

    async fn shipping_address(&self, ctx: &Context<'_>) -> Result<Option<Address>> {
        or_null(ctx, async {
            let address = match &self.stored {
                None => self.order.shipping_address.clone(),
                Some(stored) => {
                    Some(queries::address_in(held::<Arc<App>>(ctx)?, &stored.address_sealed)?)
                }
            };
            Ok(address.map(Address::from))
        })
        .await
    }

    /// Everything that happened to it, oldest first.
    async fn timeline(&self, ctx: &Context<'_>) -> Result<Vec<TimelineEntry>> {
        let found = held::<Histories>(ctx)?.load_one(self.order.order_id).await?;
        Ok(found.unwrap_or_default().into_iter().map(TimelineEntry::from).collect())
    }
}

/// A line of an order, as it was sold.
pub struct OrderItem {
    item: told::OrderItem,
    currency: Currency,
}

impl OrderItem {
    fn of(item: told::OrderItem, currency: Currency) -> Self {
        OrderItem { item, currency }
    }
}

#[Object]
impl OrderItem {
    /// The id as the REST API has it.
    async fn product_id(&self) -> ID {
        ID(self.item.product_id.to_string())
    }

    /// The product as it is today; null when it is no longer shown.
    async fn product(&self) -> Option<Product> {
        Some(Product { id: NodeId::of("Product", self.item.product_id) })
    }

    /// The variant as it is today; null when it is no longer shown.
    async fn variant(&self) -> Option<Variant> {
        Some(Variant { sku: self.item.sku.to_string() })
    }

    async fn sku(&self) -> &str {
        self.item.sku.as_str()
    }

    async fn title(&self) -> &str {
        &self.item.title
    }

    async fn qty(&self) -> i64 {
        self.item.qty
    }

    async fn price(&self) -> Money {
        Money::of(self.item.price, self.currency)
    }

    async fn line_total(&self) -> Money {
        Money::of(self.item.line_total, self.currency)
    }
}

/// Known elsewhere.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct Product {
    id: ID,
}

/// Known elsewhere.
#[derive(SimpleObject)]
#[graphql(unresolvable = "sku")]
pub struct Variant {
    sku: String,
}

/// Frozen at placement.
#[derive(Clone, SimpleObject)]
pub struct OrderAmounts {
    subtotal: Money,
    discount: Money,
    tax: Money,
    shipping: Money,
}

impl OrderAmounts {
    pub fn of(amounts: &told::OrderAmounts, currency: Currency) -> Self {
        let money = |amount| Money::of(amount, currency);
        OrderAmounts {
            subtotal: money(amounts.subtotal),
            discount: money(amounts.discount),
            tax: money(amounts.tax),
            shipping: money(amounts.shipping),
        }
    }
}

#[derive(Clone, SimpleObject)]
pub struct Address {
    name: String,
    line1: String,
    line2: String,
    city: String,
    postal_code: String,
    region: String,
    /// ISO 3166-1 alpha-2.
    country: String,
}

impl From<told::Address> for Address {
    fn from(a: told::Address) -> Self {
        Address {
            name: a.name,
            line1: a.line1,
            line2: a.line2,
            city: a.city,
            postal_code: a.postal_code,
            region: a.region,
            country: a.country,
        }
    }
}

/// Something that happened to an order.
#[derive(Clone, SimpleObject)]
pub struct TimelineEntry {
    at: DateTime,
    /// Of the order afterwards.
    status: OrderStatus,
    /// A stable word: `placed`, `captured`, …
    cause: String,
}

impl From<told::StatusChange> for TimelineEntry {
    fn from(change: told::StatusChange) -> Self {
        TimelineEntry { at: change.at.into(), status: change.status.into(), cause: change.cause }
    }
}
