//! `[identity]`.

use std::time::Duration;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// How long an access token is good.
    pub access_token_seconds: u64,
    /// How long a session lives without signing in again.
    pub session_days: u64,
    /// Failed sign-ins per account within the window before it must wait.
    pub failures_per_account: u32,
    /// Failed sign-ins per network address within the window.
    pub failures_per_address: u32,
    pub failure_window_seconds: u64,
    /// Password hashes computed at the same time; each takes 19 MiB.
    pub concurrent_hashes: usize,
}

impl IdentityConfig {
    pub fn access_ttl(&self) -> Duration {
        Duration::from_secs(self.access_token_seconds)
    }

    pub fn session_ttl(&self) -> Duration {
        Duration::from_secs(self.session_days * 86_400)
    }

    pub fn failure_window(&self) -> Duration {
        Duration::from_secs(self.failure_window_seconds)
    }
}
