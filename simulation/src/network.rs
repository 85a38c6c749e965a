//! Calls between services: lost on the way or on the way back, late, doubled.

use shared_types::{AttemptId, PaymentId, Timestamp};
use uuid::Uuid;

use crate::scenario::SECOND;
use crate::worker::TaskId;
use crate::world::{Happening, No, World, note};

/// What one service asks of another.
#[derive(Clone, Debug)]
pub enum Call {
    Reserve { accept_backorder: bool },
    Pin { pinned: bool, extend: bool },
    Confirm,
    Release,
    Capture { attempt: AttemptId, minor: i64, good: bool },
    GetAttempt { attempt: AttemptId },
    Refund { refund: Uuid, minor: i64 },
}

impl Call {
    fn is_stock(&self) -> bool {
        matches!(self, Call::Reserve { .. } | Call::Pin { .. } | Call::Confirm | Call::Release)
    }

    /// How long the caller waits, milliseconds; as shipped.
    pub fn limit_ms(&self) -> i64 {
        match self {
            Call::Reserve { .. } => 1_500,
            Call::Capture { .. } | Call::Refund { .. } => 10_000,
            _ => 2_000,
        }
    }
}

/// What payments knows of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Captured(PaymentId),
    Declined,
    NotSent,
    Pending,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Held(Option<Timestamp>),
    Waiting,
    Short,
    Pinned {
        held: bool,
        expires_at: Option<Timestamp>,
    },
    Confirmed(bool),
    Released,
    Attempt(Option<Outcome>),
    Refunded,
    RefundPending,
    RefundRefused,
    /// The callee would not.
    Refused,
    /// No answer, or nobody there.
    Away,
}

impl World {
    /// Sends `call`; exactly one answer counts, silence is one.
    pub fn call(&mut self, no: No, task: TaskId, seq: u32, call: Call) {
        let limit = call.limit_ms();
        self.later(limit, Happening::Answer { task, seq, reply: Reply::Away });
        let answer_to = Some((task, seq));
        let there = self.dice(no).range(1, 30);
        let calm = self.is_calm();
        let (loss, twice) = match calm {
            true => (0, 0),
            false => (self.scenario.weather.loss, self.scenario.weather.duplicates),
        };
        if self.dice(no).permille(twice) {
            let delay = self.dice(no).range(0, 20 * SECOND);
            note!(self, Some(no), "{call:?} will arrive a second time");
            self.later(delay, Happening::Deliver { call: call.clone(), no, answer_to: None });
        }
        if !self.dice(no).permille(loss) {
            self.later(there, Happening::Deliver { call, no, answer_to });
            return;
        }
        match self.dice(no).range(0, 2) {
            0 => note!(self, Some(no), "{call:?} is lost"),
            1 => {
                note!(self, Some(no), "the answer to {call:?} will be lost");
                self.later(there, Happening::Deliver { call, no, answer_to: None });
            }
            _ => {
                let late = limit + self.dice(no).range(1, 5 * SECOND);
                note!(self, Some(no), "{call:?} will come too late");
                self.later(late, Happening::Deliver { call, no, answer_to: None });
            }
        }
    }

    pub fn reply(&mut self, no: No, answer_to: Option<(TaskId, u32)>, reply: Reply) {
        if let Some((task, seq)) = answer_to {
            let back = self.dice(no).range(1, 30);
            self.later(back, Happening::Answer { task, seq, reply });
        }
    }

    pub fn delivers(&mut self, call: Call, no: No, answer_to: Option<(TaskId, u32)>) {
        let now = self.now;
        let away = |(from, until): &(i64, i64)| (*from..*until).contains(&now);
        if call.is_stock() && self.scenario.weather.stock_away.iter().any(away) {
            return self.reply(no, answer_to, Reply::Away);
        }
        match call {
            Call::Capture { attempt, minor, good } => {
                self.capture(no, attempt, minor, good, answer_to);
            }
            Call::GetAttempt { attempt } => {
                let reply = Reply::Attempt(self.till.outcome_of(attempt.0));
                self.reply(no, answer_to, reply);
            }
            Call::Refund { refund, minor } => self.refund(no, refund, minor, answer_to),
            stock => {
                let reply = self.stock(no, &stock);
                note!(self, Some(no), "stock: {stock:?} -> {reply:?}");
                self.reply(no, answer_to, reply);
            }
        }
    }
}
