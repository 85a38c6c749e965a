//! The `[cart]` section, and the tables by which orders will charge.

use std::collections::BTreeMap;
use std::time::Duration;

use platform::config::{Config, ConfigError};
use serde::Deserialize;
use shared_types::{Amount, Currency};

use crate::domain::basket::Limits;
use crate::domain::estimate::{Rate, Shipping, Tax};

/// Settings of cart; defaults live in the program's default file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Different skus in one cart.
    pub max_lines: usize,
    /// Units of one sku in one cart.
    pub max_qty: i64,
    /// How long the catalogue may take to name a sku that cart does not know.
    pub catalog_timeout_ms: u64,
    /// Questions to the catalogue at the same time.
    pub catalog_calls: usize,
    /// How long an event fetch may wait at the broker.
    pub fetch_wait_ms: u64,
}

/// Shipping as `[orders.shipping]` has it: what the cart shows is what the
/// order will cost.
#[derive(Deserialize)]
struct ShippingTable {
    enabled: bool,
    price: String,
    free_from: String,
    #[serde(default)]
    currencies: BTreeMap<String, CurrencyRow>,
}

#[derive(Deserialize)]
struct CurrencyRow {
    price: String,
    free_from: String,
}

/// Tax as `[orders.tax]` has it.
#[derive(Deserialize)]
struct TaxTable {
    enabled: bool,
    inclusive: bool,
    rates: Vec<TaxRow>,
}

#[derive(Deserialize)]
struct TaxRow {
    country: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    class: String,
    ppm: i64,
}

impl Settings {
    pub fn read(config: &Config) -> Result<Self, ConfigError> {
        let settings: Settings = config.section("cart")?;
        let within = |name: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(ConfigError(format!("cart.{name}: must lie between {low} and {high}")))
        };
        let units = u64::try_from(settings.max_qty).unwrap_or(0);
        within("max_lines", settings.max_lines as u64, 1, 1_000)?;
        within("max_qty", units, 1, 1_000_000)?;
        within("catalog_timeout_ms", settings.catalog_timeout_ms, 1, 30_000)?;
        within("catalog_calls", settings.catalog_calls as u64, 1, 10_000)?;
        within("fetch_wait_ms", settings.fetch_wait_ms, 1, 30_000)?;
        Ok(settings)
    }

    pub fn limits(&self) -> Limits {
        Limits { lines: self.max_lines, qty: self.max_qty }
    }

    pub fn catalog_timeout(&self) -> Duration {
        Duration::from_millis(self.catalog_timeout_ms)
    }

    pub fn fetch_wait(&self) -> Duration {
        Duration::from_millis(self.fetch_wait_ms)
    }
}

/// What shipping costs.
pub fn shipping(config: &Config) -> Result<Shipping, ConfigError> {
    let table: ShippingTable = config.section("orders.shipping")?;
    let amount = |text: &str| -> Result<Amount, ConfigError> {
        text.parse().map_err(|e| ConfigError(format!("orders.shipping: {text} {e}")))
    };
    let mut currencies = BTreeMap::new();
    for (code, row) in &table.currencies {
        let wrong = |e: &dyn std::fmt::Display| {
            ConfigError(format!("orders.shipping.currencies.{code}: {e}"))
        };
        let currency: Currency = code.parse().map_err(|e| wrong(&e))?;
        let price = amount(&row.price)?.in_currency(currency).map_err(|e| wrong(&e))?;
        let free_from = amount(&row.free_from)?.in_currency(currency).map_err(|e| wrong(&e))?;
        currencies.insert(currency, Rate { price, free_from });
    }
    Ok(Shipping {
        enabled: table.enabled,
        price: amount(&table.price)?,
        free_from: amount(&table.free_from)?,
        currencies,
    })
}

/// Tax per country; the finer rows need an address.
pub fn tax(config: &Config) -> Result<Tax, ConfigError> {
    let table: TaxTable = config.section("orders.tax")?;
    let plain = table.rates.into_iter().filter(|r| r.region.is_empty() && r.class.is_empty());
    Ok(Tax {
        enabled: table.enabled,
        inclusive: table.inclusive,
        rates: plain.map(|r| (r.country, r.ppm)).collect(),
    })
}
