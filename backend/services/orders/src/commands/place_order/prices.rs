//! Prices for a placement: our own read model first, the catalogue on a miss.

use contracts::generated::bellavista::catalog::v1::{FindVariantsRequest, Variant};
use platform::ApiError;
use platform::error::Kind;
use shared_types::catalog::ProductStatus;
use shared_types::{Currency, FieldError, Money, Sku};
use sqlx::PgConnection;

use super::input::WantedLine;
use crate::app::App;
use crate::domain::pricing::PricedLine;
use crate::outbound::CallError;
use crate::store::prices::{self, KnownVariant, ToldVariant};

/// The priced lines, or the skus that the read model cannot sell.
pub enum Priced {
    All(Vec<PricedLine>),
    Unsellable(Vec<Unsellable>),
}

pub struct Unsellable {
    pub sku: Sku,
    pub index: usize,
    /// Known, but not for sale.
    pub known: bool,
}

/// Looks `wanted` up in the read model.
async fn look_up(tx: &mut PgConnection, wanted: &[WantedLine]) -> Result<Priced, sqlx::Error> {
    Ok(price(prices::find(tx, &keys(wanted)).await?, wanted))
}

/// What the read model is asked for.
pub fn keys(wanted: &[WantedLine]) -> Vec<String> {
    wanted.iter().map(|l| l.sku.key()).collect()
}

/// Puts prices to `wanted` out of what is known.
pub fn price(known: Vec<KnownVariant>, wanted: &[WantedLine]) -> Priced {
    let mut by_key: std::collections::HashMap<String, KnownVariant> =
        known.into_iter().map(|v| (v.sku.key(), v)).collect();
    let mut lines = Vec::with_capacity(wanted.len());
    let mut unsellable = Vec::new();
    for line in wanted {
        match by_key.remove(&line.sku.key()) {
            Some(known) if known.status == ProductStatus::Active.as_str() => {
                lines.push(PricedLine {
                    product_id: known.product_id,
                    sku: known.sku,
                    title: known.title,
                    tax_class: known.tax_class,
                    qty: line.qty,
                    price: known.price,
                });
            }
            other => unsellable.push(Unsellable {
                sku: line.sku.clone(),
                index: line.index,
                known: other.is_some(),
            }),
        }
    }
    if unsellable.is_empty() { Priced::All(lines) } else { Priced::Unsellable(unsellable) }
}

/// Why lines cannot be sold, naming each.
pub fn refusal(unsellable: &[Unsellable]) -> ApiError {
    let unknown = unsellable.iter().any(|u| !u.known);
    let (code, detail) = match unknown {
        true => ("orders.unknown_sku", "Some skus are not known; see errors."),
        false => ("orders.not_for_sale", "Some skus are not for sale; see errors."),
    };
    let fields = unsellable
        .iter()
        .map(|u| FieldError {
            field: format!("lines[{}].sku", u.index),
            code: if u.known { "not_for_sale" } else { "unknown_sku" }.to_owned(),
            message: match u.known {
                true => format!("{} is not for sale", u.sku),
                false => format!("there is no sku {}", u.sku),
            },
        })
        .collect();
    ApiError::new(Kind::Refused, code, detail).with_fields(fields)
}

/// Asks the catalogue for what the read model could not sell, and keeps the
/// answer. Of a crowd that wants the same skus one asks.
pub async fn ask_catalog(app: &App, unsellable: &[Unsellable]) -> Result<(), ApiError> {
    let wanted: Vec<WantedLine> = unsellable
        .iter()
        .map(|u| WantedLine { sku: u.sku.clone(), qty: 1, index: u.index })
        .collect();
    let _turn = app.asking_catalog.lock().await;
    let mut connection = app.ctx.pool.acquire().await?;
    let missing = match look_up(&mut connection, &wanted).await? {
        Priced::All(_) => return Ok(()),
        Priced::Unsellable(missing) => missing,
    };
    drop(connection);
    let skus = missing.iter().map(|u| u.sku.as_str().to_owned()).collect();
    let out = &app.out;
    let call = out.catalog.find_variants(FindVariantsRequest { skus });
    let answer =
        out.catalog_gate.call(out.call_limit, call).await.map_err(|error| match error {
            CallError::Away(_) => {
                ApiError::unavailable("orders.catalog_away", "Some prices cannot be looked up now.")
            }
            CallError::Refused(status) => {
                ApiError::internal(anyhow::anyhow!("catalogue: {status}"))
            }
        })?;
    let told: Vec<ToldVariant> = answer.variants.iter().filter_map(told).collect();
    if !told.is_empty() {
        let mut connection = app.ctx.pool.acquire().await?;
        prices::store(&mut connection, &told).await?;
    }
    Ok(())
}

/// A variant as the catalogue describes it; one that makes no sense is left out.
fn told(variant: &Variant) -> Option<ToldVariant> {
    let currency: Currency = variant.currency.parse().ok()?;
    Some(ToldVariant {
        variant: KnownVariant {
            sku: variant.sku.parse().ok()?,
            product_id: variant.product_id.parse().ok()?,
            title: variant.title.clone(),
            status: variant.status.clone(),
            tax_class: variant.tax_class.clone(),
            price: Money::new(variant.price_minor, currency),
        },
        version: variant.product_version,
    })
}
