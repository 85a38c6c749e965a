//! Turns of requests with one key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::OwnedMutexGuard;

use super::{IdempotencyKey, WAIT_FOR_FIRST, in_flight};
use crate::error::ApiError;

/// Lets requests with the same key go one after the other within this process.
///
/// For work whose record is written by one statement together with the effect:
/// between processes the record's primary key then decides, and the one that
/// comes second finds the answer of the first. No transaction stays open
/// meanwhile. What lies outside the statement must be idempotent by the key.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    running: Arc<Mutex<Running>>,
}

/// A lock for each scope that somebody works on or waits for.
type Running = HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>;

/// A request's turn, over when it is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    scope: [u8; 32],
    held: Option<OwnedMutexGuard<()>>,
}

/// With more keys than this, those that a canceled request left are looked for.
const MANY_TURNS: usize = 10_000;

impl Turns {
    /// 409 `idempotency.in_flight` when the first still runs after five seconds.
    pub async fn take(&self, key: &IdempotencyKey) -> Result<Turn, ApiError> {
        let lock = {
            let mut running = self.running();
            if running.len() >= MANY_TURNS {
                running.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            running.entry(key.scope).or_default().clone()
        };
        let held = tokio::time::timeout(WAIT_FOR_FIRST, lock.lock_owned()).await;
        let held = Some(held.map_err(|_| in_flight())?);
        Ok(Turn { turns: self.clone(), scope: key.scope, held })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(|p| p.into_inner())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut running = self.turns.running();
        // Nobody waits: nobody else holds the lock's other half.
        if running.get(&self.scope).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            running.remove(&self.scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scope: u8) -> IdempotencyKey {
        IdempotencyKey { scope: [scope; 32], fingerprint: [0; 32] }
    }

    #[tokio::test]
    async fn one_key_has_one_turn_at_a_time() {
        let turns = Turns::default();
        let first = turns.take(&key(1)).await.unwrap();
        turns.take(&key(2)).await.unwrap();
        let second = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(&key(1)).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap().unwrap();
        assert!(turns.running().is_empty(), "turns that are over leave nothing behind");
    }
}
