//! `[operations]`.

use std::time::Duration;

use platform::config::{Config, ConfigError};
use serde::Deserialize;
use shared_types::Role;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Roles that may edit a copy of a message.
    pub editors: Vec<Role>,
    /// Messages of one redrive, at most.
    pub max_redrive: i64,
    /// Messages of one redrive that may wait for their consumer's answer.
    pub max_in_flight: i64,
    /// A message whose consumer has not answered by then is open again.
    pub answer_within_seconds: u64,
    /// How often a running redrive sends.
    pub tick_ms: u64,
    /// How long settled dead letters are kept.
    pub kept_days: u64,
    /// How long an event fetch may wait at the broker.
    pub fetch_wait_ms: u64,
}

impl Settings {
    pub fn read(config: &Config) -> Result<Self, ConfigError> {
        let settings: Settings = config.section("operations")?;
        let within = |name: &str, value: i64, low: i64, high: i64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(ConfigError(format!("operations.{name}: must lie between {low} and {high}")))
        };
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        within("max_redrive", settings.max_redrive, 1, 100_000)?;
        within("max_in_flight", settings.max_in_flight, 1, 10_000)?;
        within("answer_within_seconds", number(settings.answer_within_seconds), 10, 86_400)?;
        within("tick_ms", number(settings.tick_ms), 10, 10_000)?;
        within("kept_days", number(settings.kept_days), 1, 3_650)?;
        within("fetch_wait_ms", number(settings.fetch_wait_ms), 1, 10_000)?;
        Ok(settings)
    }

    pub fn answer_within(&self) -> Duration {
        Duration::from_secs(self.answer_within_seconds)
    }

    pub fn kept(&self) -> Duration {
        Duration::from_secs(self.kept_days * 86_400)
    }
}
