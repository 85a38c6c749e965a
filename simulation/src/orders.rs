//! The tables of `orders`: placing, paying, canceling, and storing decisions.

use std::collections::BTreeMap;

use orders::domain::saga::{Decision, Effect, Fact, Input, RefundState, SAGA, Saga, Shelf};
use shared_types::orders::OrderStatus;
use shared_types::{AttemptId, Timestamp};
use uuid::Uuid;

use crate::events::{Source, Told};
use crate::network::{Call, Reply};
use crate::promises;
use crate::sabotage::Sabotage;
use crate::scenario::{Operation, SECOND};
use crate::worker::{LEASE, Task, TaskId, Work};
use crate::world::{Happening, No, Process, World, name, note};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub owner: Process,
    pub until: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Refund {
    pub id: Uuid,
    pub minor: i64,
    pub actor: String,
    pub is: Option<RefundState>,
}

/// An order with its saga.
#[derive(Clone, Debug)]
pub struct Row {
    pub saga: Saga,
    pub version: u64,
    pub lease: Option<Lease>,
    /// Which of the polls that were planned still counts.
    pub round: u64,
    /// Whether the card of each attempt is good.
    pub attempts: BTreeMap<AttemptId, bool>,
    pub refunds: Vec<Refund>,
    pub history: Vec<OrderStatus>,
}

/// A row as it was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub saga: Saga,
    pub version: u64,
    pub lease: Option<Lease>,
    pub refund: Option<Refund>,
}

/// How often a client sends the same placement.
const CLIENT_TRIES: u32 = 4;
/// How often a placement asks inventory.
const RESERVE_TRIES: u32 = 3;

impl World {
    /// The same request again finds the order, or its units.
    pub fn arrives(&mut self, no: No, nth: u32) {
        let placing = |task: &Task| task.no == no && matches!(task.work, Work::Placing { .. });
        if self.rows.contains_key(&no) || nth >= CLIENT_TRIES {
            return;
        }
        let pause = self.dice(no).range(6 * SECOND, 20 * SECOND);
        self.later(pause, Happening::Arrives { no, nth: nth + 1 });
        if self.tasks.values().any(placing) {
            return;
        }
        let loss = if self.is_calm() { 0 } else { self.scenario.weather.loss };
        if self.dice(no).permille(loss / 2) {
            return;
        }
        let Some(process) = self.any_process(no) else { return };
        note!(self, Some(no), "{} is asked to place it", name(process));
        if self.dies(process, no, "before the stock is held") {
            return;
        }
        let id = self.begin(Task::new(process, no, Work::Placing { tries: 1 }));
        self.call(no, id, 0, Call::Reserve { accept_backorder: true });
    }

