//! Payments and the provider behind it, whose answers get lost. The provider
//! does not recognise repeats.

use std::collections::BTreeMap;
use std::time::Duration;

use payments::domain::{AfterSilence, Patience, Silence, after_silence};
use shared_types::{AttemptId, PaymentId};
use uuid::Uuid;

use crate::events::{Source, Told};
use crate::network::{Outcome, Reply};
use crate::promises;
use crate::sabotage::Sabotage;
use crate::scenario::SECOND;
use crate::worker::TaskId;
use crate::world::{Happening, No, World, at, note};

/// As shipped.
const PATIENCE: Patience = Patience {
    settlement_time: Duration::from_secs(30),
    resend_within: Duration::from_secs(300),
    max_sends: 5,
};
/// Payments answers within so many milliseconds, decided or not.
const ANSWERS_WITHIN: i64 = 8_000;
/// How long a message to the provider may take at most.
const ON_THE_WAY: i64 = 20 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Charge,
    Refund,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Done,
    Declined,
    NotSent,
}

/// An attempt or a refund: recorded before it is sent.
#[derive(Clone, Debug)]
pub struct Job {
    pub no: No,
    pub kind: Kind,
    pub minor: i64,
    good: bool,
    pub fate: Fate,
    sends: u32,
    created_at: i64,
    quiet_from: i64,
    waits: Option<(TaskId, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Free,
    Processing,
    Captured,
}

/// One per order.
#[derive(Clone, Debug)]
struct Payment {
    id: PaymentId,
    standing: Standing,
    captured: i64,
    promised: i64,
}

/// A line in the provider's books.
#[derive(Clone, Debug)]
pub struct Entry {
    pub job: Uuid,
    pub no: No,
    pub kind: Kind,
    pub minor: i64,
    pub approved: bool,
}

/// The tables of payments, and the provider's ledger.
#[derive(Clone, Debug, Default)]
pub struct Till {
    jobs: BTreeMap<Uuid, Job>,
    payments: BTreeMap<No, Payment>,
    pub ledger: Vec<Entry>,
}

impl Till {
    /// What is known of an attempt; none when it never arrived.
    pub fn outcome_of(&self, attempt: Uuid) -> Option<Outcome> {
        let job = self.jobs.get(&attempt)?;
        let payment = self.payments.get(&job.no)?;
        Some(match job.fate {
            Fate::Open => Outcome::Pending,
            Fate::Done => Outcome::Captured(payment.id),
            Fate::Declined => Outcome::Declined,
            Fate::NotSent => Outcome::NotSent,
        })
    }

    /// What the provider took for an order and did not give back.
    pub fn net(&self, no: No) -> i64 {
        let of = |kind| {
            let entries = self.ledger.iter().filter(move |e| e.no == no && e.kind == kind);
            entries.filter(|e| e.approved).map(|e| e.minor).sum::<i64>()
        };
        of(Kind::Charge) - of(Kind::Refund)
    }

    pub fn charges(&self, no: No) -> usize {
        let charge = |e: &&Entry| e.no == no && e.kind == Kind::Charge && e.approved;
        self.ledger.iter().filter(charge).count()
    }
}

impl World {
    pub fn capture(
        &mut self,
        no: No,
        attempt: AttemptId,
        minor: i64,
        good: bool,
        answer_to: Option<(TaskId, u32)>,
    ) {
        if let Some(outcome) = self.till.outcome_of(attempt.0) {
            return self.reply(no, answer_to, Reply::Attempt(Some(outcome)));
        }
        let id = PaymentId(self.fresh_id());
        let fresh = Payment { id, standing: Standing::Free, captured: 0, promised: 0 };
        let payment = self.till.payments.entry(no).or_insert(fresh);
        let taken = match payment.standing {
            Standing::Free => None,
            Standing::Captured if payment.promised == 0 => {
                Some(Reply::Attempt(Some(Outcome::Captured(payment.id))))
            }
            Standing::Captured | Standing::Processing => Some(Reply::Refused),
        };
        if let Some(reply) = taken {
            return self.reply(no, answer_to, reply);
        }
        payment.standing = Standing::Processing;
        note!(self, Some(no), "payments: records attempt {:x}", attempt.0.as_u128());
        self.begins(attempt.0, no, Kind::Charge, minor, good, answer_to);
    }

    pub fn refund(&mut self, no: No, refund: Uuid, minor: i64, answer_to: Option<(TaskId, u32)>) {
        let again = self.sabotage == Some(Sabotage::RefundAgain);
        let known = self.till.jobs.get(&refund).map(|job| job.fate).filter(|_| !again);
        if let Some(fate) = known {
            let done = fate == Fate::Done;
            let reply = if done { Reply::Refunded } else { Reply::RefundPending };
            return self.reply(no, answer_to, reply);
        }
        let payment = self.till.payments.get_mut(&no);
        let Some(payment) = payment.filter(|p| again || p.captured - p.promised >= minor) else {
            return self.reply(no, answer_to, Reply::RefundRefused);
        };
        payment.promised += minor;
        let id = if self.till.jobs.contains_key(&refund) { self.fresh_id() } else { refund };
        note!(self, Some(no), "payments: records a refund of {minor}");
        self.begins(id, no, Kind::Refund, minor, true, answer_to);
    }

