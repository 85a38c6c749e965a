//! `[notifications]`.

use std::time::Duration;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationsConfig {
    /// How long messages are kept for resuming.
    pub kept_hours: u64,
    /// How often a quiet socket is told that the house still stands.
    pub heartbeat_seconds: u64,
    /// Sockets of this process, at most.
    pub max_sockets: usize,
    /// Subscriptions of one socket, at most.
    pub max_subscriptions: usize,
    /// How long an event fetch may wait at the broker.
    pub fetch_wait_ms: u64,
}

impl NotificationsConfig {
    pub fn kept(&self) -> Duration {
        Duration::from_secs(self.kept_hours * 3_600)
    }

    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_seconds)
    }
}
