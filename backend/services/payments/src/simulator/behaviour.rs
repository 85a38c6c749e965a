//! How the gateway misbehaves: by token, by chance, by script.

use std::collections::VecDeque;
use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};
use shared_types::{Amount, Money};

use super::Settings;

/// What can be set while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Controls {
    /// Before every answer.
    #[serde(default)]
    pub latency_ms: u64,
    /// How long `tok_slow` takes.
    pub slow_ms: u64,
    /// Shares of calls, in percent; the others are well-behaved.
    #[serde(default)]
    pub decline_percent: u8,
    #[serde(default)]
    pub fault_percent: u8,
    #[serde(default)]
    pub lost_before_percent: u8,
    #[serde(default)]
    pub lost_after_percent: u8,
    #[serde(default)]
    pub duplicate_percent: u8,
    /// Charges of exactly these amounts are declined, whatever the currency.
    #[serde(default)]
    pub decline_amounts: Vec<Amount>,
    /// Charges above this are declined; absent: none.
    #[serde(default)]
    pub decline_above: Option<Amount>,
    /// Every call is dropped without effect.
    #[serde(default)]
    pub outage: bool,
    /// What the next calls do, before anything else is looked at.
    #[serde(default)]
    pub next: VecDeque<Deed>,
}

/// What one call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    Work,
    Decline,
    Fault,
    /// The connection is dropped before the effect.
    LostBefore,
    /// The effect happens, then the connection is dropped.
    LostAfter,
    /// One effect, and its answer stands twice in the body.
    Duplicate,
    Slow,
}

const MAX_SCRIPT: usize = 1_000;
const MAX_DELAY_MS: u64 = 600_000;
const MAX_AMOUNTS: usize = 100;

impl From<&Settings> for Controls {
    fn from(s: &Settings) -> Self {
        Controls {
            latency_ms: s.latency_ms,
            slow_ms: s.slow_ms,
            decline_percent: s.decline_percent,
            fault_percent: s.fault_percent,
            lost_before_percent: s.lost_before_percent,
            lost_after_percent: s.lost_after_percent,
            duplicate_percent: 0,
            decline_amounts: Vec::new(),
            decline_above: None,
            outage: false,
            next: VecDeque::new(),
        }
    }
}

impl Controls {
    /// What is wrong, starting with the field's name.
    pub fn check(&self) -> Result<(), String> {
        let shares = [
            self.decline_percent,
            self.fault_percent,
            self.lost_before_percent,
            self.lost_after_percent,
            self.duplicate_percent,
        ];
        if shares.into_iter().map(u32::from).sum::<u32>() > 100 {
            return Err("declinePercent: the shares add up to more than 100".to_owned());
        }
        if self.latency_ms > MAX_DELAY_MS || self.slow_ms > MAX_DELAY_MS {
            return Err("latencyMs, slowMs: at most 600000".to_owned());
        }
        if self.next.len() > MAX_SCRIPT {
            return Err(format!("next: at most {MAX_SCRIPT} entries"));
        }
        if self.decline_amounts.len() > MAX_AMOUNTS {
            return Err(format!("declineAmounts: at most {MAX_AMOUNTS}"));
        }
        Ok(())
    }

    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    pub fn slow(&self) -> Duration {
        Duration::from_millis(self.slow_ms)
    }

    /// Whether a charge of this much is declined for its amount.
    pub fn declines(&self, money: Money) -> bool {
        let same = |amount: &Amount| amount.in_currency(money.currency) == Ok(money);
        let above = self.decline_above.map(|limit| limit.in_currency(money.currency));
        self.decline_amounts.iter().any(same)
            || above.is_some_and(|limit| limit.is_ok_and(|limit| money.minor > limit.minor))
    }

    /// What chance or script have the next call do.
    pub fn draw(&mut self) -> Deed {
        if self.outage {
            return Deed::LostBefore;
        }
        if let Some(deed) = self.next.pop_front() {
            return deed;
        }
        self.by_chance(rand::rng().random_range(0..100))
    }

    fn by_chance(&self, mut roll: u8) -> Deed {
        for (percent, deed) in [
            (self.decline_percent, Deed::Decline),
            (self.fault_percent, Deed::Fault),
            (self.lost_before_percent, Deed::LostBefore),
            (self.lost_after_percent, Deed::LostAfter),
            (self.duplicate_percent, Deed::Duplicate),
        ] {
            match roll.checked_sub(percent) {
                Some(rest) => roll = rest,
                None => return deed,
            }
        }
        Deed::Work
    }
}

/// What a payment token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Ok,
    Declined(&'static str),
    RequiresAction,
    Does(Deed),
}

/// The documented tokens; any other is declined. A token made for a card is one
/// of them with `_card_…` behind it.
pub fn meaning(token: Option<&str>) -> Meaning {
    let token = token.unwrap_or("tok_ok");
    match token.split_once("_card_").map_or(token, |(meaning, _)| meaning) {
        "tok_ok" => Meaning::Ok,
        "tok_declined" => Meaning::Declined("card_declined"),
        "tok_insufficient_funds" => Meaning::Declined("insufficient_funds"),
        "tok_expired" => Meaning::Declined("expired_card"),
        "tok_incorrect_cvc" => Meaning::Declined("incorrect_cvc"),
        "tok_processing_error" => Meaning::Declined("processing_error"),
        "tok_requires_action" => Meaning::RequiresAction,
        "tok_slow" => Meaning::Does(Deed::Slow),
        "tok_lost_before" => Meaning::Does(Deed::LostBefore),
        "tok_lost_after" => Meaning::Does(Deed::LostAfter),
        "tok_fault" => Meaning::Does(Deed::Fault),
        _ => Meaning::Declined("invalid_token"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls() -> Controls {
        serde_json::from_str(
            r#"{"slowMs":5,"declinePercent":10,"faultPercent":5,"lostAfterPercent":5}"#,
        )
        .unwrap()
    }

    #[test]
    fn chance_follows_the_shares() {
        let controls = controls();
        let count = |deed| (0..100).filter(|roll| controls.by_chance(*roll) == deed).count();
        assert_eq!((count(Deed::Decline), count(Deed::Fault), count(Deed::LostBefore)), (10, 5, 0));
        assert_eq!((count(Deed::LostAfter), count(Deed::Work)), (5, 80));
    }

    #[test]
    fn charges_are_declined_by_amount_in_any_currency() {
        let mut controls = controls();
        controls.decline_amounts = vec!["13.00".parse().unwrap(), "0.5".parse().unwrap()];
        controls.decline_above = Some("1000".parse().unwrap());
        let declines =
            |minor, code: &str| controls.declines(Money::new(minor, code.parse().unwrap()));
        assert!(declines(1_300, "USD") && declines(13, "JPY") && declines(50, "EUR"));
        assert!(!declines(1_301, "USD") && !declines(1, "JPY"));
        assert!(declines(100_001, "USD") && !declines(100_000, "USD") && declines(1_001, "JPY"));
    }

    #[test]
    fn script_goes_before_chance_and_outage_before_both() {
        let mut controls = Controls { decline_percent: 100, ..controls() };
        controls.fault_percent = 0;
        controls.lost_after_percent = 0;
        controls.next = VecDeque::from([Deed::Work]);
        assert_eq!((controls.draw(), controls.draw()), (Deed::Work, Deed::Decline));
        controls.outage = true;
        assert_eq!(controls.draw(), Deed::LostBefore);
        controls.fault_percent = 1;
        assert!(controls.check().unwrap_err().starts_with("declinePercent"));
    }
}
