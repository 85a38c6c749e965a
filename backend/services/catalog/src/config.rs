//! `[catalog]`.

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogConfig {
    /// Shoppers see `LOW` from this many available units down.
    pub low_at: i64,
    /// How often opening stock that inventory missed is offered again.
    pub opening_stock_retry_ms: u64,
    /// How long an event fetch may wait at the broker.
    pub fetch_wait_ms: u64,
}
