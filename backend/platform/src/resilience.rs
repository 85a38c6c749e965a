//! Retries with jitter and circuit breakers for calls that leave the process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::Rng;
use shared_types::Timestamp;

use crate::clock::Clock;

/// Exponential back-off with full jitter.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// How long to wait before attempt `attempt + 1`; attempts count from 1.
    pub fn delay(&self, attempt: u32) -> Duration {
        let doubled = self.first.saturating_mul(1u32 << attempt.saturating_sub(1).min(16));
        let ceiling = doubled.min(self.cap);
        let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(rand::rng().random_range(0..=micros))
    }
}

/// Opens after `failures` within `window`, stays open for `open_for`, then lets
/// one trial through. Cheap to clone; clones are one breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    name: &'static str,
    clock: Clock,
    rules: BreakerRules,
    state: Arc<Mutex<BreakerState>>,
}

#[derive(Clone, Copy, Debug)]
pub struct BreakerRules {
    pub failures: usize,
    pub window: Duration,
    pub open_for: Duration,
}

impl BreakerRules {
    /// For calls between services: whoever died there is back within seconds, and
    /// orders must not wait for longer than that.
    pub fn in_house() -> Self {
        BreakerRules { open_for: Duration::from_secs(1), ..BreakerRules::default() }
    }
}

impl Default for BreakerRules {
    /// 5 failures in 60 s, open for 30 s: for calls that leave the house.
    fn default() -> Self {
        BreakerRules {
            failures: 5,
            window: Duration::from_secs(60),
            open_for: Duration::from_secs(30),
        }
    }
}

#[derive(Debug, Default)]
struct BreakerState {
    failed_at: Vec<Timestamp>,
    opened_at: Option<Timestamp>,
    trial_since: Option<Timestamp>,
}

/// What a breaker does with the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Closed,
    /// A trial is under way; nothing else goes out.
    HalfOpen,
    Open,
}

impl Phase {
    pub fn word(self) -> &'static str {
        match self {
            Phase::Closed => "closed",
            Phase::HalfOpen => "half_open",
            Phase::Open => "open",
        }
    }
}

impl BreakerState {
    fn phase(&self) -> Phase {
        match (self.opened_at, self.trial_since) {
            (None, _) => Phase::Closed,
            (Some(_), Some(_)) => Phase::HalfOpen,
            (Some(_), None) => Phase::Open,
        }
    }
}

impl Breaker {
    pub fn new(name: &'static str, clock: Clock, rules: BreakerRules) -> Self {
        let breaker = Breaker { name, clock, rules, state: Arc::default() };
        // Shown from the start, not from the first failure.
        breaker.publish(Phase::Closed);
        breaker
    }

    /// Whether a call may go out now. A trial that never reports gives way to
    /// the next after `open_for`.
    pub fn admits(&self) -> bool {
        let now = self.clock.now();
        let mut state = self.lock();
        let Some(opened_at) = state.opened_at else { return true };
        if now.since(opened_at) < self.rules.open_for {
            return false;
        }
        let busy = state.trial_since.is_some_and(|at| now.since(at) < self.rules.open_for);
        if !busy {
            state.trial_since = Some(now);
            self.changed(Phase::HalfOpen);
        }
        !busy
    }

    /// Only a trial closes an open breaker: what was sent before it opened and
    /// is answered late says nothing about now.
    pub fn succeeded(&self) {
        let mut state = self.lock();
        if state.trial_since.is_some() {
            *state = BreakerState::default();
            self.changed(Phase::Closed);
        }
    }

    pub fn failed(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.phase() == Phase::Open {
            return;
        }
        let window = self.rules.window;
        state.failed_at.retain(|at| now.since(*at) < window);
        state.failed_at.push(now);
        if state.trial_since.is_some() || state.failed_at.len() >= self.rules.failures {
            *state = BreakerState { opened_at: Some(now), ..BreakerState::default() };
            self.changed(Phase::Open);
        }
    }

    pub fn is_open(&self) -> bool {
        self.phase() != Phase::Closed
    }

    pub fn phase(&self) -> Phase {
        self.lock().phase()
    }

    fn changed(&self, to: Phase) {
        metrics::counter!("breaker_transitions_total", "breaker" => self.name, "to" => to.word())
            .increment(1);
        tracing::info!(breaker = self.name, to = to.word(), "breaker");
        self.publish(to);
    }

    fn publish(&self, phase: Phase) {
        let open = if phase == Phase::Closed { 0.0 } else { 1.0 };
        metrics::gauge!("breaker_open", "breaker" => self.name).set(open);
        for one in [Phase::Closed, Phase::HalfOpen, Phase::Open] {
            let is = if one == phase { 1.0 } else { 0.0 };
            metrics::gauge!("breaker_state", "breaker" => self.name, "state" => one.word()).set(is);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(|p| p.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_open_it_and_one_trial_closes_it() {
        let clock = Clock::frozen("2026-11-20T10:00:00Z".parse().unwrap());
        let breaker = Breaker::new("test", clock.clone(), BreakerRules::default());
        for _ in 0..4 {
            breaker.failed();
        }
        assert!(breaker.admits());
        breaker.failed();
        assert!(!breaker.admits());
        clock.advance(Duration::from_secs(30));
        assert!(breaker.admits(), "the trial");
        assert!(!breaker.admits(), "only one");
        breaker.succeeded();
        assert!(breaker.admits() && breaker.admits());
    }

    #[test]
    fn a_failed_trial_opens_it_again() {
        let clock = Clock::frozen("2026-11-20T10:00:00Z".parse().unwrap());
        let breaker = Breaker::new("test", clock.clone(), BreakerRules::default());
        (0..5).for_each(|_| breaker.failed());
        clock.advance(Duration::from_secs(31));
        assert!(breaker.admits());
        breaker.failed();
        assert!(!breaker.admits());
    }

    #[test]
    fn successes_between_do_not_make_failures_undone() {
        let clock = Clock::frozen("2026-11-20T10:00:00Z".parse().unwrap());
        let breaker = Breaker::new("test", clock, BreakerRules::default());
        for _ in 0..5 {
            assert!(breaker.admits());
            breaker.succeeded();
            breaker.failed();
        }
        assert_eq!((breaker.phase(), breaker.admits()), (Phase::Open, false));
    }

    #[test]
    fn late_answers_neither_close_an_open_breaker_nor_keep_it_open() {
        let clock = Clock::frozen("2026-11-20T10:00:00Z".parse().unwrap());
        let breaker = Breaker::new("test", clock.clone(), BreakerRules::default());
        (0..5).for_each(|_| breaker.failed());
        clock.advance(Duration::from_secs(3));
        breaker.succeeded();
        assert!(!breaker.admits(), "sent before it opened");
        (0..20).for_each(|_| breaker.failed());
        clock.advance(Duration::from_secs(27));
        assert!(breaker.admits(), "open for 30 s and no longer");
        assert_eq!(breaker.phase(), Phase::HalfOpen);
        breaker.succeeded();
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[test]
    fn old_failures_do_not_count() {
        let clock = Clock::frozen("2026-11-20T10:00:00Z".parse().unwrap());
        let breaker = Breaker::new("test", clock.clone(), BreakerRules::default());
        for _ in 0..20 {
            breaker.failed();
            clock.advance(Duration::from_secs(20));
        }
        assert!(breaker.admits());
    }
}
