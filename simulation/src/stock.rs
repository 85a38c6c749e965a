//! Inventory: the book behind the door, with its clocks and its events.

use std::time::Duration;

use inventory::domain::book::{Answer, Book};
use inventory::domain::hold::HoldStatus;
use inventory::domain::level::{Delta, Level, Moves};
use inventory::domain::shelf::{Ask, Item, Place, Shelf, Wanted};
use shared_types::{ProductId, Timestamp};
use uuid::Uuid;

use crate::events::{Source, Told};
use crate::network::{Call, Reply};
use crate::promises;
use crate::sabotage::Sabotage;
use crate::scenario::{Good, SECOND};
use crate::world::{Happening, No, World, at, id_of, ms_of, no_of, note};

const HOLD: Duration = Duration::from_secs(600);
const KEPT_FOR_WAITERS: Duration = Duration::from_secs(24 * 3_600);
/// How often inventory looks for what is due.
const LOOKS_EVERY: i64 = 250;

pub fn sku_key(sku: usize) -> String {
    format!("s{sku}")
}

pub fn book(goods: &[Good]) -> Book {
    let mut shelf = Shelf::default();
    for (number, good) in goods.iter().enumerate() {
        let place = |(priority, units): (usize, &i64)| Place {
            warehouse: format!("w{priority}"),
            priority: priority as i32,
            level: Level { on_hand: *units, ..Level::default() },
        };
        let key = sku_key(number);
        // The text is a sku: two letters.
        let Ok(sku) = key.parse() else { continue };
        let item = Item {
            sku,
            product_id: ProductId(Uuid::from_u128(number as u128)),
            low_threshold: 0,
            backorder_limit: good.backorder_limit,
            places: good.units.iter().enumerate().map(place).collect(),
        };
        shelf.items.insert(key, item);
    }
    Book::over(shelf)
}

impl World {
    /// Any of inventory's instances acts now, by its own clock.
    fn stock_clock(&mut self, no: No) -> Timestamp {
        let instances = self.stock_skews.len();
        let which = self.dice(no).index(instances);
        at(self.now + self.stock_skews[which])
    }

    fn wanted(&self, no: No) -> Wanted {
        let lines = self.scenario.buyers[no].iter().flat_map(|buyer| &buyer.lines);
        let mut wanted = Wanted::new();
        for (sku, qty) in lines {
            *wanted.entry(Ask::ordinary(sku_key(*sku))).or_default() += qty;
        }
        wanted
    }

    fn hold_status(&self, no: No) -> Option<HoldStatus> {
        self.book.holds.get(&id_of(no)).map(|hold| hold.status)
    }

    /// One command on one transaction.
    pub fn stock(&mut self, no: No, call: &Call) -> Reply {
        let reply = match call {
            Call::Reserve { accept_backorder } => match self.reserve(no, *accept_backorder) {
                Answer::Held { expires_at, .. } => Reply::Held(expires_at),
                Answer::Waiting => Reply::Waiting,
                Answer::Short(_) => Reply::Short,
                Answer::Differs | Answer::Ended | Answer::Unknown => Reply::Refused,
            },
            Call::Pin { pinned, extend } => {
                let held = match self.sabotage {
                    Some(Sabotage::LateConfirm) => self.hold_status(no) == Some(HoldStatus::Held),
                    _ => self.book.pin(id_of(no), *pinned, extend.then_some(HOLD)),
                };
                let expires_at = self.book.holds.get(&id_of(no)).and_then(|h| h.expires_at);
                Reply::Pinned { held, expires_at: expires_at.filter(|_| held) }
            }
            Call::Confirm => Reply::Confirmed(self.confirm(no)),
            _ => {
                self.release(no);
                Reply::Released
            }
        };
        self.stock_committed(no);
        reply
    }

    pub fn reserve(&mut self, no: No, accept_backorder: bool) -> Answer {
        let expires_at = self.stock_clock(no).plus(HOLD);
        let wanted = self.wanted(no);
        let answer = self.book.reserve(id_of(no), &wanted, expires_at, accept_backorder);
        if let Answer::Held { expires_at, repeated: false } = answer {
            self.tell(Source::Stock, no, Told::Held { expires_at });
        }
        answer
    }

