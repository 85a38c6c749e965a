//! Who waits for which order, inside this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use platform::ApiError;
use shared_types::OrderId;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Wakes requests that wait for an order to move on. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    waiting: Arc<Mutex<HashMap<OrderId, Arc<Notify>>>>,
}

/// Changes made by other processes are found this often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Signals {
    /// Everything about `order_id` from now on is heard.
    pub fn listen(&self, order_id: OrderId) -> Listener {
        let mut waiting = self.lock();
        let bell = waiting.entry(order_id).or_default().clone();
        Listener { signals: self.clone(), order_id, bell: Some(bell) }
    }

    /// The order moved on.
    pub fn ring(&self, order_id: OrderId) {
        if let Some(bell) = self.lock().get(&order_id) {
            bell.notify_waiters();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OrderId, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// One who waits; forgotten when dropped.
pub struct Listener {
    signals: Signals,
    order_id: OrderId,
    bell: Option<Arc<Notify>>,
}

impl Listener {
    /// Looks whenever the order moves, and now and then, until `look` finds
    /// something or `deadline` passes.
    pub async fn until<T, F>(
        &self,
        deadline: Instant,
        mut look: impl FnMut() -> F,
    ) -> Result<Option<T>, ApiError>
    where
        F: Future<Output = Result<Option<T>, ApiError>>,
    {
        loop {
            // Listening before looking: what happens in between is not missed.
            let rung = self.bell.as_ref().map(|bell| bell.notified());
            let mut rung = std::pin::pin!(async {
                match rung {
                    Some(rung) => rung.await,
                    None => std::future::pending().await,
                }
            });
            if let Some(found) = look().await? {
                return Ok(Some(found));
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(None);
            }
            let pause = deadline.min(now + LOOK_AGAIN);
            tokio::select! {
                () = &mut rung => {}
                () = tokio::time::sleep_until(pause) => {}
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.signals.lock();
        drop(self.bell.take());
        if waiting.get(&self.order_id).is_some_and(|bell| Arc::strong_count(bell) == 1) {
            waiting.remove(&self.order_id);
        }
    }
}
