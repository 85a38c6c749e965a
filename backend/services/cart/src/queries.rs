//! Looking at a cart.

use std::collections::HashMap;

use platform::ApiError;
use shared_types::cart::{Cart, CartAmounts, CartItem, Notice};
use shared_types::catalog::Media;
use shared_types::{CartId, Currency, Money};
use sqlx::PgConnection;

use crate::commands::App;
use crate::domain::basket::{Basket, Line};
use crate::domain::estimate;
use crate::domain::owner::Owner;
use crate::store::carts;
use crate::store::variants::{self, Variant};

/// The owner's cart with the prices of today. `country` is for the estimate of
/// tax.
pub async fn cart(
    app: &App,
    connection: &mut PgConnection,
    owner: Owner,
    country: Option<&str>,
) -> Result<Cart, ApiError> {
    let id = owner.cart_id();
    let basket = carts::load(connection, id).await?;
    let keys: Vec<String> = basket.lines.iter().map(|l| l.sku.key()).collect();
    let known =
        if keys.is_empty() { Vec::new() } else { variants::find(connection, &keys).await? };
    Ok(view(app, id, &basket, known, country))
}

/// The lines of a cart, for placing an order from it.
pub async fn basket(app: &App, cart: CartId) -> Result<Basket, ApiError> {
    let mut connection = app.pool.acquire().await?;
    Ok(carts::load(&mut connection, cart).await?)
}

fn view(
    app: &App,
    id: CartId,
    basket: &Basket,
    known: Vec<Variant>,
    country: Option<&str>,
) -> Cart {
    let known: HashMap<String, Variant> = known.into_iter().map(|v| (v.sku.key(), v)).collect();
    let currency = basket.lines.first().map(|l| l.added.currency);
    let mut items = Vec::with_capacity(basket.lines.len());
    let mut totals: Vec<Money> = Vec::new();
    for line in &basket.lines {
        // A line is only ever made of a variant that is known.
        let Some(variant) = known.get(&line.sku.key()) else { continue };
        let (item, counted) = item(line, variant, currency);
        totals.extend(counted);
        items.push(item);
    }
    let sums = estimate::sums(&totals, country, &app.shipping, &app.tax);
    let amounts = match (sums, currency) {
        (Some(sums), _) => CartAmounts {
            subtotal: sums.subtotal.amount(),
            discount: Money::zero(sums.subtotal.currency).amount(),
            tax: sums.tax.amount(),
            shipping: sums.shipping.amount(),
            total: sums.total.amount(),
        },
        (None, Some(currency)) => {
            let zero = Money::zero(currency).amount();
            CartAmounts { subtotal: zero, discount: zero, tax: zero, shipping: zero, total: zero }
        }
        (None, None) => CartAmounts::default(),
    };
    Cart { id, items, amounts, currency }
}

/// An item as shown, and its total when it can be ordered.
fn item(line: &Line, variant: &Variant, currency: Option<Currency>) -> (CartItem, Option<Money>) {
    let total = variant.price.times(line.qty);
    let mut notices = Vec::new();
    let mut note = |code: &str, message: String| {
        notices.push(Notice { code: code.to_owned(), message });
    };
    let sellable = variant.for_sale && Some(variant.price.currency) == currency;
    if !sellable || total.is_none() {
        note("not_for_sale", "This can no longer be ordered; it is not counted.".to_owned());
    } else if variant.price != line.added {
        let message = format!("The price changed from {} to {}.", line.added, variant.price);
        note("price_changed", message);
    }
    let media = (!variant.image_url.is_empty())
        .then(|| Media { url: variant.image_url.clone(), alt: variant.image_alt.clone() });
    let item = CartItem {
        item_id: line.id,
        product_id: variant.product_id,
        slug: variant.slug.clone(),
        sku: variant.sku.clone(),
        title: variant.title.clone(),
        qty: line.qty,
        price: variant.price.amount(),
        line_total: total.unwrap_or(Money::zero(variant.price.currency)).amount(),
        media,
        notices,
    };
    (item, total.filter(|_| sellable))
}
