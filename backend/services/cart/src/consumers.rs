//! What cart learns from events of others.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::events::cart::{CartCheckedOut, CartLine};
use contracts::events::orders::OrderCreated;
use contracts::events::products::{PriceChanged, ProductUpdated, ProductVariant};
use platform::consumer::{Consumer, Done, Handle, HandleError};
use platform::outbox::Envelope;
use shared_types::catalog::ProductStatus;
use shared_types::{Amount, Currency, Money};
use sqlx::PgConnection;

use crate::commands::{App, Change};
use crate::domain::basket::{Action, Taken};
use crate::domain::owner::Owner;
use crate::store::variants::{self, Variant};

pub fn consumer(app: App) -> Consumer {
    let wait = app.settings.fetch_wait();
    let listener = Arc::new(Listener { app });
    Consumer::new("cart", wait)
        .together()
        .on::<ProductUpdated, _>(listener.clone())
        .on::<PriceChanged, _>(listener.clone())
        .on::<OrderCreated, _>(listener)
}

struct Listener {
    app: App,
}

fn money(amount: Amount, currency: Currency) -> Result<Money, HandleError> {
    amount.in_currency(currency).map_err(|e| HandleError::Poison {
        code: "cart.price",
        error: anyhow::anyhow!("{amount} {currency}: {e}"),
    })
}

#[async_trait]
impl Handle<ProductUpdated> for Listener {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<ProductUpdated>,
    ) -> Result<Done, HandleError> {
        let product = &event.payload;
        let rows: Vec<Variant> =
            product.variants.iter().map(|v| row(product, v)).collect::<Result<_, _>>()?;
        let keys: Vec<String> = rows.iter().map(|v| v.sku.key()).collect();
        variants::upsert(tx, &rows, product.version).await?;
        variants::retire_others(tx, product.product_id, &keys, product.version).await?;
        Ok(Done::quietly())
    }
}

fn row(product: &ProductUpdated, variant: &ProductVariant) -> Result<Variant, HandleError> {
    let title = match variant.title.as_str() {
        "" => product.title.clone(),
        own => format!("{} – {own}", product.title),
    };
    let image = product.media.first().cloned().unwrap_or_default();
    Ok(Variant {
        sku: variant.sku.clone(),
        product_id: product.product_id,
        title,
        slug: product.slug.clone(),
        price: money(variant.price, variant.currency)?,
        for_sale: product.status == ProductStatus::Active,
        image_url: image.url,
        image_alt: image.alt,
    })
}

#[async_trait]
impl Handle<PriceChanged> for Listener {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<PriceChanged>,
    ) -> Result<Done, HandleError> {
        let change = &event.payload;
        let price = money(change.new, change.currency)?;
        let (key, version) = (change.sku.key(), change.price_book_version);
        variants::set_price(tx, change.product_id, &key, price, version).await?;
        Ok(Done::quietly())
    }
}

#[async_trait]
impl Handle<OrderCreated> for Listener {
    /// Takes out of the cart what became an order. What was added since the
    /// order was placed stays.
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<OrderCreated>,
    ) -> Result<Done, HandleError> {
        let order = &event.payload;
        let Some(owner) = cart_owner(order) else { return Ok(Done::quietly()) };
        let ordered: Vec<Taken> =
            order.items.iter().map(|i| Taken { sku: i.sku.clone(), qty: i.qty }).collect();
        let mut change = Change::open(&self.app, tx, owner, false).await?;
        let Some(action) = change.basket.check_out(order.order_id, &ordered) else {
            return Ok(Done::quietly());
        };
        let lines = match &action {
            Action::CheckedOut { lines, .. } => lines
                .iter()
                .map(|taken| CartLine { sku: taken.sku.clone(), qty: taken.qty })
                .collect(),
            _ => Vec::new(),
        };
        change.actor = "service:orders".to_owned();
        let cart_id = change.cart;
        change.push(action);
        change.write(tx).await?;
        let checked_out = CartCheckedOut {
            cart_id,
            order_id: order.order_id,
            lines,
            value: order.amounts.subtotal,
            currency: order.currency,
        };
        self.app.outbox.append(tx, &checked_out).await?;
        Ok(Done::quietly())
    }

    fn is_known(&self, event: &Envelope<OrderCreated>) -> bool {
        cart_owner(&event.payload).is_none()
    }
}

/// Whose cart became the order; none when it came from no cart.
fn cart_owner(order: &OrderCreated) -> Option<Owner> {
    let owner = match (order.user_id, order.guest_id) {
        (Some(user), _) => Owner::User(user),
        (None, Some(guest)) => Owner::Guest(guest),
        (None, None) => return None,
    };
    (order.cart_id == Some(owner.cart_id())).then_some(owner)
}
