//! One refresh per refresh token.
//!
//! Refresh tokens rotate and using one twice ends the session, so two tabs that
//! find their access token expired at the same moment must share one exchange.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared_types::identity::Tokens;
use tokio::sync::OnceCell;

use crate::api::ApiError;

/// How long a finished exchange answers late comers with the old cookie.
const KEPT: Duration = Duration::from_secs(30);
const MAX_EXCHANGES: usize = 4_096;

type Exchange = Arc<OnceCell<Option<Tokens>>>;

/// The exchanges under way and just finished.
#[derive(Default)]
pub struct Refresher {
    exchanges: Mutex<HashMap<String, (Instant, Exchange)>>,
}

impl Refresher {
    /// Runs `exchange` for `token` unless it is running or has just run. `None`
    /// means that the session is over. A failure is not remembered.
    pub async fn once(
        &self,
        token: &str,
        exchange: impl Future<Output = Result<Option<Tokens>, ApiError>>,
    ) -> Result<Option<Tokens>, ApiError> {
        let cell = self.exchange_of(token);
        cell.get_or_try_init(|| exchange).await.cloned()
    }

    fn exchange_of(&self, token: &str) -> Exchange {
        let mut exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        exchanges.retain(|_, (started, _)| now.duration_since(*started) < KEPT);
        if exchanges.len() >= MAX_EXCHANGES && !exchanges.contains_key(token) {
            // Beyond the limit an exchange is simply not shared.
            return Exchange::default();
        }
        exchanges.entry(token.to_owned()).or_insert_with(|| (now, Exchange::default())).1.clone()
    }
}
