//! Slowing down who guesses passwords: per account and per address.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use moka::sync::Cache;
use platform::{ApiError, Clock, Kind};
use shared_types::Timestamp;

use crate::config::IdentityConfig;

/// Failures are remembered in this process for the window.
#[derive(Clone)]
pub struct Throttle {
    clock: Clock,
    window: Duration,
    per_account: u32,
    per_address: u32,
    failures: Cache<String, Arc<Mutex<Vec<Timestamp>>>>,
}

const REMEMBERED: u64 = 100_000;

impl Throttle {
    pub fn new(clock: Clock, config: &IdentityConfig) -> Self {
        let window = config.failure_window();
        let failures = Cache::builder().max_capacity(REMEMBERED).time_to_idle(window).build();
        Throttle {
            clock,
            window,
            per_account: config.failures_per_account,
            per_address: config.failures_per_address,
            failures,
        }
    }

    /// 429 with the time to wait when either has failed too often.
    pub fn check(&self, account: &str, address: Option<&str>) -> Result<(), ApiError> {
        let account = (format!("account:{account}"), self.per_account);
        let address = address.map(|a| (format!("address:{a}"), self.per_address));
        for (key, limit) in [Some(account), address].into_iter().flatten() {
            let recent = self.recent(&key);
            if recent.len() >= limit as usize {
                let oldest = recent[recent.len() - limit as usize];
                let wait = self.window.saturating_sub(self.clock.now().since(oldest));
                let detail = "Too many failed sign-ins; wait before you try again.";
                let error = ApiError::new(Kind::Limited, "identity.throttled", detail);
                return Err(error.retry_after(wait));
            }
        }
        Ok(())
    }

    pub fn failed(&self, account: &str, address: Option<&str>) {
        self.note(format!("account:{account}"));
        if let Some(address) = address {
            self.note(format!("address:{address}"));
        }
    }

    pub fn succeeded(&self, account: &str) {
        self.failures.invalidate(&format!("account:{account}"));
    }

    fn note(&self, key: String) {
        let list = self.failures.get_with(key, Arc::default);
        let mut list = list.lock().unwrap_or_else(|p| p.into_inner());
        list.push(self.clock.now());
        let most = self.per_account.max(self.per_address) as usize;
        if list.len() > most {
            list.remove(0);
        }
    }

    fn recent(&self, key: &str) -> Vec<Timestamp> {
        let Some(list) = self.failures.get(key) else { return Vec::new() };
        let now = self.clock.now();
        let list = list.lock().unwrap_or_else(|p| p.into_inner());
        list.iter().filter(|at| now.since(**at) < self.window).copied().collect()
    }
}
