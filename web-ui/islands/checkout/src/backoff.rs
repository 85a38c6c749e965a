//! How long to wait before the next attempt.

const FIRST_MS: u32 = 1_000;
const LONGEST_MS: u32 = 30_000;

/// Milliseconds before attempt `failures + 1`; `chance` in 0..1 spreads many
/// browsers that lost the same server over half the time.
pub fn wait_ms(failures: u32, chance: f64) -> u32 {
    let full = FIRST_MS.saturating_mul(1 << failures.min(10)).min(LONGEST_MS);
    full / 2 + (f64::from(full / 2) * chance.clamp(0.0, 1.0)) as u32
}

#[cfg(test)]
mod tests {
    use super::wait_ms;

    #[test]
    fn waits_grow_to_a_limit_and_are_spread() {
        assert_eq!((wait_ms(0, 0.0), wait_ms(0, 1.0)), (500, 1_000));
        assert_eq!((wait_ms(3, 0.0), wait_ms(3, 1.0)), (4_000, 8_000));
        assert_eq!(wait_ms(u32::MAX, 1.0), 30_000);
        assert_eq!(wait_ms(1, f64::NAN), 1_000);
    }
}
