//! Counts of one sku in one warehouse, and how they change.

use std::collections::BTreeMap;

/// Units of one sku in one warehouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Physically there.
    pub on_hand: i64,
    /// In live holds.
    pub held: i64,
    /// Of confirmed orders that are not dispatched.
    pub allocated: i64,
    /// Carved out for flash sales.
    pub set_aside: i64,
    /// Never sold.
    pub safety_stock: i64,
}

impl Level {
    /// Units that are promised to somebody.
    pub fn committed(&self) -> i64 {
        self.held + self.allocated + self.set_aside
    }

    /// Units that can be sold now.
    pub fn available(&self) -> i64 {
        (self.on_hand - self.committed() - self.safety_stock).max(0)
    }

    /// The level after `moved`.
    pub fn after(&self, moved: Delta) -> Level {
        Level {
            on_hand: self.on_hand + moved.on_hand,
            held: self.held + moved.held,
            allocated: self.allocated + moved.allocated,
            ..*self
        }
    }
}

/// By how much a level changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub on_hand: i64,
    pub held: i64,
    pub allocated: i64,
}

impl Delta {
    fn plus(self, other: Delta) -> Delta {
        Delta {
            on_hand: self.on_hand + other.on_hand,
            held: self.held + other.held,
            allocated: self.allocated + other.allocated,
        }
    }
}

/// Where a change takes place: sku key, then warehouse.
pub type PlaceKey = (String, String);

/// All changes of one transaction, one per place, in lock order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves(BTreeMap<PlaceKey, Delta>);

impl Moves {
    pub fn add(&mut self, sku_key: &str, warehouse: &str, delta: Delta) {
        let place = self.0.entry((sku_key.to_owned(), warehouse.to_owned())).or_default();
        *place = place.plus(delta);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&PlaceKey, &Delta)> {
        self.0.iter()
    }
}

/// Why a manual adjustment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjustRefusal {
    /// The caller believes in another quantity than `on_hand`.
    Stale { on_hand: i64 },
    /// `committed` units are promised; fewer would be left.
    Committed { committed: i64 },
}

/// The change of a manual adjustment at `level`, whose believed quantity
/// `expected` is compared with `known`.
pub fn adjust(
    level: &Level,
    known: i64,
    expected: i64,
    delta: i64,
) -> Result<Delta, AdjustRefusal> {
    if known != expected {
        return Err(AdjustRefusal::Stale { on_hand: known });
    }
    if delta < 0 && level.on_hand + delta < level.committed() {
        return Err(AdjustRefusal::Committed { committed: level.committed() });
    }
    Ok(Delta { on_hand: delta, ..Delta::default() })
}

/// Whether stock fell from above the threshold to it or below.
pub fn crosses(before: i64, after: i64, threshold: i64) -> bool {
    before > threshold && after <= threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_leaves_out_what_is_promised_and_never_shows_less_than_zero() {
        let level = Level { on_hand: 20, held: 3, allocated: 4, set_aside: 5, safety_stock: 2 };
        assert_eq!(level.available(), 6);
        assert_eq!(Level { on_hand: 1, ..level }.available(), 0);
    }

    #[test]
    fn an_adjustment_needs_the_right_belief_and_leaves_promises_whole() {
        let level = Level { on_hand: 10, held: 4, allocated: 2, ..Level::default() };
        assert_eq!(adjust(&level, 10, 9, 1), Err(AdjustRefusal::Stale { on_hand: 10 }));
        assert_eq!(adjust(&level, 10, 10, -5), Err(AdjustRefusal::Committed { committed: 6 }));
        assert_eq!(adjust(&level, 10, 10, -4).unwrap().on_hand, -4);
        assert_eq!(adjust(&level, 10, 10, 7).unwrap().on_hand, 7);
    }

    #[test]
    fn low_is_said_only_on_the_way_down() {
        assert!(crosses(6, 5, 5));
        assert!(crosses(60, 0, 5));
        assert!(!crosses(5, 4, 5));
        assert!(!crosses(4, 6, 5));
    }
}
