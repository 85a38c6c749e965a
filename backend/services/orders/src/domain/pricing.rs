//! What an order costs: lines, tax, shipping.

use std::collections::BTreeMap;

use shared_types::{Amount, Currency, Money, ProductId, Sku};

/// A line with the price it is sold at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedLine {
    pub product_id: ProductId,
    pub sku: Sku,
    pub title: String,
    pub tax_class: String,
    pub qty: i64,
    pub price: Money,
}

/// Where an order goes, as far as tax cares.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    pub country: &'a str,
    pub region: &'a str,
}

#[derive(Clone, Debug)]
pub struct TaxRate {
    pub country: String,
    /// Lower case; empty for the whole country.
    pub region: String,
    /// Lower case; empty for all classes.
    pub class: String,
    pub ppm: i64,
}

/// The tax table.
#[derive(Clone, Debug)]
pub struct Tax {
    pub enabled: bool,
    pub inclusive: bool,
    pub rates: Vec<TaxRate>,
}

impl Tax {
    /// Millionths for one tax class; the most exact row wins.
    fn rate(&self, to: Destination<'_>, class: &str) -> i64 {
        let (region, class) = (to.region.to_lowercase(), class.to_lowercase());
        let fits = |r: &&TaxRate| {
            r.country == to.country
                && (r.region.is_empty() || r.region == region)
                && (r.class.is_empty() || r.class == class)
        };
        let exactness = |r: &&TaxRate| (!r.region.is_empty(), !r.class.is_empty());
        self.rates.iter().filter(fits).max_by_key(exactness).map_or(0, |r| r.ppm)
    }

    /// The tax of one line, rounded half-even to the minor unit. With
    /// inclusive prices it is the share that the price holds.
    fn of_line(&self, to: Destination<'_>, class: &str, total: Money) -> Money {
        let ppm = if self.enabled { self.rate(to, class) } else { 0 };
        if !self.inclusive {
            return total.share_ppm(ppm);
        }
        let (net, whole) = (i128::from(total.minor) * i128::from(ppm), 1_000_000 + i128::from(ppm));
        Money::new(half_even(net, whole), total.currency)
    }
}

/// `part / whole`, rounded half-even; `whole` is positive and the quotient fits.
pub(super) fn half_even(part: i128, whole: i128) -> i64 {
    let (quotient, rest) = (part.div_euclid(whole), part.rem_euclid(whole));
    let up = rest * 2 > whole || (rest * 2 == whole && quotient % 2 != 0);
    (quotient + i128::from(up)) as i64
}

#[derive(Clone, Copy, Debug)]
pub struct ShippingPrice {
    pub price: Money,
    pub free_from: Money,
}

/// The one method there is, `standard`.
#[derive(Clone, Debug)]
pub struct Shipping {
    pub enabled: bool,
    pub price: Amount,
    pub free_from: Amount,
    pub currencies: BTreeMap<Currency, ShippingPrice>,
}

impl Shipping {
    fn of(&self, subtotal: Money) -> Money {
        let currency = subtotal.currency;
        let free = Money::zero(currency);
        if !self.enabled {
            return free;
        }
        let own = self.currencies.get(&currency).copied();
        let general = || {
            // A currency without cents cannot say 4.90: nothing is charged
            // that was never written down for it.
            let price = self.price.in_currency(currency).ok()?;
            Some(ShippingPrice { price, free_from: self.free_from.in_currency(currency).ok()? })
        };
        match own.or_else(general) {
            Some(rate) if subtotal.minor < rate.free_from.minor => rate.price,
            _ => free,
        }
    }
}

/// An order's lines and amounts, all in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    pub lines: Vec<QuotedLine>,
    pub subtotal: Money,
    pub discount: Money,
    pub tax: Money,
    pub shipping: Money,
    pub total: Money,
    pub tax_inclusive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotedLine {
    pub line: PricedLine,
    pub total: Money,
    pub tax: Money,
}

/// Why lines have no common price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoQuote {
    MixedCurrency,
    TooLarge,
}

