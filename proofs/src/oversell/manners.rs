//! What kind of buyer comes as the `n`th.

use super::Args;

/// How a buyer pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A good card with the order.
    AtOnce,
    /// A good card in a second step.
    Later,
    /// A card with the order that is declined: the order fails.
    Declined,
    /// A good card in the moment the hold ends.
    Late,
}

/// The kinds are mixed evenly, whatever the number of skus.
pub fn of(args: &Args, buyer: u64) -> Manner {
    // Odd and prime to a hundred: every hundred buyers see every place once.
    let place = buyer.wrapping_mul(37) % 100;
    if place < args.declined {
        Manner::Declined
    } else if place < args.declined + args.late {
        Manner::Late
    } else if args.pay {
        Manner::Later
    } else {
        Manner::AtOnce
    }
}

/// The skus of a buyer's order: neighbours, so that bundles share stock, and in
/// an order that differs from buyer to buyer.
pub fn bundle(args: &Args, buyer: u64) -> Vec<usize> {
    let first = buyer % args.skus;
    let mut skus: Vec<usize> =
        (0..args.bundle).map(|n| ((first + n) % args.skus) as usize).collect();
    if (buyer / args.skus) % 2 == 1 {
        skus.reverse();
    }
    skus
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        Args {
            buyers: 100,
            units: 10,
            skus: 4,
            concurrency: 1,
            pay: false,
            bundle: 2,
            declined: 20,
            late: 5,
            sabotage: None,
            rest: 1,
        }
    }

    #[test]
    fn of_a_hundred_buyers_as_many_are_declined_and_late_as_was_said() {
        let args = args();
        let count = |manner| (0..100).filter(|n| of(&args, *n) == manner).count();
        assert_eq!((count(Manner::Declined), count(Manner::Late)), (20, 5));
        assert_eq!(count(Manner::AtOnce), 75);
    }

    #[test]
    fn bundles_overlap_and_come_in_both_orders() {
        let args = args();
        assert_eq!((bundle(&args, 0), bundle(&args, 3)), (vec![0, 1], vec![3, 0]));
        assert_eq!(bundle(&args, 4), vec![1, 0]);
    }
}
