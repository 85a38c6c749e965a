//! What devices saw of stock.

use serde::{Deserialize, Serialize};
use shared_types::Sku;
use utoipa::ToSchema;

use super::event;
use crate::topics::IOT_STOCK;

/// A device saw units come or go: physical truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockReading {
    pub sku: Sku,
    pub delta: i64,
    pub reason: String,
    pub device_id: Option<String>,
    /// Readings of one id count once.
    pub reading_id: Option<String>,
}

event!(StockReading, "ecommerce.iot.stock.reading.v1", IOT_STOCK, key = sku);
