//! The saga as a picture: what is done, what runs, what was undone.

use shared_types::orders::OrderStatus;

use super::{Saga, State};
use crate::domain::status::is_paid;

/// How one step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Pending,
    /// For the buyer, or for units to come.
    Waiting,
    Running,
    Stuck,
    Done,
    Failed,
    /// Never needed.
    Skipped,
}

impl Mark {
    pub const fn as_str(self) -> &'static str {
        match self {
            Mark::Pending => "pending",
            Mark::Waiting => "waiting",
            Mark::Running => "running",
            Mark::Stuck => "stuck",
            Mark::Done => "done",
            Mark::Failed => "failed",
            Mark::Skipped => "skipped",
        }
    }
}

impl Saga {
    /// Steps in their order, those that undo last.
    pub fn diagram(&self) -> [(&'static str, Mark); 6] {
        let running = if self.stuck.is_some() { Mark::Stuck } else { Mark::Running };
        let over = matches!(self.status, OrderStatus::Canceled | OrderStatus::Failed);
        let cause = self.end.as_ref().map_or("", |end| end.cause.as_str());
        let ahead = if over { Mark::Skipped } else { Mark::Pending };
        let reserve = match self.state {
            State::Reserving => running,
            State::Backordered => Mark::Waiting,
            _ if over && matches!(cause, "stock_short" | "timeout") => Mark::Failed,
            _ => Mark::Done,
        };
        let pay = match self.state {
            State::Authorizing | State::Deciding => running,
            State::AwaitingPayment => Mark::Waiting,
            _ if self.captured_minor > 0 => Mark::Done,
            _ if over && self.declines > 0 => Mark::Failed,
            _ => ahead,
        };
        let confirm = match self.state {
            State::Confirming => running,
            _ if cause == "stock_lost" => Mark::Failed,
            _ if is_paid(self.status) && self.status != OrderStatus::Paid => Mark::Done,
            _ => ahead,
        };
        let refund = match self.state {
            State::Refunding => running,
            _ if self.refund_waits => running,
            State::Done if self.stuck.is_some() => Mark::Stuck,
            _ if self.refunded_minor > 0 => Mark::Done,
            _ => Mark::Skipped,
        };
        let release = match self.state {
            State::Releasing => running,
            _ if over && reserve == Mark::Done => Mark::Done,
            State::Refunding => Mark::Pending,
            _ => Mark::Skipped,
        };
        let settle = match self.state {
            State::Settling => running,
            State::Releasing if self.attempt.is_some() => Mark::Pending,
            _ => Mark::Skipped,
        };
        [
            ("reserve", reserve),
            ("pay", pay),
            ("confirm", confirm),
            ("refund", refund),
            ("release", release),
            ("settle", settle),
        ]
    }
}