    pub fn confirm(&mut self, no: No) -> bool {
        let before = self.hold_status(no);
        if self.sabotage == Some(Sabotage::LateConfirm) && before == Some(HoldStatus::Expired) {
            self.move_units(no, |qty| Delta { allocated: qty, ..Delta::default() });
            if let Some(hold) = self.book.holds.get_mut(&id_of(no)) {
                hold.status = HoldStatus::Confirmed;
            }
            return true;
        }
        let confirmed = self.book.confirm(id_of(no));
        if before == Some(HoldStatus::Held) {
            self.tell(Source::Stock, no, Told::StockConfirmed);
        }
        confirmed
    }

    pub fn release(&mut self, no: No) {
        let before = self.hold_status(no);
        if self.sabotage == Some(Sabotage::ReleaseAgain) && before == Some(HoldStatus::Released) {
            self.move_units(no, |qty| Delta { held: -qty, ..Delta::default() });
        }
        if self.book.release(id_of(no)) {
            self.tell(Source::Stock, no, Told::Released);
        }
    }

    /// Past all rules.
    fn move_units(&mut self, no: No, change: impl Fn(i64) -> Delta) {
        let Some(hold) = self.book.holds.get(&id_of(no)) else { return };
        let mut moves = Moves::default();
        for line in &hold.lines {
            moves.add(&line.sku_key, &line.warehouse, change(line.qty));
        }
        self.book.shelf.apply(&moves);
    }

    /// After every transaction of inventory.
    pub fn stock_committed(&mut self, no: No) {
        self.commits += 1;
        promises::of_stock(self);
        self.expect_expiry(no);
        if !self.book.queue.is_empty() && !self.serving {
            self.serving = true;
            self.later(LOOKS_EVERY, Happening::Serve);
        }
    }

    /// Somebody looks when the hold ends, within a second.
    fn expect_expiry(&mut self, no: No) {
        let Some(hold) = self.book.holds.get(&id_of(no)) else { return };
        let Some(expires_at) = hold.expires_at.filter(|_| hold.status == HoldStatus::Held) else {
            return;
        };
        if hold.pinned {
            return;
        }
        let due_in = ms_of(expires_at) - self.now;
        let latest = self.stock_skews.iter().map(|skew| -skew).max().unwrap_or(0);
        let first = self.dice(no).range(-SECOND, LOOKS_EVERY);
        self.later(due_in + first, Happening::Expire);
        self.later(due_in + latest + LOOKS_EVERY, Happening::Expire);
    }

    pub fn expires(&mut self) {
        let which = usize::from(self.now % 2 == 1);
        // What one instance does not see as due yet, the other may.
        for which in [which, 1 - which] {
            let now = at(self.now + self.stock_skews[which]);
            let pinned: Vec<Uuid> = self
                .book
                .holds
                .iter()
                .filter(|(_, hold)| hold.pinned)
                .map(|(order, _)| *order)
                .collect();
            for order in self.book.expire(now) {
                let no = no_of(order);
                note!(self, Some(no), "stock: the hold expires");
                if pinned.contains(&order) {
                    self.breaks(format!("the pinned hold of order {no} expired"));
                }
                self.tell(Source::Stock, no, Told::Expired);
                self.stock_committed(no);
            }
        }
    }

    pub fn serves(&mut self) {
        self.serving = false;
        let until = at(self.now).plus(KEPT_FOR_WAITERS);
        for order in self.book.serve_queue(until) {
            let no = no_of(order);
            note!(self, Some(no), "stock: the units it waited for are here");
            self.tell(Source::Stock, no, Told::Held { expires_at: Some(until) });
            self.stock_committed(no);
        }
        promises::of_stock(self);
    }

    /// Units arrive; the last time as many as are waited for.
    pub fn receives(&mut self, last: bool) {
        let skus: Vec<(String, i64)> = self
            .book
            .shelf
            .items
            .iter()
            .map(|(key, item)| (key.clone(), item.backordered()))
            .collect();
        for (key, waiting) in skus {
            let units = if last { waiting } else { self.chance().range(0, 2) };
            if units > 0 {
                note!(self, None, "stock: {units} units of {key} arrive");
                // More units break no rule.
                let _ = self.book.adjust(&key, "w0", units);
            }
        }
        promises::of_stock(self);
        self.later(LOOKS_EVERY, Happening::Serve);
    }
}
