//! The `[inventory]` section.

use std::time::Duration;

use platform::config::{Config, ConfigError};
use serde::Deserialize;

/// Settings of inventory; defaults live in the program's default file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How long a hold lasts unless the caller says otherwise.
    pub hold_ttl_seconds: u64,
    /// What the first payment attempt adds, once.
    pub hold_extension_seconds: u64,
    /// How often expired holds are looked for.
    pub expiry_interval_ms: u64,
    /// Stock at or below this is low; for skus opened from now on.
    pub low_threshold: i64,
    /// Units per sku and warehouse that are never sold; for skus opened from
    /// now on.
    pub safety_stock: i64,
    /// Reservations that share one transaction, at most.
    pub batch_size: usize,
    /// Transactions of reservations that run side by side.
    pub batch_lanes: usize,
    /// Reservations that may wait before further ones are refused (503).
    pub queue_limit: usize,
    /// Changes of stock in between are told as one to who follows a product.
    pub live_pace_ms: u64,
}

/// A hold outlives no day: whoever needs more time asks again.
pub const MAX_TTL_SECONDS: u64 = 24 * 3600;

impl Settings {
    pub fn read(config: &Config) -> Result<Self, ConfigError> {
        let settings: Settings = config.section("inventory")?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let within = |name: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(ConfigError(format!("inventory.{name}: must lie between {low} and {high}")))
        };
        let units = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        within("hold_ttl_seconds", self.hold_ttl_seconds, 1, MAX_TTL_SECONDS)?;
        within("hold_extension_seconds", self.hold_extension_seconds, 0, MAX_TTL_SECONDS)?;
        within("expiry_interval_ms", self.expiry_interval_ms, 10, 1_000)?;
        within("low_threshold", units(self.low_threshold), 0, 1_000_000_000)?;
        within("safety_stock", units(self.safety_stock), 0, 1_000_000_000)?;
        within("batch_size", self.batch_size as u64, 1, 1_000)?;
        within("batch_lanes", self.batch_lanes as u64, 1, 64)?;
        within("queue_limit", self.queue_limit as u64, 1, 100_000)?;
        within("live_pace_ms", self.live_pace_ms, 50, 10_000)
    }

    pub fn hold_ttl(&self) -> Duration {
        Duration::from_secs(self.hold_ttl_seconds)
    }

    pub fn hold_extension(&self) -> Duration {
        Duration::from_secs(self.hold_extension_seconds)
    }

    pub fn live_pace(&self) -> Duration {
        Duration::from_millis(self.live_pace_ms)
    }

    pub fn expiry_interval(&self) -> Duration {
        Duration::from_millis(self.expiry_interval_ms)
    }
}
