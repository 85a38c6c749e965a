//! How a redrive goes on: the canary first, then at its rate, until messages
//! fail again.

use std::time::Duration;

use shared_types::Timestamp;
use shared_types::operations::RedriveProgress;

/// A running redrive, as far as its pace is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub canary: i64,
    pub canary_passed: bool,
    pub rate_per_second: i64,
    pub stop_after_failures: i64,
    /// Failures that stop it no more.
    pub forgiven: i64,
    pub paced_at: Option<Timestamp>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends up to `count`; the rate is then used up to `paced_at`.
    Send {
        count: i64,
        paced_at: Timestamp,
    },
    CanaryPassed,
    Wait,
    Stop(String),
    Done,
}

/// Unused rate is kept for so long.
const BURST: Duration = Duration::from_secs(1);
/// Messages of one transaction, at most; each may be nearly 1 MB.
const BATCH: i64 = 100;

pub fn next(
    redrive: &Running,
    progress: &RedriveProgress,
    max_in_flight: i64,
    now: Timestamp,
) -> Step {
    let failed = progress.failed_again + progress.unanswered - redrive.forgiven;
    let testing = redrive.canary > 0 && !redrive.canary_passed;
    let limit = if testing { 1 } else { redrive.stop_after_failures };
    if failed >= limit {
        let who = if testing { "of the canary " } else { "" };
        return Step::Stop(format!("{failed} {who}failed again"));
    }
    if progress.waiting == 0 {
        return if progress.sent == 0 { Step::Done } else { Step::Wait };
    }
    let mut room = (max_in_flight - progress.sent).min(progress.waiting);
    if testing {
        let tried = progress.total - progress.waiting;
        if tried >= redrive.canary {
            return if progress.sent == 0 { Step::CanaryPassed } else { Step::Wait };
        }
        room = room.min(redrive.canary - tried);
    }
    at_rate(redrive, room, now)
}

fn at_rate(redrive: &Running, room: i64, now: Timestamp) -> Step {
    let rate = redrive.rate_per_second.max(1);
    // The first message does not wait.
    let one = Duration::from_micros(1_000_000 / rate as u64);
    let paced = redrive.paced_at.unwrap_or(now.minus(one)).max(now.minus(BURST.max(one)));
    let due = (now.since(paced).as_micros() * rate as u128 / 1_000_000) as i64;
    let count = due.min(room).min(BATCH);
    if count <= 0 {
        return Step::Wait;
    }
    Step::Send { count, paced_at: paced.plus(one * count as u32).min(now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_000 + millis).unwrap()
    }

    fn running() -> Running {
        Running {
            canary: 2,
            canary_passed: false,
            rate_per_second: 10,
            stop_after_failures: 3,
            forgiven: 0,
            paced_at: None,
        }
    }

    fn progress(waiting: i64, sent: i64, redriven: i64, failed_again: i64) -> RedriveProgress {
        let total = waiting + sent + redriven + failed_again;
        RedriveProgress { total, waiting, sent, redriven, failed_again, ..Default::default() }
    }

    fn sent(step: Step) -> i64 {
        match step {
            Step::Send { count, .. } => count,
            _ => 0,
        }
    }

    #[test]
    fn the_canary_goes_first_and_the_rest_waits_for_it() {
        let mut redrive = Running { paced_at: Some(at(0)), ..running() };
        assert_eq!(sent(next(&redrive, &progress(10, 0, 0, 0), 100, at(1_000))), 2);
        assert_eq!(next(&redrive, &progress(8, 2, 0, 0), 100, at(2_000)), Step::Wait);
        assert_eq!(next(&redrive, &progress(8, 0, 2, 0), 100, at(3_000)), Step::CanaryPassed);
        let stopped = next(&redrive, &progress(8, 1, 0, 1), 100, at(3_000));
        assert!(matches!(stopped, Step::Stop(_)));
        redrive.canary_passed = true;
        assert_eq!(sent(next(&redrive, &progress(8, 0, 2, 0), 100, at(3_000))), 8);
    }

    #[test]
    fn the_rate_holds_over_time() {
        let mut redrive = Running { canary: 0, ..running() };
        let (mut waiting, mut gone) = (1_000, 0);
        for tick in 0..50 {
            let step = next(&redrive, &progress(waiting, 0, gone, 0), 1_000, at(tick * 73));
            if let Step::Send { count, paced_at } = step {
                redrive.paced_at = Some(paced_at);
                waiting -= count;
                gone += count;
            }
        }
        // 49 ticks of 73 ms at 10 a second, and the first at once.
        assert_eq!(gone, 36);
    }

    #[test]
    fn it_stops_at_failures_and_ends_when_all_is_answered() {
        let redrive = Running { canary: 0, ..running() };
        assert!(matches!(next(&redrive, &progress(5, 0, 0, 3), 10, at(0)), Step::Stop(_)));
        let forgiven = Running { forgiven: 3, ..redrive };
        assert_eq!(sent(next(&forgiven, &progress(5, 0, 0, 3), 10, at(0))), 1);
        assert_eq!(next(&redrive, &progress(0, 1, 4, 0), 10, at(0)), Step::Wait);
        assert_eq!(next(&redrive, &progress(0, 0, 5, 0), 10, at(0)), Step::Done);
        assert_eq!(next(&redrive, &progress(5, 10, 0, 0), 10, at(0)), Step::Wait);
    }
}
