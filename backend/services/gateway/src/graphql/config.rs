//! `[gateway.graphql]`.

use std::time::Duration;

use serde::Deserialize;

/// What one document may ask for, and how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphqlConfig {
    /// Bytes of a request.
    pub max_body_bytes: usize,
    /// Words and signs of a document.
    pub max_tokens: usize,
    /// Levels of fields below one another.
    pub max_depth: usize,
    /// Fields, those of lists counted for every entry that the list may have.
    pub max_complexity: u64,
    pub max_aliases: usize,
    pub max_directives: usize,
    pub max_root_fields: usize,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Bytes of an answer.
    pub max_answer_bytes: usize,
    /// Whether the schema may be asked for. In demo mode it always may.
    pub introspection: bool,
    pub documents: Accepted,
    pub subscriptions: SubscriptionConfig,
}

/// `[gateway.graphql.subscriptions]`: how many streams, and how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionConfig {
    /// Streams of this process.
    pub max_streams: usize,
    pub max_per_caller: usize,
    pub max_per_address: usize,
    /// How often a quiet stream shows that it lives.
    pub heartbeat_seconds: u64,
    /// How long a stream may live.
    pub longest_seconds: u64,
    /// How long a client may take nothing.
    pub patience_ms: u64,
}

impl SubscriptionConfig {
    /// Refuses what could not work, naming the setting.
    pub fn check(&self) -> anyhow::Result<()> {
        for (name, value) in [
            ("heartbeat_seconds", self.heartbeat_seconds),
            ("longest_seconds", self.longest_seconds),
            ("patience_ms", self.patience_ms),
        ] {
            let place = "gateway.graphql.subscriptions";
            anyhow::ensure!(value > 0, "configuration: {place}.{name}: must be positive");
        }
        Ok(())
    }

    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_seconds)
    }

    pub fn longest(&self) -> Duration {
        Duration::from_secs(self.longest_seconds)
    }

    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }
}

/// Which documents are executed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Accepted {
    /// Every one within the limits.
    Any,
    /// Only those that ship with the shop.
    Known,
}

impl GraphqlConfig {
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}
