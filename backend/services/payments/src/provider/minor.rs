//! Minor units as card providers count them: ISO 4217, but for a few
//! currencies that each of them counts in its own way.

use shared_types::{Currency, Money};

use super::Trouble;

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    Stripe,
    Adyen,
}

/// Without decimals at Stripe although ISO 4217 gives them two.
const STRIPE_NONE: &[&str] = &["MGA"];
/// With two decimals at Stripe although ISO 4217 gives them none; the two are
/// always zero.
const STRIPE_TWO: &[&str] = &["ISK", "UGX"];
/// The same at Adyen.
const ADYEN_NONE: &[&str] = &["CVE", "IDR"];
const ADYEN_TWO: &[&str] = &["CLP", "ISK"];

impl Units {
    fn digits(self, currency: Currency) -> u8 {
        let (none, two) = match self {
            Units::Stripe => (STRIPE_NONE, STRIPE_TWO),
            Units::Adyen => (ADYEN_NONE, ADYEN_TWO),
        };
        match currency.code() {
            code if none.contains(&code) => 0,
            code if two.contains(&code) => 2,
            _ => currency.digits(),
        }
    }

    /// The provider's number for an amount; refused for good when it has no
    /// such number.
    pub fn of(self, money: Money) -> Result<i64, Trouble> {
        let refused = |why: &str| {
            let why = format!("{money:?} {why}");
            Err(Trouble::Refused { code: "amount_not_payable".to_owned(), why })
        };
        let (ours, theirs) = (money.currency.digits(), self.digits(money.currency));
        let mut units = money.minor;
        for _ in theirs..ours {
            if units % 10 != 0 {
                return refused("has more digits than the provider takes");
            }
            units /= 10;
        }
        for _ in ours..theirs {
            match units.checked_mul(10) {
                Some(more) => units = more,
                None => return refused("is too large"),
            }
        }
        // Card schemes settle three-decimal currencies in steps of ten.
        if self == Units::Stripe && theirs == 3 && units % 10 != 0 {
            return refused("must end with 0 in its third decimal");
        }
        Ok(units)
    }

    /// What the provider's number means; None when it is no amount.
    pub fn read(self, units: i64, currency: Currency) -> Option<Money> {
        let (ours, theirs) = (currency.digits(), self.digits(currency));
        let mut minor = units;
        for _ in ours..theirs {
            if minor % 10 != 0 {
                return None;
            }
            minor /= 10;
        }
        for _ in theirs..ours {
            minor = minor.checked_mul(10)?;
        }
        (minor >= 0).then_some(Money::new(minor, currency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, code.parse().unwrap())
    }

    #[test]
    fn currencies_of_0_2_and_3_decimals_travel_as_the_provider_counts() {
        for (minor, code, stripe, adyen) in [
            (500, "JPY", 500, 500),
            (12_950, "USD", 12_950, 12_950),
            (1_230, "KWD", 1_230, 1_230),
            (700, "ISK", 70_000, 70_000),
            (700, "UGX", 70_000, 700),
            (700, "CLP", 700, 70_000),
            (10_000, "IDR", 10_000, 100),
            (10_000, "CVE", 10_000, 100),
            (10_000, "MGA", 100, 10_000),
        ] {
            for (units, wanted) in [(Units::Stripe, stripe), (Units::Adyen, adyen)] {
                assert_eq!(units.of(money(minor, code)), Ok(wanted), "{units:?} {code}");
                assert_eq!(
                    units.read(wanted, code.parse().unwrap()),
                    Some(money(minor, code)),
                    "{code}"
                );
            }
        }
    }

    #[test]
    fn what_a_provider_cannot_count_is_refused_and_never_rounded() {
        assert!(Units::Stripe.of(money(1_234, "KWD")).is_err());
        assert_eq!(Units::Adyen.of(money(1_234, "KWD")), Ok(1_234));
        assert!(Units::Adyen.of(money(10_050, "IDR")).is_err());
        assert!(Units::Stripe.of(money(i64::MAX, "ISK")).is_err());
        assert_eq!(Units::Stripe.read(150, "ISK".parse().unwrap()), None);
        assert_eq!(Units::Stripe.read(-1, "USD".parse().unwrap()), None);
    }
}
