//! A switch that makes a callee look away, so that the paths for an absent
//! service can be tried in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::Status;

/// Cheap to clone; clones are one switch. Off at first.
#[derive(Clone, Debug, Default)]
pub struct FaultSwitch(Arc<AtomicBool>);

impl FaultSwitch {
    /// From now on calls fail as if the callee were away, or work again.
    pub fn set(&self, away: bool) {
        self.0.store(away, Ordering::Relaxed);
    }

    /// `Unavailable` while the switch is on.
    pub fn check(&self) -> Result<(), Status> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Status::unavailable("switched off for a drill")),
            false => Ok(()),
        }
    }
}
