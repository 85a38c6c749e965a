//! When to look again: soon after a hint, seldom when all is quiet.

use std::time::Duration;

use crate::outbox::Outbox;

/// A row commits a few milliseconds after the hint that it was appended.
const STEPS_MS: [u64; 13] = [5, 5, 6, 8, 12, 18, 27, 40, 60, 90, 150, 300, 500];

#[derive(Default)]
pub(super) struct Pace {
    step: usize,
    /// More is waiting already: no pause at all.
    at_once: bool,
}

impl Pace {
    /// Rows were published; `full` when there are probably more.
    pub(super) fn found(&mut self, full: bool) {
        self.step = 0;
        self.at_once = full;
    }

    /// Waits for the next look.
    pub(super) async fn wait(&mut self, outbox: &Outbox, draining: bool) {
        if std::mem::take(&mut self.at_once) {
            return;
        }
        let step = if draining { 4.min(self.step) } else { self.step };
        let pause = Duration::from_millis(STEPS_MS[step]);
        if step == 0 {
            // Even under a rain of hints not more often than this.
            tokio::time::sleep(pause).await;
            self.step = 1;
            return;
        }
        tokio::select! {
            () = outbox.hinted() => self.step = 0,
            () = tokio::time::sleep(pause) => self.step = (step + 1).min(STEPS_MS.len() - 1),
        }
    }
}
