//! The catalogue's events keep the price model.

use async_trait::async_trait;
use contracts::events::products::{PriceChanged, ProductUpdated};
use platform::consumer::{Done, Handle, HandleError};
use platform::outbox::Envelope;
use shared_types::{Amount, Currency, Money};
use sqlx::PgConnection;

use super::Ears;
use crate::store::prices::{self, KnownVariant, ToldVariant};

fn money(amount: Amount, currency: Currency) -> Result<Money, HandleError> {
    amount.in_currency(currency).map_err(|error| HandleError::Poison {
        code: "orders.bad_price",
        error: anyhow::anyhow!("{amount} {currency}: {error}"),
    })
}

#[async_trait]
impl Handle<ProductUpdated> for Ears {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<ProductUpdated>,
    ) -> Result<Done, HandleError> {
        let product = &event.payload;
        if !prices::note_version(tx, product.product_id, product.version).await? {
            return Ok(Done::quietly());
        }
        let mut told = Vec::with_capacity(product.variants.len());
        for variant in &product.variants {
            let title = match variant.title.trim() {
                own if own.is_empty() || own == product.title => product.title.clone(),
                own => format!("{} – {own}", product.title),
            };
            told.push(ToldVariant {
                variant: KnownVariant {
                    sku: variant.sku.clone(),
                    product_id: product.product_id,
                    title,
                    status: product.status.as_str().to_owned(),
                    tax_class: String::new(),
                    price: money(variant.price, variant.currency)?,
                },
                version: product.version,
            });
        }
        prices::store(tx, &told).await?;
        let keys: Vec<String> = product.variants.iter().map(|v| v.sku.key()).collect();
        prices::forget_others(tx, product.product_id, &keys).await?;
        Ok(Done::quietly())
    }
}

#[async_trait]
impl Handle<PriceChanged> for Ears {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<PriceChanged>,
    ) -> Result<Done, HandleError> {
        let change = &event.payload;
        let price = money(change.new, change.currency)?;
        let version = change.price_book_version;
        prices::reprice(tx, change.product_id, &change.sku, price, version).await?;
        Ok(Done::quietly())
    }
}
