//! Refusals that only orders know, beside the common ones.

use async_graphql::{Interface, SimpleObject};
use platform::ApiError;
use platform::graphql::{
    CommonRefusal, Conflict, Declined, InvalidInput, Long, Money, NotFound, Refused, Stale,
};
use serde::Deserialize;
use shared_types::orders as told;
use shared_types::{Amount, Currency};

use super::order::OrderAmounts;

/// There is not enough stock; nothing was placed.
#[derive(Clone, SimpleObject)]
pub struct StockShort {
    code: String,
    message: String,
    short: Vec<ShortLine>,
}

#[derive(Clone, SimpleObject)]
pub struct ShortLine {
    sku: String,
    requested: Long,
    available: Long,
}

/// The total differs from the expected one; nothing was placed.
#[derive(Clone, SimpleObject)]
pub struct PriceChanged {
    code: String,
    message: String,
    amounts: OrderAmounts,
    total_amount: Money,
}

/// Why a mutation changed nothing.
#[allow(clippy::duplicated_attributes, reason = "two fields of one type are no repetition")]
#[derive(Interface)]
#[graphql(
    field(name = "code", ty = "&String", desc = "Stable, for programs: `orders.stock_short`."),
    field(name = "message", ty = "&String", desc = "For people.")
)]
#[allow(dead_code)] // Never made: it tells the schema who implements it.
pub enum Refusal {
    InvalidInput(InvalidInput),
    NotFound(NotFound),
    Conflict(Conflict),
    Stale(Stale),
    Refused(Refused),
    Declined(Declined),
    StockShort(StockShort),
    PriceChanged(PriceChanged),
}

/// Why an order was not placed.
pub enum NotPlaced {
    Short(StockShort),
    Changed(PriceChanged),
    Other(CommonRefusal),
}

#[derive(Deserialize)]
struct Short {
    short: Vec<shared_types::inventory::ShortLine>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    amounts: told::OrderAmounts,
    total_amount: Amount,
    currency: Currency,
}

impl NotPlaced {
    /// The refusal that `error` is; the error again when it is none to expect.
    pub fn of(error: ApiError) -> Result<Self, ApiError> {
        let (code, message) = (error.code.to_owned(), error.detail.clone());
        match error.code {
            "orders.stock_short" => {
                let read: Short = members(&error)?;
                let line = |l: shared_types::inventory::ShortLine| ShortLine {
                    sku: l.sku.to_string(),
                    requested: Long(l.requested),
                    available: Long(l.available),
                };
                let short = read.short.into_iter().map(line).collect();
                Ok(NotPlaced::Short(StockShort { code, message, short }))
            }
            "orders.price_changed" => {
                let read: Changed = members(&error)?;
                Ok(NotPlaced::Changed(PriceChanged {
                    code,
                    message,
                    amounts: OrderAmounts::of(&read.amounts, read.currency),
                    total_amount: Money::of(read.total_amount, read.currency),
                }))
            }
            _ => CommonRefusal::of(error).map(NotPlaced::Other),
        }
    }
}

/// What the problem document says beyond the problem.
fn members<T: serde::de::DeserializeOwned>(error: &ApiError) -> Result<T, ApiError> {
    serde_json::from_slice(&error.body()).map_err(ApiError::internal)
}
