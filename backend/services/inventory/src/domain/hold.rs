//! The life of a hold: HELD, then CONFIRMED, RELEASED or EXPIRED; WAITING
//! before, when units have to come first.

use std::time::Duration;

use shared_types::Timestamp;
use uuid::Uuid;

use super::level::{AsideKey, Delta, Moves};
use super::shelf::{Ask, Pick, Units, Wanted};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldStatus {
    /// Some units have to come first; no end.
    Waiting,
    /// Units are kept until it expires.
    Held,
    /// The order is paid: units are allocated.
    Confirmed,
    /// Given back on command; final.
    Released,
    /// Its time ran out; the stock may be taken anew.
    Expired,
}

impl HoldStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            HoldStatus::Waiting => "WAITING",
            HoldStatus::Held => "HELD",
            HoldStatus::Confirmed => "CONFIRMED",
            HoldStatus::Released => "RELEASED",
            HoldStatus::Expired => "EXPIRED",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        use HoldStatus::{Confirmed, Expired, Held, Released, Waiting};
        [Waiting, Held, Confirmed, Released, Expired].into_iter().find(|s| s.as_str() == word)
    }
}

/// Units of one sku from one warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldLine {
    pub sku_key: String,
    pub warehouse: String,
    pub qty: i64,
    pub dispatched: i64,
    /// Taken out of the order before dispatch.
    pub returned: i64,
    /// Dispatched units that came back.
    pub brought_back: i64,
    /// The flash sale whose set-aside the units come from.
    pub sale: Option<Uuid>,
}

impl HoldLine {
    pub fn of(pick: &Pick) -> Self {
        HoldLine {
            sku_key: pick.sku_key.clone(),
            warehouse: pick.warehouse.clone(),
            qty: pick.qty,
            dispatched: 0,
            returned: 0,
            brought_back: 0,
            sale: pick.sale,
        }
    }

    pub fn undispatched(&self) -> i64 {
        self.qty - self.dispatched - self.returned
    }

    fn away(&self) -> i64 {
        self.dispatched - self.brought_back
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub status: HoldStatus,
    pub expires_at: Option<Timestamp>,
    pub pinned: bool,
    pub extended: bool,
    pub lines: Vec<HoldLine>,
    /// Units that have to come first.
    pub open: Units,
}

/// What a reservation for an order comes to before stock is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveStep {
    /// The order is new.
    Take,
    /// Its hold expired: take the stock anew.
    TakeAgain,
    /// The same request again: the same answer.
    Repeat { expires_at: Option<Timestamp> },
    /// Another request under the same order id.
    Differs,
    /// The order was given up.
    Ended,
}

/// What a command makes of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Units move, and the hold gets this status.
    Moves(HoldStatus, Moves),
    /// Only the status changes.
    Marks(HoldStatus),
    /// It is as commanded already.
    Already,
    /// There is no hold that could be settled so.
    Gone,
}

/// Why units cannot be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnRefusal {
    NotConfirmed,
    /// More than the order still has.
    Exceeds {
        sku_key: String,
        left: i64,
    },
}

pub fn reserve(hold: Option<&Hold>, wanted: &Wanted) -> ReserveStep {
    let Some(hold) = hold else { return ReserveStep::Take };
    match hold.status {
        HoldStatus::Released => ReserveStep::Ended,
        HoldStatus::Expired => ReserveStep::TakeAgain,
        _ if hold.requested() == *wanted => ReserveStep::Repeat { expires_at: hold.expires_at },
        HoldStatus::Waiting | HoldStatus::Held | HoldStatus::Confirmed => ReserveStep::Differs,
    }
}

impl Hold {
    /// A hold of these units until `expires_at`; waiting when some are open.
    pub fn new(picks: &[Pick], open: Units, expires_at: Timestamp) -> Self {
        let waits = !open.is_empty();
        Hold {
            status: if waits { HoldStatus::Waiting } else { HoldStatus::Held },
            expires_at: (!waits).then_some(expires_at),
            pinned: false,
            extended: false,
            lines: picks.iter().map(HoldLine::of).collect(),
            open,
        }
    }

    /// What was asked for: its lines added up.
    fn requested(&self) -> Wanted {
        let mut wanted = Wanted::new();
        for line in &self.lines {
            let ask = Ask { sku_key: line.sku_key.clone(), sale: line.sale };
            *wanted.entry(ask).or_default() += line.qty;
        }
        for (sku_key, units) in &self.open {
            *wanted.entry(Ask::ordinary(sku_key.clone())).or_default() += units;
        }
        wanted
    }

    /// Units came. True when nothing is open any more: it is held from now on,
    /// until `expires_at`.
    pub fn receive(&mut self, picks: &[Pick], expires_at: Timestamp) -> bool {
        for pick in picks {
            let of = |l: &&mut HoldLine| {
                l.sku_key == pick.sku_key && l.warehouse == pick.warehouse && l.sale == pick.sale
            };
            match self.lines.iter_mut().find(of) {
                Some(line) => line.qty += pick.qty,
                None => self.lines.push(HoldLine::of(pick)),
            }
            if let Some(open) = self.open.get_mut(&pick.sku_key) {
                *open -= pick.qty;
            }
        }
        self.open.retain(|_, open| *open > 0);
        if self.status == HoldStatus::Waiting && self.open.is_empty() {
            self.status = HoldStatus::Held;
            self.expires_at = Some(expires_at);
            return true;
        }
        false
    }

