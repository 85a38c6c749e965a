//! The check before an authorisation: velocity, amount, country.

use serde::Deserialize;

/// `[payments.risk]`. A limit of 0 is off; amounts are in major units of the
/// payment's currency.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RiskRules {
    pub enabled: bool,
    /// Attempts with one token, or of one buyer, within the window.
    pub window_seconds: u64,
    pub review_attempts: u32,
    pub refuse_attempts: u32,
    pub review_amount: i64,
    pub refuse_amount: i64,
    /// ISO 3166 codes.
    pub review_countries: Vec<String>,
    pub refuse_countries: Vec<String>,
}

/// What is known before anything is sent.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Earlier attempts within the window: with this token, of this buyer.
    pub same_token: u32,
    pub same_buyer: u32,
    /// Whole major units, rounded up.
    pub amount_major: i64,
    pub country: Option<&'a str>,
}

/// What to do, and the stable word why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    Allow,
    /// A person decides before anything is sent.
    Review(&'static str),
    Refuse(&'static str),
}

impl RiskRules {
    /// What is wrong, with the setting's name.
    pub fn check(&self) -> Result<(), String> {
        let countries = self.review_countries.iter().chain(&self.refuse_countries);
        for country in countries {
            if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
                return Err(format!("payments.risk: {country:?} is no ISO 3166 code such as DE"));
            }
        }
        if self.enabled && self.window_seconds == 0 {
            return Err("payments.risk.window_seconds: at least 1".to_owned());
        }
        Ok(())
    }

    /// The strictest rule that matches decides.
    pub fn judge(&self, facts: &Facts<'_>) -> Risk {
        if !self.enabled {
            return Risk::Allow;
        }
        let attempts = facts.same_token.max(facts.same_buyer).saturating_add(1);
        let over = |limit: u32| limit > 0 && attempts > limit;
        let above = |limit: i64| limit > 0 && facts.amount_major > limit;
        let from =
            |list: &[String]| facts.country.is_some_and(|c| list.iter().any(|listed| listed == c));
        if over(self.refuse_attempts) {
            Risk::Refuse("risk_velocity")
        } else if above(self.refuse_amount) {
            Risk::Refuse("risk_amount")
        } else if from(&self.refuse_countries) {
            Risk::Refuse("risk_country")
        } else if over(self.review_attempts) {
            Risk::Review("risk_velocity")
        } else if above(self.review_amount) {
            Risk::Review("risk_amount")
        } else if from(&self.review_countries) {
            Risk::Review("risk_country")
        } else {
            Risk::Allow
        }
    }
}

/// Whole major units of an amount, rounded up.
pub fn major(minor: i64, digits: u8) -> i64 {
    let unit = 10i64.pow(u32::from(digits.min(4)));
    minor / unit + i64::from(minor % unit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> RiskRules {
        RiskRules {
            enabled: true,
            window_seconds: 600,
            review_attempts: 5,
            refuse_attempts: 10,
            review_amount: 1_000,
            refuse_amount: 5_000,
            review_countries: vec!["XA".into()],
            refuse_countries: vec!["XB".into()],
        }
    }

    fn facts(attempts: u32, amount_major: i64, country: Option<&str>) -> Facts<'_> {
        Facts { same_token: attempts, same_buyer: 0, amount_major, country }
    }

    #[test]
    fn the_strictest_rule_that_matches_decides() {
        let judge = |attempts, amount, country| rules().judge(&facts(attempts, amount, country));
        assert_eq!(judge(4, 1_000, Some("DE")), Risk::Allow);
        assert_eq!(judge(5, 1, None), Risk::Review("risk_velocity"));
        assert_eq!(judge(10, 1, None), Risk::Refuse("risk_velocity"));
        assert_eq!(judge(0, 1_001, None), Risk::Review("risk_amount"));
        assert_eq!(judge(0, 5_001, None), Risk::Refuse("risk_amount"));
        assert_eq!(judge(0, 1, Some("XA")), Risk::Review("risk_country"));
        assert_eq!(judge(7, 1, Some("XB")), Risk::Refuse("risk_country"));
        let off = RiskRules { enabled: false, ..rules() };
        assert_eq!(off.judge(&facts(99, 99_999, Some("XB"))), Risk::Allow);
    }

    #[test]
    fn limits_of_zero_are_off_and_amounts_round_up() {
        let open = RiskRules { enabled: true, window_seconds: 1, ..RiskRules::default() };
        assert_eq!(open.judge(&facts(1_000, i64::MAX, Some("XB"))), Risk::Allow);
        assert_eq!((major(100_001, 2), major(100_000, 2), major(500, 0)), (1_001, 1_000, 500));
        assert!(RiskRules { review_countries: vec!["de".into()], ..rules() }.check().is_err());
    }
}
