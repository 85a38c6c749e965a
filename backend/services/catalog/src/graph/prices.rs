//! The history of prices, batched over the products of an answer.

use async_graphql::{Context, Result, SimpleObject};
use platform::graphql::{
    Batch, Connection, DateTime, Money, batch, connection, held, paging as arguments, signed_in,
};
use platform::paging;
use shared_types::{ProductId, catalog as told};

use crate::App;
use crate::queries::{self, PricePage};
use crate::rest::allowed;

/// One price and the time it was valid.
#[derive(Clone, SimpleObject)]
pub struct PriceRecord {
    sku: String,
    price: Money,
    valid_from: DateTime,
    /// Null while it is the price of today.
    valid_to: Option<DateTime>,
    /// Who set it.
    changed_by: String,
}

impl From<told::PriceRecord> for PriceRecord {
    fn from(record: told::PriceRecord) -> Self {
        PriceRecord {
            sku: record.sku.to_string(),
            price: Money::of(record.price, record.currency),
            valid_from: record.valid_from.into(),
            valid_to: record.valid_to.map(DateTime::from),
            changed_by: record.changed_by,
        }
    }
}

pub type Pages = Batch<PricePage, Vec<(i64, told::PriceRecord)>>;

/// Pages of many products with one statement per size and position.
pub fn pages(app: &App) -> Pages {
    batch(app, |app, wanted| async move { queries::price_pages(&app, &wanted).await })
}

/// The prices of `product`; for merchants.
pub async fn page_of(
    ctx: &Context<'_>,
    product: ProductId,
    first: Option<i32>,
    after: Option<String>,
) -> Result<Connection<PriceRecord>> {
    allowed(signed_in(ctx)?)?;
    let page = arguments(first, after);
    let (limit, after) = (page.limit()?, page.position::<i64>()?);
    let found = held::<Pages>(ctx)?.load_one(PricePage { product, limit, after }).await?;
    let page = paging::page(found.unwrap_or_default(), limit, |(id, _)| *id);
    Ok(connection(page, |(id, _)| *id, |(_, record)| record.into())?)
}
