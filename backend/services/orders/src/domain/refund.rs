//! How much a refund gives back.

use std::collections::BTreeMap;

use shared_types::Sku;

use super::pricing::half_even;

/// A line of an order as far as refunds care.
#[derive(Clone, Debug)]
pub struct SoldLine {
    pub sku: Sku,
    pub qty: i64,
    /// Units that earlier refunds took out.
    pub returned: i64,
    pub price_minor: i64,
    pub tax_minor: i64,
}

/// The order's money as refunds see it.
#[derive(Clone, Copy, Debug)]
pub struct Till {
    pub captured_minor: i64,
    /// Refunds that succeeded or are under way.
    pub promised_minor: i64,
    pub tax_inclusive: bool,
}

impl Till {
    pub fn left(&self) -> i64 {
        self.captured_minor - self.promised_minor
    }
}

/// What to give back.
#[derive(Clone, Debug)]
pub enum Wish {
    /// All that is left.
    Everything,
    Minor(i64),
    Lines(Vec<(Sku, i64)>),
}

/// What a refund comes to: the amount, and the units that leave the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub amount_minor: i64,
    pub lines: Vec<(Sku, i64)>,
}

/// Why a refund is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundRefusal {
    NothingCaptured,
    TooMuch {
        left_minor: i64,
    },
    /// Index of the line in the wish.
    UnknownSku(usize),
    TooManyUnits {
        line: usize,
        left: i64,
    },
}

/// Settles what `wish` means for this order.
pub fn settle(sold: &[SoldLine], till: Till, wish: &Wish) -> Result<Terms, RefundRefusal> {
    if till.captured_minor <= 0 {
        return Err(RefundRefusal::NothingCaptured);
    }
    let terms = match wish {
        Wish::Everything => Terms { amount_minor: till.left(), lines: all_units(sold) },
        Wish::Minor(minor) => Terms { amount_minor: *minor, lines: Vec::new() },
        Wish::Lines(lines) => of_lines(sold, till, lines)?,
    };
    if terms.amount_minor > till.left() || terms.amount_minor <= 0 {
        return Err(RefundRefusal::TooMuch { left_minor: till.left() });
    }
    Ok(terms)
}

fn all_units(sold: &[SoldLine]) -> Vec<(Sku, i64)> {
    let left = sold.iter().map(|l| (l.sku.clone(), l.qty - l.returned));
    left.filter(|(_, qty)| *qty > 0).collect()
}

fn of_lines(sold: &[SoldLine], till: Till, lines: &[(Sku, i64)]) -> Result<Terms, RefundRefusal> {
    let mut wanted: BTreeMap<&Sku, i64> = BTreeMap::new();
    let mut amount: i64 = 0;
    for (index, (sku, qty)) in lines.iter().enumerate() {
        let line = sold.iter().find(|l| l.sku == *sku);
        let line = line.ok_or(RefundRefusal::UnknownSku(index))?;
        let before = wanted.entry(&line.sku).or_default();
        let left = line.qty - line.returned - *before;
        if *qty > left {
            return Err(RefundRefusal::TooManyUnits { line: index, left });
        }
        amount = amount.saturating_add(worth(line, till, line.returned + *before, *qty));
        *before += qty;
    }
    let lines = wanted.into_iter().map(|(sku, qty)| (sku.clone(), qty)).collect();
    Ok(Terms { amount_minor: amount, lines })
}

/// Price and tax share of `qty` units after `before` were returned. The shares
/// of all units add up to exactly the line's tax.
fn worth(line: &SoldLine, till: Till, before: i64, qty: i64) -> i64 {
    let price = line.price_minor.saturating_mul(qty);
    if till.tax_inclusive {
        return price;
    }
    let share = |units: i64| {
        half_even(i128::from(line.tax_minor) * i128::from(units), i128::from(line.qty.max(1)))
    };
    price.saturating_add(share(before + qty) - share(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sold(qty: i64, returned: i64, price_minor: i64, tax_minor: i64) -> Vec<SoldLine> {
        vec![SoldLine { sku: "A-1".parse().unwrap(), qty, returned, price_minor, tax_minor }]
    }

    fn till(captured_minor: i64, promised_minor: i64) -> Till {
        Till { captured_minor, promised_minor, tax_inclusive: false }
    }

    fn lines(qty: i64) -> Wish {
        Wish::Lines(vec![("a-1".parse().unwrap(), qty)])
    }

    #[test]
    fn never_more_than_was_captured_and_not_promised_yet() {
        let left = |wish| settle(&sold(2, 0, 500, 0), till(1_490, 1_000), &wish);
        assert_eq!(left(Wish::Everything).unwrap().amount_minor, 490);
        assert_eq!(left(Wish::Minor(491)), Err(RefundRefusal::TooMuch { left_minor: 490 }));
        assert_eq!(left(lines(1)), Err(RefundRefusal::TooMuch { left_minor: 490 }));
        let unpaid = settle(&sold(2, 0, 500, 0), till(0, 0), &Wish::Everything);
        assert_eq!(unpaid, Err(RefundRefusal::NothingCaptured));
    }

    #[test]
    fn never_more_units_than_are_left() {
        let refused = settle(&sold(3, 2, 500, 0), till(1_500, 1_000), &lines(2));
        assert_eq!(refused, Err(RefundRefusal::TooManyUnits { line: 0, left: 1 }));
        let twice = Wish::Lines(vec![("A-1".parse().unwrap(), 2), ("a-1".parse().unwrap(), 2)]);
        let refused = settle(&sold(3, 0, 500, 0), till(1_500, 0), &twice);
        assert_eq!(refused, Err(RefundRefusal::TooManyUnits { line: 1, left: 1 }));
        let strange = Wish::Lines(vec![("B".parse().unwrap(), 1)]);
        let refused = settle(&sold(3, 0, 500, 0), till(1_500, 0), &strange);
        assert_eq!(refused, Err(RefundRefusal::UnknownSku(0)));
    }

    proptest! {
        #[test]
        fn units_returned_one_by_one_give_back_exactly_price_and_tax(
            qty in 1i64..50, price in 0i64..10_000, tax in 0i64..100_000,
        ) {
            let (mut given, captured) = (0, price * qty + tax);
            for returned in 0..qty {
                let till = till(captured, given);
                let one = of_lines(&sold(qty, returned, price, tax), till, &[("A-1".parse().unwrap(), 1)]);
                given += one.unwrap().amount_minor;
            }
            prop_assert_eq!(given, captured);
        }
    }
}
