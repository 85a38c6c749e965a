//! The life of a hold: HELD, then CONFIRMED, RELEASED or EXPIRED.

use std::time::Duration;

use shared_types::Timestamp;

use super::level::{Delta, Moves};
use super::shelf::Wanted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldStatus {
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
            HoldStatus::Held => "HELD",
            HoldStatus::Confirmed => "CONFIRMED",
            HoldStatus::Released => "RELEASED",
            HoldStatus::Expired => "EXPIRED",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        use HoldStatus::{Confirmed, Expired, Held, Released};
        [Held, Confirmed, Released, Expired].into_iter().find(|s| s.as_str() == word)
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
}

impl HoldLine {
    fn undispatched(&self) -> i64 {
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
        HoldStatus::Held | HoldStatus::Confirmed if hold.requested() == *wanted => {
            ReserveStep::Repeat { expires_at: hold.expires_at }
        }
        HoldStatus::Held | HoldStatus::Confirmed => ReserveStep::Differs,
    }
}

impl Hold {
    /// What was asked for: its lines added up per sku.
    fn requested(&self) -> Wanted {
        let mut wanted = Wanted::new();
        for line in &self.lines {
            *wanted.entry(line.sku_key.clone()).or_default() += line.qty;
        }
        wanted
    }

    /// HELD becomes CONFIRMED: held−, allocated+.
    pub fn confirm(&self) -> Settlement {
        match self.status {
            HoldStatus::Held => Settlement::Moves(
                HoldStatus::Confirmed,
                self.moves(|l| Delta { held: -l.qty, allocated: l.qty, on_hand: 0 }),
            ),
            HoldStatus::Confirmed => Settlement::Already,
            HoldStatus::Released | HoldStatus::Expired => Settlement::Gone,
        }
    }

    /// Gives back what is held, or what is allocated and not dispatched.
    pub fn release(&self) -> Settlement {
        match self.status {
            HoldStatus::Held => Settlement::Moves(
                HoldStatus::Released,
                self.moves(|l| Delta { held: -l.qty, ..Delta::default() }),
            ),
            HoldStatus::Confirmed => Settlement::Moves(
                HoldStatus::Released,
                self.moves(|l| Delta { allocated: -l.undispatched(), ..Delta::default() }),
            ),
            // From now on a late reservation must not take the stock anew.
            HoldStatus::Expired => Settlement::Marks(HoldStatus::Released),
            HoldStatus::Released => Settlement::Already,
        }
    }

    /// Time ran out; pinned holds stay.
    pub fn expire(&self, now: Timestamp) -> Settlement {
        let due = self.expires_at.is_some_and(|at| at <= now);
        match self.status {
            HoldStatus::Held if due && !self.pinned => Settlement::Moves(
                HoldStatus::Expired,
                self.moves(|l| Delta { held: -l.qty, ..Delta::default() }),
            ),
            _ => Settlement::Gone,
        }
    }

    /// Pins or frees the hold and extends it once. False when it is gone; a
    /// confirmed one is there and needs no pin.
    pub fn pin(&mut self, pinned: bool, extend: Option<Duration>) -> bool {
        match self.status {
            HoldStatus::Confirmed => true,
            HoldStatus::Released | HoldStatus::Expired => false,
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
    pub fn take_back(&mut self, wanted: &Wanted) -> Result<Moves, ReturnRefusal> {
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

    fn moves(&self, of: impl Fn(&HoldLine) -> Delta) -> Moves {
        let mut moves = Moves::default();
        for line in &self.lines {
            moves.add(&line.sku_key, &line.warehouse, of(line));
        }
        moves
    }
}

#[cfg(test)]
mod tests;
