//! The bounded list of orders, newest change first.

use std::cmp::Reverse;

use crate::OrderRow;

/// How many orders a board keeps; the oldest changes fall off.
pub const LIMIT: usize = 500;

/// Orders by last change, newest first, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Board {
    rows: Vec<OrderRow>,
}

impl Board {
    pub fn rows(&self) -> &[OrderRow] {
        &self.rows
    }

    /// Takes in rows from a page or from the feed, in any order. A row older than
    /// the one already there changes nothing, so repeats and overlaps are
    /// harmless. At equal times the later call wins: one commit can change an
    /// order twice.
    pub fn merge(&mut self, rows: impl IntoIterator<Item = OrderRow>) {
        for row in rows {
            match self.rows.iter_mut().find(|held| held.order_id == row.order_id) {
                Some(held) if held.at <= row.at => *held = row,
                Some(_) => {}
                None => self.rows.push(row),
            }
        }
        self.rows.sort_by_key(|row| (Reverse(row.at), Reverse(row.order_id)));
        self.rows.truncate(LIMIT);
    }

    /// Forgets everything: another shop, another person.
    pub fn clear(&mut self) {
        self.rows.clear();
    }
}

#[cfg(test)]
mod tests {
    use shared_types::{
        OrderId, Timestamp,
        orders::{OrderStatus, Stage},
    };
    use uuid::Uuid;

    use super::*;

    fn row(id: u128, status: OrderStatus, second: i64) -> OrderRow {
        OrderRow {
            order_id: OrderId(Uuid::from_u128(id)),
            number: format!("BV-{id}"),
            status,
            stage: Stage::Done,
            amount: "1.00".into(),
            currency: "USD".into(),
            at: Timestamp::from_unix(second).unwrap(),
        }
    }

    #[test]
    fn the_newest_change_stands_first_and_every_order_once() {
        let mut board = Board::default();
        board.merge([row(1, OrderStatus::Pending, 10), row(2, OrderStatus::Pending, 20)]);
        board.merge([row(1, OrderStatus::Paid, 30)]);
        let seen: Vec<_> = board.rows().iter().map(|r| (r.number.as_str(), r.status)).collect();
        assert_eq!(seen, [("BV-1", OrderStatus::Paid), ("BV-2", OrderStatus::Pending)]);
    }

    #[test]
    fn an_older_row_never_replaces_a_newer_one() {
        let mut board = Board::default();
        board.merge([row(1, OrderStatus::Confirmed, 30)]);
        board.merge([row(1, OrderStatus::Pending, 10)]);
        assert_eq!(board.rows()[0].status, OrderStatus::Confirmed);
    }

    #[test]
    fn the_board_is_bounded_and_the_oldest_changes_fall_off() {
        let mut board = Board::default();
        board.merge((0..LIMIT as u128 + 20).map(|n| row(n, OrderStatus::Paid, n as i64)));
        assert_eq!(board.rows().len(), LIMIT);
        assert_eq!(board.rows()[LIMIT - 1].at.unix(), 20);
    }
}
