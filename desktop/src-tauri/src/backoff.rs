//! Pauses between attempts to connect: doubling, bounded, jittered so that many
//! consoles do not return to a restarted shop in the same instant.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);

/// The pause before `attempt` (from 1), between half and the whole of the step.
/// `chance` is uniform over all values.
pub fn pause(attempt: u32, chance: u16) -> Duration {
    let doublings = attempt.saturating_sub(1).min(10);
    let step = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    step / 2 + (step / 2).mul_f64(f64::from(chance) / f64::from(u16::MAX))
}

pub fn chance() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness the longer pause is the safer one.
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u16::from_le_bytes(bytes),
        Err(_) => u16::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_bounded() {
        assert_eq!(pause(1, u16::MAX), Duration::from_millis(500));
        assert_eq!(pause(3, u16::MAX), Duration::from_secs(2));
        assert_eq!(pause(3, 0), Duration::from_secs(1));
        assert_eq!(pause(u32::MAX, u16::MAX), LONGEST);
    }
}
