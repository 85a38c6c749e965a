//! Inputs of orders, as the commands take them.

use async_graphql::{ID, InputObject};
use platform::ApiError;
use platform::graphql::{DateTime, Decimal, NodeId};
use platform::validate::Checks;
use shared_types::OrderId;
use shared_types::orders as told;
use shared_types::payments::RefundInput;

use super::order::OrderStatus;
use crate::queries;

/// Which orders a list shows.
#[derive(Clone, Debug, Default, InputObject)]
pub struct OrderFilter {
    pub status: Option<OrderStatus>,
    /// An order number, an order id, a sku, or part of a title.
    pub q: Option<String>,
    /// Placed at or after.
    pub from: Option<DateTime>,
    /// Placed before.
    pub to: Option<DateTime>,
}

impl OrderFilter {
    pub fn into_filter(self) -> queries::OrderFilter {
        let status = self.status.map(told::OrderStatus::from);
        queries::OrderFilter {
            status: status.map(|s| s.to_string()),
            q: self.q,
            from: self.from.map(|t| t.0.to_string()),
            to: self.to.map(|t| t.0.to_string()),
        }
    }
}

/// From explicit lines or from a cart, never both.
#[derive(InputObject)]
pub struct PlaceOrderInput {
    lines: Option<Vec<OrderLineInput>>,
    cart_id: Option<ID>,
    /// Refuse when the total would differ from this.
    expected_total: Option<Decimal>,
    email: String,
    shipping_address: AddressInput,
    /// `standard` when absent.
    shipping_method: Option<String>,
    payment_method: Option<PaymentMethodInput>,
    /// `none`: without tax and shipping; for service accounts and ADMIN.
    tax_and_shipping: Option<String>,
    /// `user:<id>` or `guest:<id>`, for service accounts and ADMIN.
    on_behalf_of: Option<String>,
}

/// One sku and how many.
#[derive(InputObject)]
pub struct OrderLineInput {
    sku: String,
    qty: i32,
}

#[derive(InputObject)]
pub struct AddressInput {
    name: String,
    line1: String,
    #[graphql(default)]
    line2: String,
    city: String,
    postal_code: String,
    #[graphql(default)]
    region: String,
    /// ISO 3166-1 alpha-2.
    country: String,
}

/// A token from the payment page; never a card number.
#[derive(InputObject)]
pub struct PaymentMethodInput {
    /// `card`.
    #[graphql(name = "type")]
    kind: String,
    token: String,
}

/// By amount, or by lines; neither means all that is left.
#[derive(InputObject)]
pub struct RefundOrderInput {
    order_id: ID,
    amount: Option<Decimal>,
    lines: Option<Vec<OrderLineInput>>,
    /// Take the units back into stock; needs lines.
    #[graphql(default)]
    restock: bool,
    reason: String,
}

impl From<PaymentMethodInput> for told::PaymentMethod {
    fn from(method: PaymentMethodInput) -> Self {
        told::PaymentMethod { kind: method.kind, token: method.token }
    }
}

fn lines(lines: Vec<OrderLineInput>) -> Vec<told::LineInput> {
    lines.into_iter().map(|l| told::LineInput { sku: l.sku, qty: i64::from(l.qty) }).collect()
}

impl PlaceOrderInput {
    pub fn read(self) -> Result<told::PlaceOrder, ApiError> {
        let mut checks = Checks::new();
        let cart_id = self.cart_id.as_ref().and_then(|id| {
            let read = NodeId::read("Cart", id);
            checks.ensure(read.is_some(), "cartId", "invalid", "is no cart");
            read
        });
        checks.finish()?;
        let to = self.shipping_address;
        Ok(told::PlaceOrder {
            lines: self.lines.map(lines),
            cart_id,
            expected_total: self.expected_total.map(|d| d.0),
            email: self.email,
            shipping_address: Some(told::Address {
                name: to.name,
                line1: to.line1,
                line2: to.line2,
                city: to.city,
                postal_code: to.postal_code,
                region: to.region,
                country: to.country,
            }),
            shipping_method: self.shipping_method,
            payment_method: self.payment_method.map(Into::into),
            tax_and_shipping: self.tax_and_shipping,
            on_behalf_of: self.on_behalf_of,
        })
    }
}

impl RefundOrderInput {
    pub fn read(self) -> Result<RefundInput, ApiError> {
        Ok(RefundInput {
            order_id: Some(order_id(&self.order_id)?),
            amount: self.amount.map(|d| d.0),
            lines: self.lines.map(lines),
            restock: self.restock,
            reason: self.reason,
        })
    }
}

/// The order that an argument names; 404 when it cannot name one.
pub fn order_id(id: &ID) -> Result<OrderId, ApiError> {
    NodeId::read("Order", id).ok_or_else(crate::commands::access::not_found)
}