/// Adds up `lines`. `plain` leaves tax and shipping out.
pub fn quote(
    lines: Vec<PricedLine>,
    to: Destination<'_>,
    tax: &Tax,
    shipping: &Shipping,
    plain: bool,
) -> Result<Quote, NoQuote> {
    let currency = lines.first().map_or(Currency::USD, |l| l.price.currency);
    if lines.iter().any(|l| l.price.currency != currency) {
        return Err(NoQuote::MixedCurrency);
    }
    let zero = Money::zero(currency);
    let (mut subtotal, mut tax_total) = (zero, zero);
    let mut quoted = Vec::with_capacity(lines.len());
    for line in lines {
        let total = line.price.times(line.qty).ok_or(NoQuote::TooLarge)?;
        let tax = if plain { zero } else { tax.of_line(to, &line.tax_class, total) };
        subtotal = subtotal.plus(total).ok_or(NoQuote::TooLarge)?;
        tax_total = tax_total.plus(tax).ok_or(NoQuote::TooLarge)?;
        quoted.push(QuotedLine { line, total, tax });
    }
    let shipping = if plain { zero } else { shipping.of(subtotal) };
    let tax_inclusive = tax.inclusive && !plain;
    let mut total = subtotal.plus(shipping).ok_or(NoQuote::TooLarge)?;
    if !tax_inclusive {
        total = total.plus(tax_total).ok_or(NoQuote::TooLarge)?;
    }
    let (discount, tax) = (zero, tax_total);
    Ok(Quote { lines: quoted, subtotal, discount, tax, shipping, total, tax_inclusive })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(price: i64, qty: i64, currency: Currency) -> PricedLine {
        PricedLine {
            product_id: ProductId(uuid::Uuid::nil()),
            sku: "A".parse().unwrap(),
            title: "A".into(),
            tax_class: String::new(),
            qty,
            price: Money::new(price, currency),
        }
    }

    fn tax(inclusive: bool) -> Tax {
        let row = |country: &str, region: &str, class: &str, ppm| TaxRate {
            country: country.into(),
            region: region.into(),
            class: class.into(),
            ppm,
        };
        let rates = vec![
            row("GB", "", "", 200_000),
            row("GB", "", "books", 0),
            row("DE", "", "", 190_000),
            row("DE", "helgoland", "", 0),
        ];
        Tax { enabled: true, inclusive, rates }
    }

    fn shipping() -> Shipping {
        Shipping {
            enabled: true,
            price: Amount::new(490, 2),
            free_from: Amount::new(5_000, 2),
            currencies: BTreeMap::new(),
        }
    }

    fn to<'a>(country: &'a str, region: &'a str) -> Destination<'a> {
        Destination { country, region }
    }

    #[test]
    fn tax_is_taken_per_line_and_shipping_is_free_from_fifty() {
        let lines = vec![line(999, 1, Currency::GBP), line(333, 3, Currency::GBP)];
        let quote = quote(lines, to("GB", ""), &tax(false), &shipping(), false).unwrap();
        assert_eq!((quote.subtotal.minor, quote.tax.minor), (1_998, 400));
        assert_eq!((quote.shipping.minor, quote.total.minor), (490, 2_888));
        let lines = vec![line(2_500, 2, Currency::USD)];
        let quote = super::quote(lines, to("US", ""), &tax(false), &shipping(), false).unwrap();
        assert_eq!((quote.shipping.minor, quote.tax.minor, quote.total.minor), (0, 0, 5_000));
    }

    #[test]
    fn the_most_exact_tax_row_wins() {
        let tax = tax(false);
        assert_eq!(tax.rate(to("GB", "Kent"), "books"), 0);
        assert_eq!(tax.rate(to("GB", "Kent"), "toys"), 200_000);
        assert_eq!(tax.rate(to("DE", "Helgoland"), ""), 0);
        assert_eq!(tax.rate(to("FR", ""), ""), 0);
    }

    #[test]
    fn inclusive_prices_already_hold_the_tax() {
        let lines = vec![line(12_000, 1, Currency::GBP)];
        let quote = quote(lines, to("GB", ""), &tax(true), &shipping(), false).unwrap();
        assert_eq!((quote.tax.minor, quote.total.minor), (2_000, 12_000));
    }

    #[test]
    fn a_plain_order_costs_its_lines_only() {
        let lines = vec![line(100, 1, Currency::GBP)];
        let quote = quote(lines, to("GB", ""), &tax(false), &shipping(), true).unwrap();
        assert_eq!((quote.tax.minor, quote.shipping.minor, quote.total.minor), (0, 0, 100));
    }

    #[test]
    fn two_currencies_and_endless_sums_are_refused() {
        let mixed = vec![line(1, 1, Currency::GBP), line(1, 1, Currency::USD)];
        let refused = |lines| quote(lines, to("US", ""), &tax(false), &shipping(), false);
        assert_eq!(refused(mixed), Err(NoQuote::MixedCurrency));
        let huge = vec![line(i64::MAX / 2, 3, Currency::USD)];
        assert_eq!(refused(huge), Err(NoQuote::TooLarge));
    }
}
