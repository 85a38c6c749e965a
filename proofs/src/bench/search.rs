//! The highest rate that the shop sustains with its 95th percentile in bounds.

use super::{Args, Measured, Range, once};

/// A rate is found when the next one to try is within this share of it.
const CLOSE_ENOUGH_PERCENT: u32 = 5;
const MOST_TRIALS: u32 = 24;
/// How long a trial lasts, at most; the rate found is measured in full later.
const TRIAL_SECONDS: u64 = 10;

/// The highest rate at which orders are taken.
pub async fn highest(range: &Range, args: &Args) -> anyhow::Result<u32> {
    let good = closing_in(args.rate, async |rate| {
        let trial = once(range, args, rate, args.seconds.min(TRIAL_SECONDS)).await?;
        let sustained = sustains(&trial, args.p95);
        println!(
            "{rate}/s: {} ({}, {:.0}/s answered)",
            if sustained { "sustained" } else { "too much" },
            trial.percentiles,
            trial.answered_per_second
        );
        Ok(sustained)
    })
    .await?;
    anyhow::ensure!(good > 0, "no rate is sustained within {} ms", args.p95);
    Ok(good)
}

/// Doubles from `first` until a trial fails, then halves the gap; 0 when not even
/// one a second is sustained.
pub async fn closing_in(
    first: u32,
    mut sustained: impl AsyncFnMut(u32) -> anyhow::Result<bool>,
) -> anyhow::Result<u32> {
    let (mut good, mut bad, mut rate) = (0, None, first);
    for _ in 0..MOST_TRIALS {
        if sustained(rate).await? {
            good = rate;
        } else {
            bad = Some(rate);
        }
        match next(good, bad) {
            Some(following) => rate = following,
            None => break,
        }
    }
    Ok(good)
}

/// The rate to try after these; none when the gap is small enough.
fn next(good: u32, bad: Option<u32>) -> Option<u32> {
    let Some(bad) = bad else { return Some(good.saturating_mul(2)) };
    let gap = bad - good;
    let small =
        gap <= 1 || u64::from(gap) * 100 <= u64::from(good) * u64::from(CLOSE_ENOUGH_PERCENT);
    (!small).then_some(good + gap / 2)
}

/// Percentile within bounds, books right, and no queue that only grew.
fn sustains(trial: &Measured, p95_ms: u32) -> bool {
    trial.counts()
        && trial.percentiles.p95 <= p95_ms * 1_000
        && kept_up(trial.answered_per_second, trial.rate)
}

/// Whether as many were answered as came.
pub fn kept_up(answered_per_second: f64, rate: u32) -> bool {
    const ENOUGH: f64 = 0.95;
    answered_per_second >= f64::from(rate) * ENOUGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_search_closes_in_on_the_limit() {
        const LIMIT: u32 = 730;
        let mut trials = 0;
        let good = closing_in(100, async |rate| {
            trials += 1;
            Ok(rate <= LIMIT)
        });
        let good = good.await.unwrap();
        assert!(good <= LIMIT && good * 105 >= LIMIT * 100, "{good}");
        assert!(trials <= 12, "{trials}");
        assert_eq!(next(0, Some(1)), None, "nothing is sustained");
    }
}
