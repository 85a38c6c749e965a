//! What a cart will cost, as far as that is known before the address is.

use std::collections::BTreeMap;

use shared_types::{Amount, Currency, Money};

/// What shipping costs, and from where on nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub price: Money,
    pub free_from: Money,
}

/// The one shipping method.
#[derive(Clone, Debug)]
pub struct Shipping {
    pub enabled: bool,
    /// In whole units of the cart's currency.
    pub price: Amount,
    pub free_from: Amount,
    pub currencies: BTreeMap<Currency, Rate>,
}

impl Shipping {
    pub fn of(&self, subtotal: Money) -> Money {
        let currency = subtotal.currency;
        let general = || {
            let price = self.price.in_currency(currency).ok()?;
            Some(Rate { price, free_from: self.free_from.in_currency(currency).ok()? })
        };
        match self.currencies.get(&currency).copied().or_else(general) {
            Some(rate) if self.enabled && subtotal.minor < rate.free_from.minor => rate.price,
            _ => Money::zero(currency),
        }
    }
}

/// Millionths of tax per country, for ordinary goods.
#[derive(Clone, Debug)]
pub struct Tax {
    pub enabled: bool,
    /// Prices hold the tax already.
    pub inclusive: bool,
    pub rates: BTreeMap<String, i64>,
}

impl Tax {
    /// The tax of one line, rounded half-even; nothing while no country is known.
    pub fn of_line(&self, country: Option<&str>, total: Money) -> Money {
        let rate = country.and_then(|c| self.rates.get(c)).copied().unwrap_or(0);
        let ppm = if self.enabled { rate } else { 0 };
        if !self.inclusive {
            return total.share_ppm(ppm);
        }
        let whole = 1_000_000 + i128::from(ppm);
        let part = i128::from(total.minor) * i128::from(ppm);
        let (quotient, rest) = (part.div_euclid(whole), part.rem_euclid(whole));
        let up = rest * 2 > whole || (rest * 2 == whole && quotient % 2 != 0);
        Money::new((quotient + i128::from(up)) as i64, total.currency)
    }
}

/// Sums of a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    pub subtotal: Money,
    pub tax: Money,
    pub shipping: Money,
    pub total: Money,
}

/// Adds up line totals of one currency. None when there is no line, or when no
/// amount could hold the sum.
pub fn sums(
    totals: &[Money],
    country: Option<&str>,
    shipping: &Shipping,
    tax: &Tax,
) -> Option<Sums> {
    let zero = Money::zero(totals.first()?.currency);
    let subtotal = totals.iter().try_fold(zero, |sum, line| sum.plus(*line))?;
    let taxes = totals.iter().try_fold(zero, |sum, line| sum.plus(tax.of_line(country, *line)))?;
    let shipping = shipping.of(subtotal);
    let net = subtotal.plus(shipping)?;
    let total = if tax.inclusive { net } else { net.plus(taxes)? };
    Some(Sums { subtotal, tax: taxes, shipping, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipping() -> Shipping {
        let jpy = |minor| Money::new(minor, Currency::JPY);
        Shipping {
            enabled: true,
            price: "4.90".parse().unwrap(),
            free_from: "50.00".parse().unwrap(),
            currencies: BTreeMap::from([(
                Currency::JPY,
                Rate { price: jpy(600), free_from: jpy(6_000) },
            )]),
        }
    }

    fn tax(inclusive: bool) -> Tax {
        Tax { enabled: true, inclusive, rates: BTreeMap::from([("GB".to_owned(), 200_000)]) }
    }

    #[test]
    fn shipping_is_free_from_fifty_in_the_currency_of_the_cart() {
        let of = |minor, currency| shipping().of(Money::new(minor, currency)).minor;
        assert_eq!(of(4_999, Currency::USD), 490);
        assert_eq!(of(5_000, Currency::USD), 0);
        assert_eq!(of(5_999, Currency::JPY), 600);
        assert_eq!(of(6_000, Currency::JPY), 0);
        assert_eq!(of(49_999, Currency::KWD), 4_900);
        assert_eq!(
            Shipping { enabled: false, ..shipping() }.of(Money::zero(Currency::USD)).minor,
            0
        );
    }

    #[test]
    fn tax_is_an_estimate_for_the_country() {
        let lines = [Money::new(1_999, Currency::GBP)];
        let plain = sums(&lines, None, &shipping(), &tax(false)).unwrap();
        assert_eq!((plain.tax.minor, plain.total.minor), (0, 2_489));
        let taxed = sums(&lines, Some("GB"), &shipping(), &tax(false)).unwrap();
        assert_eq!((taxed.tax.minor, taxed.total.minor), (400, 2_889));
        let inside = sums(&lines, Some("GB"), &shipping(), &tax(true)).unwrap();
        assert_eq!((inside.tax.minor, inside.total.minor), (333, 2_489));
        assert_eq!(sums(&[], None, &shipping(), &tax(true)), None);
        let huge = [Money::new(i64::MAX, Currency::USD); 2];
        assert_eq!(sums(&huge, None, &shipping(), &tax(false)), None);
    }
}
