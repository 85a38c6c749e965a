//! Wakes the sockets of a target when something was said to it, in any process.
//!
//! A message is a row; the wake-up is PostgreSQL's NOTIFY on the transaction
//! that wrote it. A lost connection loses wake-ups, so everybody looks again
//! when it is back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use platform::lifecycle::Lifecycle;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;

/// The NOTIFY channel; the payload is the target.
pub const CHANNEL: &str = "live";

/// Who waits for which target. Cheap to clone.
#[derive(Clone, Default)]
pub struct Hub {
    waiting: Arc<Mutex<HashMap<String, Vec<Weak<Notify>>>>>,
}

impl Hub {
    /// From now on `wake` is notified when something is said to `target`; ends
    /// when `wake` is dropped.
    pub fn subscribe(&self, target: &str, wake: &Arc<Notify>) {
        let mut waiting = self.lock();
        let list = waiting.entry(target.to_owned()).or_default();
        list.retain(|w| w.strong_count() > 0);
        if !list.iter().any(|w| std::ptr::eq(w.as_ptr(), Arc::as_ptr(wake))) {
            list.push(Arc::downgrade(wake));
        }
    }

    fn wake(&self, target: &str) {
        let mut waiting = self.lock();
        if let Some(list) = waiting.get_mut(target) {
            list.retain(|w| w.upgrade().inspect(|n| n.notify_one()).is_some());
            if list.is_empty() {
                waiting.remove(target);
            }
        }
    }

    fn wake_all(&self) {
        let mut waiting = self.lock();
        waiting.retain(|_, list| {
            list.retain(|w| w.upgrade().inspect(|n| n.notify_one()).is_some());
            !list.is_empty()
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Weak<Notify>>>> {
        self.waiting.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// Listens until the drain; connects again after a loss.
    pub async fn listen(self, pool: PgPool, lifecycle: Lifecycle) -> anyhow::Result<()> {
        const AGAIN_AFTER: Duration = Duration::from_millis(500);
        while !lifecycle.is_draining() {
            let ended = tokio::select! {
                () = lifecycle.draining() => return Ok(()),
                ended = self.listen_once(&pool) => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "live wake-ups are lost for a moment");
            }
            lifecycle.sleep(AGAIN_AFTER).await;
        }
        Ok(())
    }

    async fn listen_once(&self, pool: &PgPool) -> sqlx::Result<()> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        self.wake_all();
        loop {
            match listener.try_recv().await? {
                Some(notice) => self.wake(notice.payload()),
                None => return Ok(()),
            }
        }
    }
}
