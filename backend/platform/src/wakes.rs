//! Wakes who waits for something to change, in whatever process it changed.
//!
//! Word of a change is PostgreSQL's NOTIFY; one connection per process listens
//! for all who wait there. Word can be lost with that connection, so it is a hint
//! to look, never what is known: everybody looks again when the connection is
//! back, and now and then without any word.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;

use crate::lifecycle::Lifecycle;

/// Who waits for which target. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub struct Wakes {
    channel: &'static str,
    waiting: Arc<Mutex<HashMap<String, Vec<Weak<Notify>>>>>,
}

/// One who waits for one target; forgotten when dropped.
#[derive(Debug)]
pub struct Watch {
    bell: Arc<Notify>,
}

impl Watch {
    /// Resolves when there may be something new since the last call, or since the
    /// watch began.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Wakes {
    /// Over a NOTIFY channel, which all schemas of a database share.
    pub fn over(channel: &'static str) -> Self {
        Wakes { channel, waiting: Arc::default() }
    }

    /// From now on word of `target` is heard. Watch first, then look: what changes
    /// in between is not missed.
    pub fn watch(&self, target: &str) -> Watch {
        let bell = Arc::new(Notify::new());
        self.subscribe(target, &bell);
        Watch { bell }
    }

    /// From now on `bell` is notified when something is said to `target`; ends
    /// when `bell` is dropped.
    pub fn subscribe(&self, target: &str, bell: &Arc<Notify>) {
        let mut waiting = self.lock();
        let list = waiting.entry(target.to_owned()).or_default();
        list.retain(|w| w.strong_count() > 0);
        if !list.iter().any(|w| std::ptr::eq(w.as_ptr(), Arc::as_ptr(bell))) {
            list.push(Arc::downgrade(bell));
        }
    }

    /// Tells every process that `targets` changed, when what `connection` is at
    /// commits.
    pub async fn tell(&self, connection: &mut PgConnection, targets: &[&str]) -> sqlx::Result<()> {
        sqlx::query("SELECT pg_notify($1, target) FROM unnest($2::text[]) AS t(target)")
            .bind(self.channel)
            .bind(targets)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Wakes who waits for `target` in this process, without asking the database.
    pub fn wake(&self, target: &str) {
        let mut waiting = self.lock();
        if let Some(list) = waiting.get_mut(target) {
            list.retain(ring);
            if list.is_empty() {
                waiting.remove(target);
            }
        }
    }

    fn wake_all(&self) {
        self.lock().retain(|_, list| {
            list.retain(ring);
            !list.is_empty()
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Weak<Notify>>>> {
        self.waiting.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// Listens until the drain; connects again after a loss. With `look_again`
    /// everybody is woken that often, whatever was heard: for changes of which
    /// no word is given.
    pub async fn listen(
        self,
        pool: PgPool,
        lifecycle: Lifecycle,
        look_again: Option<Duration>,
    ) -> anyhow::Result<()> {
        tokio::select! {
            () = lifecycle.draining() => {}
            () = self.connected(&pool) => {}
            () = self.looking(look_again) => {}
        }
        Ok(())
    }

    async fn looking(&self, every: Option<Duration>) {
        let Some(every) = every else { return std::future::pending().await };
        loop {
            tokio::time::sleep(every).await;
            self.wake_all();
        }
    }

    async fn connected(&self, pool: &PgPool) {
        const AGAIN_AFTER: Duration = Duration::from_millis(500);
        loop {
            if let Err(error) = self.listen_once(pool).await {
                tracing::warn!(channel = self.channel, %error, "word of changes is lost for a moment");
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn listen_once(&self, pool: &PgPool) -> sqlx::Result<()> {
        // A connection of its own: those of the pool are for who asks something.
        let options = PgConnectOptions::clone(&pool.connect_options());
        let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(self.channel).await?;
        self.wake_all();
        while let Some(notice) = listener.try_recv().await? {
            self.wake(notice.payload());
        }
        Ok(())
    }
}

/// False when nobody is there any more.
fn ring(bell: &Weak<Notify>) -> bool {
    bell.upgrade().inspect(|bell| bell.notify_one()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn word_wakes_who_waits_for_it_and_is_kept_for_who_does_not_wait_yet() {
        let wakes = Wakes::over("test");
        let (one, same, other) = (wakes.watch("a"), wakes.watch("a"), wakes.watch("b"));
        wakes.wake("a");
        one.rung().await;
        same.rung().await;
        assert!(futures_util::poll!(Box::pin(other.rung())).is_pending());
        wakes.wake_all();
        other.rung().await;
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let wakes = Wakes::over("test");
        drop(wakes.watch("a"));
        let _here = wakes.watch("b");
        wakes.wake_all();
        assert_eq!(wakes.lock().keys().collect::<Vec<_>>(), ["b"]);
    }
}
