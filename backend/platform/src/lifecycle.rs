//! Start, drain, stop: the only place that spawns background work.
//!
//! A soft token asks everybody to finish; after a deadline a hard token tells
//! them to let go. A task that ends with an error, or panics, stops the whole
//! process, naming itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Shared by everything that runs in one process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Mutex<Option<String>>>,
    failed: Arc<Notify>,
}

impl Lifecycle {
    pub fn new() -> Self {
        Lifecycle::default()
    }

    /// Spawns `task` under `name`. It must end soon after [`Self::draining`].
    pub fn spawn<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (name, house) = (name.into(), self.clone());
        let running = self.tasks.spawn(async move {
            tokio::select! {
                () = house.hard.cancelled() => Ok(()),
                ended = task => ended,
            }
        });
        let house = self.clone();
        self.tasks.spawn(async move {
            match running.await {
                Ok(Ok(())) => tracing::debug!(task = name, "ended"),
                Ok(Err(error)) => house.fail(format!("{name}: {error:#}")),
                Err(panic) => house.fail(format!("{name}: {panic}")),
            }
        });
    }

    fn fail(&self, what: String) {
        tracing::error!(failure = what, "a task failed; stopping");
        self.failure.lock().unwrap_or_else(|p| p.into_inner()).get_or_insert(what);
        self.failed.notify_one();
        self.soft.cancel();
    }

    /// Resolves when the process should finish what it does and take nothing new.
    pub async fn draining(&self) {
        self.soft.cancelled().await;
    }

    pub fn is_draining(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// A token that ends with the soft one, for servers that want one.
    pub fn soft_token(&self) -> CancellationToken {
        self.soft.clone()
    }

    pub fn drain(&self) {
        self.soft.cancel();
    }

    /// Sleeps, but not into the drain; false when draining began.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.soft.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    /// Drains, waits up to `deadline` for tasks to finish, then lets go of the
    /// rest. The first failure, if any task failed.
    pub async fn stop(&self, deadline: Duration) -> Result<(), String> {
        self.soft.cancel();
        self.tasks.close();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "drain deadline passed");
            self.hard.cancel();
            let _ = tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await;
        }
        match self.failure.lock().unwrap_or_else(|p| p.into_inner()).take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_task_stops_the_house_and_is_named() {
        let house = Lifecycle::new();
        house.spawn("relay", async { anyhow::bail!("no broker") });
        house.draining().await;
        let failure = house.stop(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(failure, "relay: no broker");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_too() {
        let house = Lifecycle::new();
        house.spawn("worker", async { panic!("boom") });
        house.draining().await;
        assert!(house.stop(Duration::from_secs(1)).await.unwrap_err().starts_with("worker: "));
    }

    #[tokio::test]
    async fn tasks_that_will_not_end_are_let_go() {
        let house = Lifecycle::new();
        house.spawn("stubborn", std::future::pending());
        assert!(house.stop(Duration::from_millis(20)).await.is_ok());
    }
}
