//! A consumer that fails on purpose, for drills and proofs.
//!
//! Which events are hit follows from their ids, so that whoever reads the log
//! can say beforehand which must become dead letters.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::HandleError;

/// Ids fall into so many drawers.
pub const DRAWERS: u32 = 10_000;
/// Events that are remembered while they fail, at most.
const MAX_REMEMBERED: usize = 100_000;

/// Fails events by their ids: the first drawers for good, the next ones once
/// to three times.
#[derive(Debug)]
pub struct Faults {
    poison: u32,
    transient: u32,
    tries: Mutex<HashMap<Uuid, u32>>,
}

/// The drawer of an event: its last 32 bits, which are random in a UUIDv7.
pub fn drawer(event_id: Uuid) -> u32 {
    event_id.as_u128() as u32 % DRAWERS
}

impl Faults {
    /// Shares of events in ten-thousandths.
    pub fn new(poison: u32, transient: u32) -> Self {
        Faults { poison, transient, tries: Mutex::default() }
    }

    /// Fails an attempt, after its effect and before its commit.
    pub fn strike(&self, event_id: Uuid) -> Result<(), HandleError> {
        let drawer = drawer(event_id);
        let failure =
            |code| Err(HandleError::Retry { code, error: anyhow::anyhow!("failed on purpose") });
        if drawer < self.poison {
            return failure("fault.poison");
        }
        if drawer >= self.poison.saturating_add(self.transient) {
            return Ok(());
        }
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= MAX_REMEMBERED && !tries.contains_key(&event_id) {
            return Ok(());
        }
        let tried = tries.entry(event_id).or_default();
        if *tried <= drawer % 3 {
            *tried += 1;
            return failure("fault.transient");
        }
        tries.remove(&event_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poison_never_passes_and_the_transient_passes_within_four_attempts() {
        let faults = Faults::new(100, 1_000);
        let in_drawer = |n: u32| Uuid::from_u128(u128::from(n));
        assert!((0..10).all(|_| faults.strike(in_drawer(99)).is_err()));
        for drawer in 100..1_100 {
            let failed = (0..10).take_while(|_| faults.strike(in_drawer(drawer)).is_err()).count();
            assert!((1..=3).contains(&failed), "{drawer}: {failed}");
        }
        assert!(faults.strike(in_drawer(1_100)).is_ok());
    }
}