    /// HELD becomes CONFIRMED: held−, allocated+.
    pub fn confirm(&self) -> Settlement {
        match self.status {
            HoldStatus::Held => {
                let mut moves = Moves::default();
                for line in &self.lines {
                    let delta = Delta { held: -line.qty, allocated: line.qty, ..Delta::default() };
                    moves.add(&line.sku_key, &line.warehouse, delta);
                }
                Settlement::Moves(HoldStatus::Confirmed, moves)
            }
            HoldStatus::Confirmed => Settlement::Already,
            HoldStatus::Waiting | HoldStatus::Released | HoldStatus::Expired => Settlement::Gone,
        }
    }

    /// Gives back what is held, or what is allocated and not dispatched. The
    /// moves have to be routed over a shelf.
    pub fn release(&self) -> Settlement {
        match self.status {
            HoldStatus::Waiting | HoldStatus::Held => {
                Settlement::Moves(HoldStatus::Released, self.unheld())
            }
            HoldStatus::Confirmed => {
                let give = |l: &HoldLine| {
                    let units = l.undispatched();
                    (units, Delta { allocated: -units, ..Delta::default() })
                };
                Settlement::Moves(HoldStatus::Released, self.giving_back(give))
            }
            // From now on a late reservation must not take the stock anew.
            HoldStatus::Expired => Settlement::Marks(HoldStatus::Released),
            HoldStatus::Released => Settlement::Already,
        }
    }

    /// Time ran out; pinned holds stay. The moves have to be routed.
    pub fn expire(&self, now: Timestamp) -> Settlement {
        let due = self.expires_at.is_some_and(|at| at <= now);
        match self.status {
            HoldStatus::Held if due && !self.pinned => {
                Settlement::Moves(HoldStatus::Expired, self.unheld())
            }
            _ => Settlement::Gone,
        }
    }

    fn unheld(&self) -> Moves {
        self.giving_back(|l| (l.qty, Delta { held: -l.qty, ..Delta::default() }))
    }

    /// Units and change of every line; units of a sale go back to it.
    fn giving_back(&self, of: impl Fn(&HoldLine) -> (i64, Delta)) -> Moves {
        let mut moves = Moves::default();
        for line in &self.lines {
            let (units, delta) = of(line);
            moves.add(&line.sku_key, &line.warehouse, delta);
            if let Some(sale) = line.sale.filter(|_| units > 0) {
                let (sku_key, warehouse) = (line.sku_key.clone(), line.warehouse.clone());
                moves.add_aside(AsideKey { sale, sku_key, warehouse }, units);
            }
        }
        for (sku_key, open) in &self.open {
            moves.add_wait(sku_key, -open);
        }
        moves
    }

    /// Pins or frees the hold and extends it once. False when it is gone; a
    /// confirmed one is there and needs no pin.
    pub fn pin(&mut self, pinned: bool, extend: Option<Duration>) -> bool {
        match self.status {
            HoldStatus::Confirmed => true,
            HoldStatus::Waiting | HoldStatus::Released | HoldStatus::Expired => false,
            HoldStatus::Held => {
                self.pinned = pinned;
                if let Some(by) = extend.filter(|_| !self.extended) {
                    self.expires_at = self.expires_at.map(|at| at.plus(by));
                    self.extended = true;
                }
                true
            }
        }
    }

    /// Takes units out of a confirmed order: undispatched ones first
    /// (allocated−), then dispatched ones back into stock (onHand+).
    pub fn take_back(&mut self, wanted: &Units) -> Result<Moves, ReturnRefusal> {
        if self.status != HoldStatus::Confirmed {
            return Err(ReturnRefusal::NotConfirmed);
        }
        let mut moves = Moves::default();
        for (key, qty) in wanted {
            let left: i64 = self.of(key).map(|l| l.undispatched() + l.away()).sum();
            if *qty > left {
                return Err(ReturnRefusal::Exceeds { sku_key: key.clone(), left });
            }
            let mut open = *qty;
            for line in self.lines.iter_mut().filter(|l| l.sku_key == *key) {
                let units = open.min(line.undispatched());
                line.returned += units;
                open -= units;
                let delta = Delta { allocated: -units, ..Delta::default() };
                moves.add(key, &line.warehouse, delta);
            }
            for line in self.lines.iter_mut().filter(|l| l.sku_key == *key) {
                let units = open.min(line.away());
                line.brought_back += units;
                open -= units;
                let delta = Delta { on_hand: units, ..Delta::default() };
                moves.add(key, &line.warehouse, delta);
            }
        }
        Ok(moves)
    }

    fn of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a HoldLine> {
        self.lines.iter().filter(move |l| l.sku_key == key)
    }
}

#[cfg(test)]
mod tests;
