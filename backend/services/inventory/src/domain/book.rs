//! All of stock in memory, under the same rules that the service applies to its
//! tables: for tests of any sequence of commands, and for simulations that run
//! without a database.

use std::collections::BTreeMap;
use std::time::Duration;

use shared_types::Timestamp;
use uuid::Uuid;

use super::hold::{self, Hold, HoldLine, HoldStatus, ReserveStep, Settlement};
use super::level::{self, AdjustRefusal, Delta, Level, Moves};
use super::shelf::{Pick, Queued, Shelf, ShortOf, Units, Waiter, Wanted};

/// What a reservation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Held {
        expires_at: Option<Timestamp>,
        repeated: bool,
    },
    /// Its place in the queue is kept.
    Waiting,
    Short(Vec<ShortOf>),
    Differs,
    Ended,
    Unknown,
}

/// Stock, holds and queue of a shop.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub shelf: Shelf,
    pub holds: BTreeMap<Uuid, Hold>,
    /// In order of arrival.
    pub queue: Vec<Waiter>,
    /// What the ledger adds up to, by sku key and warehouse.
    pub ledger: BTreeMap<(String, String), i64>,
}

impl Book {
    pub fn over(shelf: Shelf) -> Self {
        let mut book = Book { shelf, ..Book::default() };
        for (key, item) in &book.shelf.items {
            for place in &item.places {
                let at = (key.clone(), place.warehouse.clone());
                book.ledger.insert(at, place.level.on_hand);
            }
        }
        book
    }

    fn moved(&mut self, mut moves: Moves) {
        self.shelf.route(&mut moves);
        self.shelf.apply(&moves);
        self.noted(&moves);
    }

    fn noted(&mut self, moves: &Moves) {
        for (place, delta) in moves.iter() {
            *self.ledger.entry(place.clone()).or_default() += delta.on_hand;
        }
    }

    /// Holds all of `wanted` until `expires_at`, or nothing.
    pub fn reserve(
        &mut self,
        order: Uuid,
        wanted: &Wanted,
        expires_at: Timestamp,
        accept_backorder: bool,
    ) -> Answer {
        let unknown = !self.shelf.unknown(wanted).is_empty();
        if unknown || !self.shelf.unknown_sales(wanted).is_empty() {
            return Answer::Unknown;
        }
        match hold::reserve(self.holds.get(&order), wanted) {
            ReserveStep::Take | ReserveStep::TakeAgain => {}
            ReserveStep::Repeat { expires_at: None }
                if self.holds.get(&order).is_some_and(|h| h.status == HoldStatus::Waiting) =>
            {
                return Answer::Waiting;
            }
            ReserveStep::Repeat { expires_at } => {
                return Answer::Held { expires_at, repeated: true };
            }
            ReserveStep::Differs => return Answer::Differs,
            ReserveStep::Ended => return Answer::Ended,
        }
        let (picks, open) = match self.shelf.take(wanted) {
            Ok((picks, _)) => (picks, Units::new()),
            Err(short) if accept_backorder => match self.shelf.queue(wanted) {
                Ok(Queued { picks, open, .. }) => (picks, open),
                Err(_) => return Answer::Short(short),
            },
            Err(short) => return Answer::Short(short),
        };
        for (sku_key, units) in &open {
            let (sku_key, open) = (sku_key.clone(), *units);
            self.queue.push(Waiter { order_id: order, sku_key, open });
        }
        let hold = Hold::new(&picks, open, expires_at);
        let expires_at = hold.expires_at;
        self.holds.insert(order, hold);
        match expires_at {
            None => Answer::Waiting,
            Some(_) => Answer::Held { expires_at, repeated: false },
        }
    }

    fn settle(&mut self, order: Uuid, how: impl Fn(&Hold) -> Settlement) -> Settlement {
        let Some(hold) = self.holds.get_mut(&order) else { return Settlement::Gone };
        let settled = how(hold);
        match &settled {
            Settlement::Moves(status, moves) => {
                hold.status = *status;
                hold.open.clear();
                self.queue.retain(|w| w.order_id != order);
                self.moved(moves.clone());
            }
            Settlement::Marks(status) => hold.status = *status,
            Settlement::Already | Settlement::Gone => {}
        }
        settled
    }

    /// True when the order's units are allocated, now or before.
    pub fn confirm(&mut self, order: Uuid) -> bool {
        self.settle(order, Hold::confirm) != Settlement::Gone
    }

    /// True when something was given back. An order that never held anything
    /// is marked, so that a late reservation holds nothing.
    pub fn release(&mut self, order: Uuid) -> bool {
        self.holds.entry(order).or_insert_with(|| Hold {
            status: HoldStatus::Released,
            expires_at: None,
            pinned: false,
            extended: false,
            lines: Vec::new(),
            open: Units::new(),
        });
        matches!(self.settle(order, Hold::release), Settlement::Moves(..))
    }

    /// Pins or frees a hold, and extends it once.
    pub fn pin(&mut self, order: Uuid, pinned: bool, extend: Option<Duration>) -> bool {
        self.holds.get_mut(&order).is_some_and(|hold| hold.pin(pinned, extend))
    }

