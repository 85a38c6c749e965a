//! Counts of one sku in one warehouse, and how they change.

use std::collections::BTreeMap;

use uuid::Uuid;

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
    /// That orders wait for; counted at any one place of the sku.
    pub backordered: i64,
}

impl Level {
    /// Units that are promised to somebody.
    pub fn committed(&self) -> i64 {
        self.held + self.allocated + self.set_aside
    }

    /// Units that nobody was promised, above the safety stock.
    pub fn available(&self) -> i64 {
        (self.on_hand - self.committed() - self.safety_stock).max(0)
    }

    /// The level after `moved`.
    pub fn after(&self, moved: Delta) -> Level {
        Level {
            on_hand: self.on_hand + moved.on_hand,
            held: self.held + moved.held,
            allocated: self.allocated + moved.allocated,
            set_aside: self.set_aside + moved.set_aside,
            backordered: self.backordered + moved.backordered,
            safety_stock: self.safety_stock,
        }
    }
}

/// By how much a level changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub on_hand: i64,
    pub held: i64,
    pub allocated: i64,
    pub set_aside: i64,
    pub backordered: i64,
}

impl Delta {
    fn plus(self, other: Delta) -> Delta {
        Delta {
            on_hand: self.on_hand + other.on_hand,
            held: self.held + other.held,
            allocated: self.allocated + other.allocated,
            set_aside: self.set_aside + other.set_aside,
            backordered: self.backordered + other.backordered,
        }
    }
}

/// Where a change takes place: sku key, then warehouse.
pub type PlaceKey = (String, String);

/// What is left of a flash sale's units of a sku in a warehouse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsideKey {
    pub sale: Uuid,
    pub sku_key: String,
    pub warehouse: String,
}

/// All changes of one transaction, one per place, in lock order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    places: BTreeMap<PlaceKey, Delta>,
    asides: BTreeMap<AsideKey, i64>,
    /// Units that orders wait for, by sku; `Shelf::route` finds their places.
    waits: BTreeMap<String, i64>,
}

impl Moves {
    pub fn add(&mut self, sku_key: &str, warehouse: &str, delta: Delta) {
        let place = self.places.entry((sku_key.to_owned(), warehouse.to_owned())).or_default();
        *place = place.plus(delta);
    }

    /// Units into a sale's set-aside, or out of it when negative.
    pub fn add_aside(&mut self, key: AsideKey, units: i64) {
        let delta = Delta { set_aside: units, ..Delta::default() };
        self.add(&key.sku_key, &key.warehouse, delta);
        *self.asides.entry(key).or_default() += units;
    }

    /// Orders wait for `units` more of a sku, or fewer when negative.
    pub fn add_wait(&mut self, sku_key: &str, units: i64) {
        *self.waits.entry(sku_key.to_owned()).or_default() += units;
    }

    /// The sale is over: its units go to everybody instead.
    pub fn forget_aside(&mut self, key: &AsideKey, units: i64) {
        let delta = Delta { set_aside: -units, ..Delta::default() };
        self.add(&key.sku_key, &key.warehouse, delta);
        self.asides.remove(key);
    }

    pub fn take_waits(&mut self) -> BTreeMap<String, i64> {
        std::mem::take(&mut self.waits)
    }

    /// Adds what another part of the same transaction moves.
    pub fn merge(&mut self, other: Moves) {
        for ((sku_key, warehouse), delta) in other.places {
            self.add(&sku_key, &warehouse, delta);
        }
        for (key, units) in other.asides {
            *self.asides.entry(key).or_default() += units;
        }
        for (sku_key, units) in other.waits {
            self.add_wait(&sku_key, units);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&PlaceKey, &Delta)> {
        self.places.iter()
    }

    pub fn asides(&self) -> impl Iterator<Item = (&AsideKey, i64)> {
        self.asides.iter().map(|(key, units)| (key, *units))
    }

    /// The skus that move.
    pub fn skus(&self) -> impl Iterator<Item = &str> {
        let waited = self.waits.keys().map(String::as_str);
        self.places.keys().map(|(key, _)| key.as_str()).chain(waited)
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

/// The change that makes `counted` units of what is on hand: a count is the
/// truth, whatever was promised.
pub fn count(level: &Level, counted: i64) -> Delta {
    Delta { on_hand: counted.max(0) - level.on_hand, ..Delta::default() }
}

/// Units promised to one order at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    pub order_id: Uuid,
    pub units: i64,
}

/// The promises that what is on hand cannot keep: whoever came last goes
/// short. `promises` are in order of arrival; units short per order.
pub fn broken(level: &Level, promises: &[Promise]) -> Vec<Promise> {
    let mut short = (level.committed() - level.on_hand).max(0);
    let mut broken = Vec::new();
    for promise in promises.iter().rev() {
        let units = short.min(promise.units);
        if units > 0 {
            broken.push(Promise { order_id: promise.order_id, units });
            short -= units;
        }
    }
    broken.reverse();
    broken
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
        let level = Level {
            on_hand: 20,
            held: 3,
            allocated: 4,
            set_aside: 5,
            safety_stock: 2,
            backordered: 0,
        };
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
    fn a_count_is_the_truth_and_the_last_to_come_go_short() {
        let level = Level { on_hand: 10, held: 4, allocated: 2, ..Level::default() };
        let counted = level.after(count(&level, 3));
        assert_eq!((counted.on_hand, counted.available()), (3, 0));
        let order = Uuid::from_u128;
        let promise = |n: u128, units| Promise { order_id: order(n), units };
        let promises = [promise(1, 2), promise(2, 2), promise(3, 2)];
        assert_eq!(broken(&counted, &promises), [promise(2, 1), promise(3, 2)]);
        assert!(broken(&level, &promises).is_empty());
    }

    #[test]
    fn low_is_said_only_on_the_way_down() {
        assert!(crosses(6, 5, 5));
        assert!(crosses(60, 0, 5));
        assert!(!crosses(5, 4, 5));
        assert!(!crosses(4, 6, 5));
    }
}
