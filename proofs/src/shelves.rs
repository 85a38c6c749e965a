//! Products made for a proof, and what the shop says of their stock.

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared_types::catalog::{Product, ProductInput, ProductStatus, VariantInput};
use shared_types::inventory::Stock;
use shared_types::orders::{Address, LineInput, PaymentMethod, PlaceOrder};
use shared_types::{Amount, Currency, ProductId};

use crate::client::{Call, Shop};
use crate::credentials::Renewing;

const AT_ONCE: usize = 16;

/// A fresh product with one variant.
pub async fn stock_up(
    shop: &Shop,
    merchant: &Renewing,
    sku: &str,
    units: u64,
) -> anyhow::Result<ProductId> {
    let variant = VariantInput {
        sku: sku.to_owned(),
        title: "The only one".to_owned(),
        price: Some(Amount::new(2_500, 2)),
        currency: Some(Currency::USD),
        stock: Some(i64::try_from(units)?),
        ..VariantInput::default()
    };
    let product = ProductInput {
        title: format!("Proof {sku}"),
        description: "Made by a proof; it may be archived.".to_owned(),
        categories: vec!["Proofs".to_owned()],
        status: Some(ProductStatus::Active),
        media: Vec::new(),
        variants: vec![variant],
    };
    let call = Call::post("/products", &product)?.by(merchant.get().await?);
    let answer = shop.send(&call).await.context("making a product")?;
    let made: Product = answer.expect(&[201], "making a product")?;
    if made.stock_pending {
        wait_for_stock(shop, merchant, sku).await?;
    }
    Ok(made.id)
}

/// Waits until inventory knows a sku whose opening stock was pending.
pub async fn wait_for_stock(shop: &Shop, merchant: &Renewing, sku: &str) -> anyhow::Result<()> {
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
    const TRIES: u32 = 300;
    for _ in 0..TRIES {
        if find_stock(shop, merchant, sku).await?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    anyhow::bail!("the stock of {sku} was not opened")
}

pub async fn find_stock(
    shop: &Shop,
    merchant: &Renewing,
    sku: &str,
) -> anyhow::Result<Option<Stock>> {
    let call = Call::get(format!("/inventory/{sku}/stock")).by(merchant.get().await?);
    let answer = shop.patiently(&call).await?;
    if answer.status.as_u16() == 404 {
        return Ok(None);
    }
    answer.expect(&[200], "reading stock").map(Some)
}

/// The stock of all skus, in their order.
pub async fn stocks(
    shop: &Shop,
    merchant: &Renewing,
    skus: &[String],
) -> anyhow::Result<Vec<Stock>> {
    stream::iter(skus)
        .map(|sku| async move {
            find_stock(shop, merchant, sku).await?.with_context(|| format!("{sku} has no stock"))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// A guest's order of some lines; with `tok_ok` at once when `paid`.
pub fn guest_order(lines: Vec<LineInput>, paid: bool) -> PlaceOrder {
    PlaceOrder {
        lines: Some(lines),
        email: "buyer@proofs.bellavista.test".to_owned(),
        shipping_address: Some(Address {
            name: "Pat Proof".to_owned(),
            line1: "1 Counting Lane".to_owned(),
            city: "Springfield".to_owned(),
            postal_code: "12345".to_owned(),
            country: "US".to_owned(),
            ..Address::default()
        }),
        payment_method: paid.then(card),
        ..PlaceOrder::default()
    }
}

/// The simulator's card that always pays.
pub fn card() -> PaymentMethod {
    PaymentMethod { kind: "card".to_owned(), token: "tok_ok".to_owned() }
}

/// The simulator's card that is always declined.
pub fn card_that_is_declined() -> PaymentMethod {
    PaymentMethod { kind: "card".to_owned(), token: "tok_declined".to_owned() }
}
