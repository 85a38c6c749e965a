//! Deaths on purpose: before and after everything that is stored.
//!
//! Every place where a crash could leave work half done passes here. Tests let
//! the n-th pass fail, drills with whole processes let it end the process.

use std::sync::atomic::{AtomicI64, Ordering};

use platform::ApiError;

/// How many passes are left; below zero nothing happens.
#[derive(Debug)]
pub struct Faults {
    left: AtomicI64,
    /// End the process instead of failing the pass.
    for_real: bool,
}

impl Faults {
    /// The process ends itself at the n-th pass, counted from zero; never when
    /// `passes` is negative.
    pub fn ending_the_process(passes: i64) -> Self {
        Faults { left: AtomicI64::new(passes), for_real: passes >= 0 }
    }

    /// The n-th pass from now fails, as though the process had died there.
    pub fn arm(&self, passes: i64) {
        self.left.store(passes, Ordering::SeqCst);
    }

    /// Whether it has not come to it.
    pub fn is_armed(&self) -> bool {
        self.left.load(Ordering::SeqCst) >= 0
    }

    /// Goes on, or dies here.
    pub fn pass(&self, place: &'static str) -> Result<(), ApiError> {
        if self.left.load(Ordering::Relaxed) < 0 || self.left.fetch_sub(1, Ordering::SeqCst) != 0 {
            return Ok(());
        }
        if self.for_real {
            tracing::error!(place, "this process dies here, as it was told to");
            std::process::abort();
        }
        Err(ApiError::internal(anyhow::anyhow!("died {place}")))
    }
}
