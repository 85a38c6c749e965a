//! The locked stock of some skus, and how a reservation is served from it.

use std::collections::BTreeMap;

use shared_types::{ProductId, Sku};
use uuid::Uuid;

use super::level::{AsideKey, Delta, Level, Moves};

/// What a line asks for: ordinary stock of a sku, or units of a flash sale.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ask {
    pub sku_key: String,
    pub sale: Option<Uuid>,
}

impl Ask {
    pub fn ordinary(sku_key: impl Into<String>) -> Self {
        Ask { sku_key: sku_key.into(), sale: None }
    }
}

/// Units wanted; lines that ask for the same are added up.
pub type Wanted = BTreeMap<Ask, i64>;

/// Units per sku key.
pub type Units = BTreeMap<String, i64>;

/// One sku with its stock everywhere.
#[derive(Clone, Debug)]
pub struct Item {
    pub sku: Sku,
    pub product_id: ProductId,
    pub low_threshold: i64,
    /// How many units orders may wait for in all; none: no order may wait.
    pub backorder_limit: Option<i64>,
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
    /// Units that can be sold now, all warehouses together. While orders wait,
    /// what is there is theirs.
    pub fn available(&self) -> i64 {
        if self.backordered() > 0 { 0 } else { self.unpromised() }
    }

    fn unpromised(&self) -> i64 {
        self.places.iter().map(|p| p.level.available()).sum()
    }

    /// Units that orders wait for.
    pub fn backordered(&self) -> i64 {
        self.places.iter().map(|p| p.level.backordered).sum()
    }

    pub fn on_hand(&self) -> i64 {
        self.places.iter().map(|p| p.level.on_hand).sum()
    }

    pub fn place(&self, warehouse: &str) -> Option<&Place> {
        self.places.iter().find(|p| p.warehouse == warehouse)
    }

    /// Up to `units` from the places in order of priority.
    fn spread(&self, units: i64) -> impl Iterator<Item = (&str, i64)> {
        let mut left = units;
        self.places.iter().filter_map(move |place| {
            let taken = left.min(place.level.available());
            left -= taken.max(0);
            (taken > 0).then_some((place.warehouse.as_str(), taken))
        })
    }
}

/// What is left of a flash sale's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aside {
    pub left: i64,
    /// The sale is scheduled or live; afterwards its units are everybody's.
    pub live: bool,
}

/// Items by sku key, and what sales that somebody asks for have left.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    pub items: BTreeMap<String, Item>,
    pub asides: BTreeMap<AsideKey, Aside>,
}

/// So many units of a sku from a warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    pub sku_key: String,
    pub warehouse: String,
    pub qty: i64,
    pub sale: Option<Uuid>,
}

/// A line that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortOf {
    pub sku_key: String,
    pub requested: i64,
    pub available: i64,
}

/// One order's place in the queue for a sku.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    pub order_id: Uuid,
    pub sku_key: String,
    pub open: i64,
}

/// What an order got that may wait: its units of now, and those of later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    pub picks: Vec<Pick>,
    pub open: Units,
    pub moves: Moves,
}

/// The change that holds these units.
fn holding(picks: &[Pick]) -> Moves {
    let mut moves = Moves::default();
    for pick in picks {
        let delta = Delta { held: pick.qty, ..Delta::default() };
        moves.add(&pick.sku_key, &pick.warehouse, delta);
        if let Some(sale) = pick.sale {
            moves.add_aside(pick.aside(sale), -pick.qty);
        }
    }
    moves
}

impl Pick {
    fn aside(&self, sale: Uuid) -> AsideKey {
        AsideKey { sale, sku_key: self.sku_key.clone(), warehouse: self.warehouse.clone() }
    }
}