    /// Gives back what expired; the orders.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Uuid> {
        let orders: Vec<Uuid> = self.holds.keys().copied().collect();
        let expired =
            |order: &Uuid| matches!(self.settle(*order, |h| h.expire(now)), Settlement::Moves(..));
        orders.into_iter().filter(expired).collect()
    }

    /// Serves the queue from what came; the orders that have everything now.
    pub fn serve_queue(&mut self, expires_at: Timestamp) -> Vec<Uuid> {
        let (served, _) = self.shelf.serve(&self.queue);
        let mut complete = Vec::new();
        for (order, picks) in served {
            for Pick { sku_key, qty, .. } in &picks {
                let waiter = self.queue.iter_mut();
                for waiter in waiter.filter(|w| w.order_id == order && w.sku_key == *sku_key) {
                    waiter.open -= qty;
                }
            }
            if self.holds.get_mut(&order).is_some_and(|h| h.receive(&picks, expires_at)) {
                complete.push(order);
            }
        }
        self.queue.retain(|w| w.open > 0);
        complete
    }

    /// Sends what a confirmed order has left.
    pub fn dispatch(&mut self, order: Uuid) {
        let Some(hold) = self.holds.get_mut(&order) else { return };
        if hold.status != HoldStatus::Confirmed {
            return;
        }
        let mut moves = Moves::default();
        for line in &mut hold.lines {
            let units = line.undispatched();
            line.dispatched += units;
            let delta = Delta { on_hand: -units, allocated: -units, ..Delta::default() };
            moves.add(&line.sku_key, &line.warehouse, delta);
        }
        self.moved(moves);
    }

    /// Takes units out of a confirmed order; false when it is refused.
    pub fn take_back(&mut self, order: Uuid, wanted: &Units) -> bool {
        let Some(hold) = self.holds.get_mut(&order) else { return false };
        match hold.take_back(wanted) {
            Ok(moves) => {
                self.moved(moves);
                true
            }
            Err(_) => false,
        }
    }

    fn level(&self, key: &str, warehouse: &str) -> Level {
        let place = self.shelf.items.get(key).and_then(|item| item.place(warehouse));
        place.map_or(Level::default(), |p| p.level)
    }

    fn change(&mut self, key: &str, warehouse: &str, delta: Delta) {
        let mut moves = Moves::default();
        moves.add(key, warehouse, delta);
        self.moved(moves);
    }

    /// A manual adjustment with the right belief.
    pub fn adjust(&mut self, key: &str, warehouse: &str, by: i64) -> Result<(), AdjustRefusal> {
        let here = self.level(key, warehouse);
        let delta = level::adjust(&here, here.on_hand, here.on_hand, by)?;
        self.change(key, warehouse, delta);
        Ok(())
    }

    /// A physical count.
    pub fn count(&mut self, key: &str, warehouse: &str, counted: i64) {
        let delta = level::count(&self.level(key, warehouse), counted);
        self.change(key, warehouse, delta);
    }

    /// Carves units out for a sale, all or none.
    pub fn set_aside(&mut self, sale: Uuid, key: &str, qty: i64) -> bool {
        self.shelf.carve(sale, key, qty).is_ok()
    }

    /// Ends every sale.
    pub fn end_sales(&mut self) {
        self.shelf.dissolve();
    }

    /// Every promise that is broken, in words; empty at any time. After a count
    /// more may be promised than is there: `counted` leaves that out.
    pub fn violations(&self, counted: bool) -> Vec<String> {
        let mut broken = Vec::new();
        for (key, item) in &self.shelf.items {
            for place in &item.places {
                let (level, at) = (place.level, &place.warehouse);
                let counts = [level.on_hand, level.held, level.allocated, level.set_aside];
                if counts.iter().any(|units| *units < 0) || level.backordered < 0 {
                    broken.push(format!("{key} at {at}: negative {level:?}"));
                }
                if !counted && level.committed() > level.on_hand {
                    broken.push(format!("{key} at {at}: oversold {level:?}"));
                }
                let held = |s| matches!(s, HoldStatus::Held | HoldStatus::Waiting);
                if level.held != self.units(key, at, held, |l| l.qty) {
                    broken.push(format!("{key} at {at}: held {} is not its holds'", level.held));
                }
                let confirmed = |s| s == HoldStatus::Confirmed;
                if level.allocated != self.units(key, at, confirmed, HoldLine::undispatched) {
                    broken.push(format!("{key} at {at}: allocated {}", level.allocated));
                }
                let ledger = self.ledger.get(&(key.clone(), at.clone())).copied();
                if ledger.unwrap_or(0) != level.on_hand {
                    broken.push(format!("{key} at {at}: the ledger says {ledger:?}"));
                }
                let here = self.shelf.asides.iter();
                let aside: i64 = here
                    .filter(|(k, a)| k.sku_key == *key && k.warehouse == *at && a.live)
                    .map(|(_, a)| a.left)
                    .sum();
                if aside != level.set_aside {
                    broken.push(format!("{key} at {at}: set aside {}", level.set_aside));
                }
            }
            let waiting: i64 =
                self.queue.iter().filter(|w| w.sku_key == *key).map(|w| w.open).sum();
            if waiting != item.backordered() {
                broken.push(format!("{key}: {waiting} units are waited for"));
            }
        }
        broken
    }

    fn units(
        &self,
        key: &str,
        warehouse: &str,
        counts: impl Fn(HoldStatus) -> bool,
        of: impl Fn(&HoldLine) -> i64,
    ) -> i64 {
        let lines = self.holds.values().filter(|h| counts(h.status)).flat_map(|h| &h.lines);
        lines.filter(|l| l.sku_key == key && l.warehouse == warehouse).map(of).sum()
    }
}

#[cfg(test)]
mod tests;