    fn begins(
        &mut self,
        id: Uuid,
        no: No,
        kind: Kind,
        minor: i64,
        good: bool,
        waits: Option<(TaskId, u32)>,
    ) {
        let now = self.now;
        let (fate, quiet_from) = (Fate::Open, now + 5 * SECOND);
        let job = Job { no, kind, minor, good, fate, sends: 0, created_at: now, quiet_from, waits };
        self.till.jobs.insert(id, job);
        self.commits += 1;
        self.later(ANSWERS_WITHIN, Happening::Impatient { job: id });
        let crashes = if self.is_calm() { 0 } else { self.scenario.weather.crashes };
        if self.dice(no).permille(crashes) {
            note!(self, Some(no), "payments DIES before it sends");
            return self.later(5 * SECOND, Happening::Ask { job: id });
        }
        self.later(10, Happening::Send { job: id });
    }

    /// One request to the provider.
    pub fn sends(&mut self, id: Uuid) {
        let Some(job) = self.till.jobs.get_mut(&id).filter(|job| job.fate == Fate::Open) else {
            return;
        };
        job.sends += 1;
        job.quiet_from = self.now;
        let (no, sends) = (job.no, job.sends);
        let loss = if self.is_calm() { 0 } else { self.scenario.weather.loss };
        if !self.dice(no).permille(loss) {
            self.takes(id);
            return self.learns(id);
        }
        match self.dice(no).range(0, 3) {
            0 if sends < PATIENCE.max_sends => {
                note!(self, Some(no), "payments: the provider cannot be reached");
                let pause = self.dice(no).range(100, 2_000);
                return self.later(pause, Happening::Send { job: id });
            }
            0 => return self.settles(id, Fate::NotSent),
            1 => note!(self, Some(no), "payments: the request is lost"),
            2 => {
                note!(self, Some(no), "payments: the provider's answer is lost");
                self.takes(id);
            }
            _ => {
                let delay = self.dice(no).range(1, ON_THE_WAY);
                note!(self, Some(no), "payments: the request is on its way for {delay} ms");
                self.later(delay, Happening::Takes { job: id });
            }
        }
        if self.sabotage == Some(Sabotage::BlindRetry) {
            return self.later(500, Happening::Send { job: id });
        }
        self.later(100, Happening::Ask { job: id });
    }

    /// The provider does as it was told, every time it is told.
    pub fn takes(&mut self, id: Uuid) {
        let Some(job) = self.till.jobs.get(&id).cloned() else { return };
        let (no, kind, minor) = (job.no, job.kind, job.minor);
        let approved = job.good || kind == Kind::Refund;
        note!(self, Some(no), "provider: {kind:?} of {minor}, approved {approved}");
        self.till.ledger.push(Entry { job: id, no, kind, minor, approved });
        promises::of_money(self, no);
    }

    /// Asks what became of it.
    pub fn asks(&mut self, id: Uuid) {
        let Some(job) = self.till.jobs.get(&id).filter(|job| job.fate == Fate::Open).cloned()
        else {
            return;
        };
        let (no, now) = (job.no, self.now);
        let again = self.dice(no).range(SECOND, 5 * SECOND);
        let loss = if self.is_calm() { 0 } else { self.scenario.weather.loss };
        if self.dice(no).permille(loss) {
            note!(self, Some(no), "payments: asks and hears nothing");
            return self.later(again, Happening::Ask { job: id });
        }
        if self.till.ledger.iter().any(|entry| entry.job == id) {
            return self.learns(id);
        }
        let silence = Silence {
            now: at(now),
            quiet_from: at(job.quiet_from),
            created_at: at(job.created_at),
            sends: job.sends,
        };
        match after_silence(silence, PATIENCE) {
            AfterSilence::AskAgain => self.later(again, Happening::Ask { job: id }),
            AfterSilence::SendAgain => self.sends(id),
            AfterSilence::GiveUp if job.kind == Kind::Refund => self.sends(id),
            AfterSilence::GiveUp => self.settles(id, Fate::NotSent),
        }
    }

    /// The provider's answer.
    fn learns(&mut self, id: Uuid) {
        let approved = self.till.ledger.iter().any(|entry| entry.job == id && entry.approved);
        self.settles(id, if approved { Fate::Done } else { Fate::Declined });
    }

    fn settles(&mut self, id: Uuid, fate: Fate) {
        let Some(job) = self.till.jobs.get_mut(&id).filter(|job| job.fate == Fate::Open) else {
            return;
        };
        job.fate = fate;
        let (no, kind, minor, waits) = (job.no, job.kind, job.minor, job.waits.take());
        let Some(payment) = self.till.payments.get_mut(&no) else { return };
        let told = match (kind, fate) {
            (Kind::Refund, _) => Some(Told::Refunded { refund: id }),
            (Kind::Charge, Fate::Done) => {
                payment.standing = Standing::Captured;
                payment.captured += minor;
                Some(Told::Captured { payment: payment.id, minor })
            }
            (Kind::Charge, _) => {
                payment.standing = Standing::Free;
                (fate == Fate::Declined).then_some(Told::Declined)
            }
        };
        self.commits += 1;
        note!(self, Some(no), "payments: {kind:?} is {fate:?}");
        if let Some(told) = told {
            self.tell(Source::Money, no, told);
        }
        let reply = match kind {
            Kind::Charge => Reply::Attempt(self.till.outcome_of(id)),
            Kind::Refund => Reply::Refunded,
        };
        self.reply(no, waits, reply);
    }

    /// Whoever waits for an answer gets one.
    pub fn is_impatient(&mut self, id: Uuid) {
        let Some(job) = self.till.jobs.get_mut(&id) else { return };
        let (no, kind, waits) = (job.no, job.kind, job.waits.take());
        let reply = match kind {
            Kind::Charge => Reply::Attempt(Some(Outcome::Pending)),
            Kind::Refund => Reply::RefundPending,
        };
        self.reply(no, waits, reply);
    }
}