impl Shelf {
    /// Keys of `wanted` that nobody ever opened.
    pub fn unknown<'a>(&self, wanted: &'a Wanted) -> Vec<&'a str> {
        let keys = wanted.keys().map(|ask| ask.sku_key.as_str());
        keys.filter(|key| !self.items.contains_key(*key)).collect()
    }

    /// Asks for sales that never had such units.
    pub fn unknown_sales<'a>(&self, wanted: &'a Wanted) -> Vec<&'a Ask> {
        let known = |ask: &Ask, sale| self.asides_of(sale, &ask.sku_key).next().is_some();
        wanted.keys().filter(|ask| ask.sale.is_some_and(|sale| !known(ask, sale))).collect()
    }

    fn asides_of(&self, sale: Uuid, sku_key: &str) -> impl Iterator<Item = (&AsideKey, &Aside)> {
        let first = AsideKey { sale, sku_key: sku_key.to_owned(), warehouse: String::new() };
        let of = first.clone();
        self.asides
            .range(first..)
            .take_while(move |(key, _)| key.sale == of.sale && key.sku_key == of.sku_key)
    }

    /// Units there are for `ask`.
    fn supply(&self, ask: &Ask) -> i64 {
        match ask.sale {
            None => self.items.get(&ask.sku_key).map_or(0, Item::available),
            Some(sale) => {
                let live = self.asides_of(sale, &ask.sku_key).filter(|(_, aside)| aside.live);
                live.map(|(_, aside)| aside.left).sum()
            }
        }
    }

    /// The same in one warehouse.
    fn supply_at(&self, ask: &Ask, warehouse: &str) -> i64 {
        let Some(sale) = ask.sale else {
            let place = self.items.get(&ask.sku_key).and_then(|item| item.place(warehouse));
            return place.map_or(0, |p| p.level.available());
        };
        let key = AsideKey { sale, sku_key: ask.sku_key.clone(), warehouse: warehouse.to_owned() };
        self.asides.get(&key).filter(|aside| aside.live).map_or(0, |aside| aside.left)
    }

    /// What of `wanted` there is too little of.
    pub fn short(&self, wanted: &Wanted) -> Vec<ShortOf> {
        wanted
            .iter()
            .map(|(ask, qty)| ShortOf {
                sku_key: ask.sku_key.clone(),
                requested: *qty,
                available: self.supply(ask),
            })
            .filter(|line| line.available < line.requested)
            .collect()
    }

    /// Takes all of `wanted` or nothing: from the first warehouse by priority
    /// that can serve every line, else line by line in order of priority. What
    /// is taken is held on this shelf from now on.
    pub fn take(&mut self, wanted: &Wanted) -> Result<(Vec<Pick>, Moves), Vec<ShortOf>> {
        let short = self.short(wanted);
        if !short.is_empty() {
            return Err(short);
        }
        let picks = match self.one_warehouse(wanted) {
            Some(warehouse) => wanted
                .iter()
                .map(|(ask, qty)| Pick {
                    sku_key: ask.sku_key.clone(),
                    warehouse: warehouse.clone(),
                    qty: *qty,
                    sale: ask.sale,
                })
                .collect(),
            None => self.split(wanted),
        };
        let moves = holding(&picks);
        self.apply(&moves);
        Ok((picks, moves))
    }

    fn one_warehouse(&self, wanted: &Wanted) -> Option<String> {
        let mut candidates: Vec<(i32, &str)> = wanted
            .keys()
            .filter_map(|ask| self.items.get(&ask.sku_key))
            .flat_map(|item| item.places.iter().map(|p| (p.priority, p.warehouse.as_str())))
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        let serves = |code: &str| wanted.iter().all(|(ask, qty)| self.supply_at(ask, code) >= *qty);
        candidates.iter().map(|(_, code)| *code).find(|code| serves(code)).map(str::to_owned)
    }

    /// Up to `wanted` line by line in order of priority.
    fn split(&self, wanted: &Wanted) -> Vec<Pick> {
        let mut picks = Vec::new();
        for (ask, qty) in wanted {
            let mut left = *qty;
            let places = self.items.get(&ask.sku_key).map_or(&[][..], |item| &item.places);
            for place in places {
                let taken = left.min(self.supply_at(ask, &place.warehouse));
                if taken > 0 {
                    left -= taken;
                    picks.push(Pick {
                        sku_key: ask.sku_key.clone(),
                        warehouse: place.warehouse.clone(),
                        qty: taken,
                        sale: ask.sale,
                    });
                }
            }
        }
        picks
    }

    /// Gives an order its place in the queue, where every sku that is short
    /// allows so many units to be waited for: what is there is held at once.
    pub fn queue(&mut self, wanted: &Wanted) -> Result<Queued, Vec<ShortOf>> {
        let short = self.short(wanted);
        let refused = |line: &&ShortOf| {
            let item = self.items.get(&line.sku_key);
            let room = item.and_then(|i| Some(i.backorder_limit? - i.backordered()));
            let missing = line.requested - line.available;
            let of_sale =
                wanted.keys().any(|ask| ask.sku_key == line.sku_key && ask.sale.is_some());
            of_sale || room.is_none_or(|room| room < missing)
        };
        if short.iter().any(|line| refused(&line)) {
            return Err(short);
        }
        let mut open = Units::new();
        let mut now = wanted.clone();
        for line in &short {
            open.insert(line.sku_key.clone(), line.requested - line.available);
            now.insert(Ask::ordinary(line.sku_key.clone()), line.available);
        }
        let picks = self.split(&now);
        let mut moves = holding(&picks);
        for (sku_key, units) in &open {
            moves.add_wait(sku_key, *units);
        }
        self.route(&mut moves);
        self.apply(&moves);
        Ok(Queued { picks, open, moves })
    }

    /// Serves the queue, first come first served, from what has come: picks
    /// per order. The units are held on this shelf from now on.
    pub fn serve(&mut self, queue: &[Waiter]) -> (Vec<(Uuid, Vec<Pick>)>, Moves) {
        let (mut served, mut all) = (Vec::new(), Moves::default());
        for waiter in queue {
            let Some(item) = self.items.get(&waiter.sku_key) else { continue };
            let picks: Vec<Pick> = item
                .spread(waiter.open)
                .map(|(warehouse, qty)| Pick {
                    sku_key: waiter.sku_key.clone(),
                    warehouse: warehouse.to_owned(),
                    qty,
                    sale: None,
                })
                .collect();
            if picks.is_empty() {
                continue;
            }
            let mut moves = holding(&picks);
            moves.add_wait(&waiter.sku_key, -picks.iter().map(|p| p.qty).sum::<i64>());
            self.route(&mut moves);
            self.apply(&moves);
            all.merge(moves);
            served.push((waiter.order_id, picks));
        }
        (served, all)
    }

    /// Carves `qty` units out for a sale: all, or says how many there are.
    pub fn carve(&mut self, sale: Uuid, sku_key: &str, qty: i64) -> Result<Moves, i64> {
        let available = self.supply(&Ask::ordinary(sku_key));
        let Some(item) = self.items.get(sku_key).filter(|_| available >= qty) else {
            return Err(available);
        };
        let mut moves = Moves::default();
        for (warehouse, units) in item.spread(qty) {
            let (sku_key, warehouse) = (sku_key.to_owned(), warehouse.to_owned());
            let key = AsideKey { sale, sku_key, warehouse };
            moves.add_aside(key.clone(), units);
            self.asides.entry(key).or_insert(Aside { left: 0, live: true }).live = true;
        }
        self.apply(&moves);
        Ok(moves)
    }

    /// Ends the sales on this shelf: what they have left is everybody's.
    pub fn dissolve(&mut self) -> Moves {
        let mut moves = Moves::default();
        for (key, aside) in self.asides.iter().filter(|(_, aside)| aside.live) {
            moves.add_aside(key.clone(), -aside.left);
        }
        self.apply(&moves);
        self.asides.values_mut().for_each(|aside| aside.live = false);
        moves
    }

    /// Finishes moves that were decided without the shelf: units go back to a
    /// sale only while it lives, and who waits is counted at some place.
    pub fn route(&self, moves: &mut Moves) {
        let ended: Vec<(AsideKey, i64)> = moves
            .asides()
            .filter(|(key, units)| *units > 0 && !self.asides.get(key).is_some_and(|a| a.live))
            .map(|(key, units)| (key.clone(), units))
            .collect();
        for (key, units) in ended {
            moves.forget_aside(&key, units);
        }
        for (sku_key, units) in moves.take_waits() {
            let Some(item) = self.items.get(&sku_key) else { continue };
            let mut left = units;
            for (number, place) in item.places.iter().enumerate() {
                let here = match units > 0 {
                    true if number == 0 => left,
                    true => 0,
                    false => left.max(-place.level.backordered),
                };
                if here != 0 {
                    let delta = Delta { backordered: here, ..Delta::default() };
                    moves.add(&sku_key, &place.warehouse, delta);
                    left -= here;
                }
            }
        }
    }

    /// Changes the levels here as the database will.
    pub fn apply(&mut self, moves: &Moves) {
        for ((key, warehouse), delta) in moves.iter() {
            let place = self
                .items
                .get_mut(key)
                .and_then(|item| item.places.iter_mut().find(|p| p.warehouse == *warehouse));
            if let Some(place) = place {
                place.level = place.level.after(*delta);
            }
        }
        for (key, units) in moves.asides() {
            let aside = self.asides.entry(key.clone()).or_insert(Aside { left: 0, live: true });
            aside.left += units;
        }
    }
}

#[cfg(test)]
pub mod tests;