    pub fn placing_answered(&mut self, id: TaskId, tries: u32, reply: &Reply) {
        let Some(task) = self.tasks.get(&id).cloned() else { return };
        let (process, no) = (task.process, task.no);
        let shelf = match reply {
            Reply::Away if tries < RESERVE_TRIES => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.work = Work::Placing { tries: tries + 1 };
                }
                let call = Call::Reserve { accept_backorder: true };
                return self.call(no, id, task.seq, call);
            }
            Reply::Held(expires_at) => Shelf::Held(*expires_at),
            Reply::Waiting => Shelf::Waiting,
            Reply::Away => Shelf::Unknown,
            _ => {
                note!(self, Some(no), "is refused: stock_short");
                self.tasks.remove(&id);
                return;
            }
        };
        if self.dies(process, no, "before the order is committed") {
            return;
        }
        self.tasks.remove(&id);
        self.places(process, no, shelf);
    }

    fn places(&mut self, process: Process, no: No, shelf: Shelf) {
        let Some(buyer) = self.scenario.buyers[no].clone() else { return };
        let now = self.clock(process);
        let attempt = buyer.automatic.then(|| AttemptId(self.fresh_id()));
        let saga = Saga::placed(buyer.total_minor, shelf, attempt, &self.rules, now);
        note!(self, Some(no), "{} places it: {:?}, {shelf:?}", name(process), saga.state);
        let due = saga.next_run_at.is_some_and(|at| at <= now);
        let good = buyer.cards.first().copied().unwrap_or(true);
        let row = Row {
            lease: due.then(|| Lease { owner: process, until: now.plus(LEASE) }),
            saga,
            version: 1,
            round: 0,
            attempts: attempt.map(|id| (id, good)).into_iter().collect(),
            refunds: Vec::new(),
            history: vec![OrderStatus::Pending],
        };
        self.rows.insert(no, row);
        self.tell(Source::Orders, no, Told::Created { pending: shelf == Shelf::Unknown });
        self.committed(no);
        if let Some(after) = buyer.pays_after.filter(|_| !buyer.automatic) {
            self.later(after, Happening::Pays { no, card: 0, tries: 0 });
            if buyer.pays_twice_at_once {
                self.later(after + 3, Happening::Pays { no, card: 0, tries: 0 });
            }
        }
        if let Some(after) = buyer.cancels_after {
            self.later(after, Happening::Cancels { no, staff: false });
        }
        if let Some(after) = buyer.support_cancels_after {
            self.later(after, Happening::Cancels { no, staff: true });
        }
        if let Some((after, what)) = buyer.operator {
            self.later(after, Happening::Operates { no, what });
        }
        if !self.dies(process, no, "after the order is committed") && due {
            self.wake(process, no);
        }
    }

    /// The buyer pays, with the next card when the last one was no good.
    pub fn pays(&mut self, no: No, card: usize, tries: u32) {
        let good = self.scenario.buyers[no].as_ref().and_then(|b| b.cards.get(card)).copied();
        let (Some(good), Some(process)) = (good, self.any_process(no)) else { return };
        let now = self.clock(process);
        let attempt = AttemptId(self.fresh_id());
        let Some(loaded) = self.loaded(no) else { return };
        let pause = self.dice(no).range(5 * SECOND, 40 * SECOND);
        match loaded.saga.pay(attempt, now) {
            Ok(saga) => {
                if self.dies(process, no, "before a payment is committed") {
                    return self.later(pause, Happening::Pays { no, card, tries: tries + 1 });
                }
                note!(self, Some(no), "/pay with card {card}, good {good}");
                let lease = self.lease_beside(process, &loaded, &saga);
                if let Some(row) = self.rows.get_mut(&no) {
                    row.attempts.insert(attempt, good);
                    row.saga = saga;
                    row.lease = lease;
                    row.version += 1;
                }
                self.committed(no);
                self.later(pause, Happening::Pays { no, card: card + 1, tries: 0 });
                if !self.dies(process, no, "after a payment is committed") {
                    self.wake(process, no);
                }
            }
            Err(refusal) => {
                note!(self, Some(no), "/pay is refused: {refusal:?}");
                if loaded.saga.status == OrderStatus::Pending && tries < 20 {
                    self.later(pause, Happening::Pays { no, card, tries: tries + 1 });
                }
            }
        }
    }

    pub fn cancels(&mut self, no: No, staff: bool) {
        let (Some(process), Some(loaded)) = (self.any_process(no), self.loaded(no)) else { return };
        let now = self.clock(process);
        if !staff && loaded.saga.status != OrderStatus::Pending {
            return;
        }
        let actor = if staff { "support" } else { "buyer" };
        match loaded.saga.cancel("request", actor, now) {
            Ok(decision) => self.decided_by_people(process, no, &loaded, decision, actor),
            Err(refusal) => note!(self, Some(no), "{actor} may not cancel: {refusal:?}"),
        }
    }

    pub fn operates(&mut self, no: No, what: Operation) {
        let (Some(process), Some(loaded)) = (self.any_process(no), self.loaded(no)) else { return };
        let now = self.clock(process);
        let decision = match what {
            Operation::Retry => loaded.saga.retry(now),
            Operation::Compensate => loaded.saga.compensate("operator", now),
        };
        match decision {
            Ok(decision) => self.decided_by_people(process, no, &loaded, decision, "operator"),
            Err(refusal) => note!(self, Some(no), "{what:?} is refused: {refusal:?}"),
        }
    }

    fn decided_by_people(
        &mut self,
        process: Process,
        no: No,
        loaded: &Loaded,
        decision: Decision,
        who: &str,
    ) {
        if self.dies(process, no, "before a request is committed") {
            return;
        }
        note!(
            self,
            Some(no),
            "{who} decides: {:?} -> {:?}",
            loaded.saga.state,
            decision.saga.state
        );
        let lease = self.lease_beside(process, loaded, &decision.saga);
        self.store(process, no, loaded, decision, lease);
        if !self.dies(process, no, "after a request is committed") {
            self.wake(process, no);
        }
    }

    pub fn loaded(&self, no: No) -> Option<Loaded> {
        let row = self.rows.get(&no)?;
        let runs = |refund: &&Refund| matches!(refund.is, None | Some(RefundState::Restocking));
        let refund = row.refunds.iter().find(runs).cloned();
        let saga = Saga { refund_waits: refund.is_some(), ..row.saga.clone() };
        Some(Loaded { saga, version: row.version, lease: row.lease, refund })
    }

    /// Whoever works on it now goes on, else it is ours when it is due.
    fn lease_beside(&self, process: Process, loaded: &Loaded, saga: &Saga) -> Option<Lease> {
        let now = self.clock(process);
        let due = saga.next_run_at.is_some_and(|at| at <= now);
        let ours = || due.then(|| Lease { owner: process, until: now.plus(LEASE) });
        loaded.lease.filter(|lease| lease.until > now).or_else(ours)
    }

    /// An event says something about an order; under its lock.
    pub fn is_told(&mut self, process: Process, no: No, input: Input) {
        let now = self.clock(process);
        let Some(loaded) = self.loaded(no) else { return };
        let Some(decision) = loaded.saga.decide(input, &self.rules, now) else { return };
        let lease = self.lease_beside(process, &loaded, &decision.saga);
        self.store(process, no, &loaded, decision, lease);
        self.wake(process, no);
    }

    /// Makes a saga due now without deciding anything.
    pub fn nudge(&mut self, process: Process, no: No) {
        let now = self.clock(process);
        let Some(row) = self.rows.get_mut(&no) else { return };
        if row.saga.next_run_at.is_some_and(|at| at > now) {
            row.saga.next_run_at = Some(now);
        }
        self.committed(no);
        self.wake(process, no);
    }

    /// Stores a decision with its effects; false when the saga has changed
    /// since it was loaded.
    pub fn store(
        &mut self,
        process: Process,
        no: No,
        loaded: &Loaded,
        decision: Decision,
        lease: Option<Lease>,
    ) -> bool {
        let Decision { mut saga, effects } = decision;
        let another = effects.contains(&Effect::AttemptAgain).then(|| AttemptId(self.fresh_id()));
        let blind = self.sabotage == Some(Sabotage::StaleWrite);
        let Some(row) = self.rows.get_mut(&no) else { return false };
        if row.version != loaded.version && !blind {
            return false;
        }
        let from = row.saga.status;
        if let Some(another) = another {
            saga.attempt = Some(another);
            let good = loaded.saga.attempt.and_then(|old| row.attempts.get(&old)).copied();
            row.attempts.insert(another, good.unwrap_or(true));
        }
        row.saga = saga;
        row.lease = lease;
        row.version += 1;
        let to = row.saga.status;
        if from != to {
            row.history.push(to);
        }
        promises::of_status(self, no, from, to);
        for effect in effects {
            self.effect(no, loaded, effect);
        }
        note!(self, Some(no), "{} stores {to}, {:?}", name(process), self.rows[&no].saga.state);
        self.committed(no);
        true
    }

    fn effect(&mut self, no: No, loaded: &Loaded, effect: Effect) {
        match effect {
            // The trace has the one, the row the other.
            Effect::History { .. } | Effect::AttemptEnded(_) | Effect::AttemptAgain => {}
            Effect::Publish(fact) => {
                let told = match fact {
                    Fact::Paid => Told::Paid,
                    Fact::Confirmed => Told::OrderConfirmed,
                    Fact::Canceled => Told::Canceled,
                    Fact::Failed => Told::Failed,
                };
                self.tell(Source::Orders, no, told);
            }
            Effect::RefundRest { actor, .. } => {
                let Some(row) = self.rows.get(&no) else { return };
                let counts = |r: &&Refund| r.is != Some(RefundState::Failed);
                let promised: i64 = row.refunds.iter().filter(counts).map(|r| r.minor).sum();
                let rest = row.saga.captured_minor - promised;
                self.promise_refund(no, rest, actor);
            }
            Effect::RefundMinor { minor, .. } => self.promise_refund(no, minor, SAGA.to_owned()),
            Effect::RefundAgain => {
                let Some(row) = self.rows.get_mut(&no) else { return };
                let failed = |r: &Refund| r.is == Some(RefundState::Failed);
                let again: Vec<Refund> =
                    row.refunds.iter().filter(|r| failed(r)).cloned().collect();
                row.refunds.retain(|r| !failed(r));
                for refund in again {
                    self.promise_refund(no, refund.minor, refund.actor);
                }
            }
            Effect::RefundIs(state) => {
                let id = loaded.refund.as_ref().map(|refund| refund.id);
                let Some(row) = self.rows.get_mut(&no) else { return };
                for refund in row.refunds.iter_mut().filter(|r| Some(r.id) == id) {
                    refund.is = Some(state);
                }
            }
        }
    }

    fn promise_refund(&mut self, no: No, minor: i64, actor: String) {
        let id = self.fresh_id();
        if let Some(row) = self.rows.get_mut(&no).filter(|_| minor > 0) {
            row.refunds.push(Refund { id, minor, actor, is: None });
        }
    }

    /// After every transaction of `orders`: polling finds what nobody works on.
    pub fn committed(&mut self, no: No) {
        self.commits += 1;
        let Some(row) = self.rows.get_mut(&no) else { return };
        row.round += 1;
        if row.saga.next_run_at.is_some() {
            let round = row.round;
            self.later_poll(no, round);
        }
    }
}
