//! The order's life cycle as a table.

use shared_types::orders::OrderStatus;

/// Whether an order may go from one status to another.
pub fn may_become(from: OrderStatus, to: OrderStatus) -> bool {
    use OrderStatus::{Canceled, Confirmed, Failed, Fulfilled, Paid, Pending, Shipped};
    matches!(
        (from, to),
        (Pending, Paid | Canceled | Failed)
            | (Paid, Confirmed | Canceled)
            | (Confirmed, Shipped | Canceled)
            | (Shipped, Fulfilled)
    )
}

/// Whether the money of an order in this status was taken and kept.
pub fn is_paid(status: OrderStatus) -> bool {
    use OrderStatus::{Confirmed, Fulfilled, Paid, Shipped};
    matches!(status, Paid | Confirmed | Shipped | Fulfilled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_an_end_and_nothing_goes_back() {
        use OrderStatus::{Canceled, Failed, Fulfilled, Paid, Pending, Shipped};
        for end in [Canceled, Failed, Fulfilled] {
            assert!(OrderStatus::ALL.iter().all(|to| !may_become(end, *to)), "{end}");
        }
        assert!(OrderStatus::ALL.iter().all(|from| !may_become(*from, Pending)));
        assert!(!may_become(Shipped, Canceled));
        assert!(!may_become(Paid, Failed));
    }
}
