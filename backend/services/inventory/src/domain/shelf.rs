//! The locked stock of some skus, and how a reservation is served from it.

use std::collections::BTreeMap;

use shared_types::{ProductId, Sku};

use super::level::{Delta, Level, Moves};

/// Units wanted per sku key; lines of one sku are added up.
pub type Wanted = BTreeMap<String, i64>;

/// One sku with its stock everywhere.
#[derive(Clone, Debug)]
pub struct Item {
    pub sku: Sku,
    pub product_id: ProductId,
    pub low_threshold: i64,
    /// In order of priority.
    pub places: Vec<Place>,
}

/// Stock in one warehouse.
#[derive(Clone, Debug)]
pub struct Place {
    pub warehouse: String,
    pub priority: i32,
    pub level: Level,
}

impl Item {
    /// Units that can be sold now, all warehouses together.
    pub fn available(&self) -> i64 {
        self.places.iter().map(|p| p.level.available()).sum()
    }

    pub fn on_hand(&self) -> i64 {
        self.places.iter().map(|p| p.level.on_hand).sum()
    }

    pub fn place(&self, warehouse: &str) -> Option<&Place> {
        self.places.iter().find(|p| p.warehouse == warehouse)
    }
}

/// Items by sku key.
#[derive(Clone, Debug, Default)]
pub struct Shelf(pub BTreeMap<String, Item>);

/// So many units of a sku from a warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    pub sku_key: String,
    pub warehouse: String,
    pub qty: i64,
}

/// A line that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortOf {
    pub sku_key: String,
    pub requested: i64,
    pub available: i64,
}

impl Shelf {
    /// Keys of `wanted` that nobody ever opened.
    pub fn unknown<'a>(&self, wanted: &'a Wanted) -> Vec<&'a str> {
        wanted.keys().map(String::as_str).filter(|key| !self.0.contains_key(*key)).collect()
    }

    /// Takes all of `wanted` or nothing: from the first warehouse by priority
    /// that can serve every line, else line by line in order of priority. What
    /// is taken is held on this shelf from now on.
    pub fn take(&mut self, wanted: &Wanted) -> Result<Vec<Pick>, Vec<ShortOf>> {
        let short: Vec<ShortOf> = wanted
            .iter()
            .map(|(key, qty)| {
                let available = self.0.get(key).map_or(0, Item::available);
                ShortOf { sku_key: key.clone(), requested: *qty, available }
            })
            .filter(|line| line.available < line.requested)
            .collect();
        if !short.is_empty() {
            return Err(short);
        }
        let picks = match self.one_warehouse(wanted) {
            Some(warehouse) => wanted
                .iter()
                .map(|(key, qty)| Pick {
                    sku_key: key.clone(),
                    warehouse: warehouse.clone(),
                    qty: *qty,
                })
                .collect(),
            None => self.split(wanted),
        };
        let mut moves = Moves::default();
        for pick in &picks {
            let delta = Delta { held: pick.qty, ..Delta::default() };
            moves.add(&pick.sku_key, &pick.warehouse, delta);
        }
        self.apply(&moves);
        Ok(picks)
    }

    fn one_warehouse(&self, wanted: &Wanted) -> Option<String> {
        let mut candidates: Vec<(i32, &str)> = wanted
            .keys()
            .filter_map(|key| self.0.get(key))
            .flat_map(|item| item.places.iter().map(|p| (p.priority, p.warehouse.as_str())))
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        let serves = |warehouse: &str| {
            wanted.iter().all(|(key, qty)| {
                let place = self.0.get(key).and_then(|item| item.place(warehouse));
                place.is_some_and(|p| p.level.available() >= *qty)
            })
        };
        candidates.iter().map(|(_, code)| *code).find(|code| serves(code)).map(str::to_owned)
    }

    fn split(&self, wanted: &Wanted) -> Vec<Pick> {
        let mut picks = Vec::new();
        for (key, qty) in wanted {
            let mut left = *qty;
            for place in self.0.get(key).map_or(&[][..], |item| &item.places) {
                let taken = left.min(place.level.available());
                if taken > 0 {
                    picks.push(Pick {
                        sku_key: key.clone(),
                        warehouse: place.warehouse.clone(),
                        qty: taken,
                    });
                    left -= taken;
                }
            }
        }
        picks
    }

    /// Changes the levels here as the database will.
    pub fn apply(&mut self, moves: &Moves) {
        for ((key, warehouse), delta) in moves.iter() {
            let place = self
                .0
                .get_mut(key)
                .and_then(|item| item.places.iter_mut().find(|p| p.warehouse == *warehouse));
            if let Some(place) = place {
                place.level = place.level.after(*delta);
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A shelf of skus, each with units per warehouse in order of priority.
    pub fn shelf(skus: &[(&str, &[i64])]) -> Shelf {
        let item = |key: &str, units: &[i64]| Item {
            sku: key.parse().unwrap(),
            product_id: ProductId(uuid::Uuid::nil()),
            low_threshold: 0,
            places: (1..)
                .zip(units)
                .map(|(priority, on_hand)| Place {
                    warehouse: format!("w{priority}"),
                    priority,
                    level: Level { on_hand: *on_hand, ..Level::default() },
                })
                .collect(),
        };
        Shelf(skus.iter().map(|(key, units)| ((*key).to_owned(), item(key, units))).collect())
    }

    fn wanted(lines: &[(&str, i64)]) -> Wanted {
        lines.iter().map(|(key, qty)| ((*key).to_owned(), *qty)).collect()
    }

    fn picked(picks: &[Pick]) -> Vec<(&str, &str, i64)> {
        picks.iter().map(|p| (p.sku_key.as_str(), p.warehouse.as_str(), p.qty)).collect()
    }

    #[test]
    fn one_warehouse_serves_all_lines_when_it_can() {
        let mut shelf = shelf(&[("a", &[1, 5]), ("b", &[9, 5])]);
        let picks = shelf.take(&wanted(&[("a", 2), ("b", 2)])).unwrap();
        assert_eq!(picked(&picks), [("a", "w2", 2), ("b", "w2", 2)]);
    }

    #[test]
    fn lines_split_in_order_of_priority_when_no_warehouse_has_all() {
        let mut shelf = shelf(&[("a", &[3, 5])]);
        let picks = shelf.take(&wanted(&[("a", 7)])).unwrap();
        assert_eq!(picked(&picks), [("a", "w1", 3), ("a", "w2", 4)]);
        assert_eq!(shelf.0["a"].available(), 1);
    }

    #[test]
    fn a_short_line_takes_nothing_and_says_what_there_was() {
        let mut shelf = shelf(&[("a", &[3]), ("b", &[1])]);
        let short = shelf.take(&wanted(&[("a", 3), ("b", 2)])).unwrap_err();
        assert_eq!(short, [ShortOf { sku_key: "b".into(), requested: 2, available: 1 }]);
        assert_eq!(shelf.0["a"].available(), 3);
    }
}
