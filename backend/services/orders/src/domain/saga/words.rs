//! The words of the checkout: states, steps, inputs, effects.

use shared_types::orders::Stage;
use shared_types::{PaymentId, Timestamp};

/// What the saga of one order is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Inventory was away at placement: it reserves from `order.created`.
    Reserving,
    AwaitingPayment,
    /// Waits its turn for units that are not there yet.
    Backordered,
    /// Pin the hold, then capture.
    Authorizing,
    /// The capture was sent and its outcome is not known.
    Deciding,
    /// The money is here: make the hold an allocation.
    Confirming,
    /// The money goes back before the order ends.
    Refunding,
    /// The order has ended: give the stock back.
    Releasing,
    /// The order has ended while a payment was undecided: learn what became of
    /// it, and give back what was taken.
    Settling,
    Done,
}

impl State {
    pub const ALL: [State; 10] = [
        State::Reserving,
        State::AwaitingPayment,
        State::Backordered,
        State::Authorizing,
        State::Deciding,
        State::Confirming,
        State::Refunding,
        State::Releasing,
        State::Settling,
        State::Done,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            State::Reserving => "reserving",
            State::AwaitingPayment => "awaiting_payment",
            State::Backordered => "backordered",
            State::Authorizing => "authorizing",
            State::Deciding => "deciding",
            State::Confirming => "confirming",
            State::Refunding => "refunding",
            State::Releasing => "releasing",
            State::Settling => "settling",
            State::Done => "done",
        }
    }

    pub fn parse(text: &str) -> Option<State> {
        State::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// The word that buyers see.
    pub fn stage(self) -> Stage {
        match self {
            State::Reserving => Stage::Reserving,
            State::AwaitingPayment => Stage::AwaitingPayment,
            State::Backordered => Stage::Backordered,
            State::Authorizing => Stage::Authorizing,
            State::Deciding => Stage::Capturing,
            State::Confirming => Stage::Confirming,
            State::Refunding => Stage::Refunding,
            State::Releasing | State::Settling => Stage::Compensating,
            State::Done => Stage::Done,
        }
    }
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Repeat the reservation that `order.created` asked for.
    Reserve,
    /// The reservation took too long.
    GiveUp,
    /// The hold's time is over and nobody said so.
    HoldTimer,
    Charge,
    AskOutcome,
    Confirm,
    Refund,
    /// All money is back.
    EndRefunded,
    Release,
    /// Nothing is left to do.
    Rest,
}

/// An answer to a step, or an event that says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Held {
        expires_at: Option<Timestamp>,
    },
    Short,
    /// There is too little now; the order waits its turn.
    Waiting,
    /// The hold is over; `released` when an event of inventory said so.
    HoldLost {
        released: bool,
    },
    Captured {
        payment: PaymentId,
    },
    Declined {
        code: String,
        hold_expires_at: Option<Timestamp>,
    },
    OutcomeUnknown,
    NotSent,
    Confirmed,
    StockLost,
    RefundDone {
        minor: i64,
        actor: String,
    },
    /// The money is back, the units are not yet.
    RefundPaid {
        minor: i64,
        actor: String,
    },
    Restocked,
    RefundFailed {
        reason: String,
        actor: String,
    },
    RefundsDone,
    Released,
    Nothing,
    /// Money arrived for an order that cannot take it.
    LateCapture {
        payment: PaymentId,
        minor: i64,
    },
    TookTooLong,
    /// The callee is away, or would not.
    Failed {
        reason: String,
    },
}

/// What is stored together with a new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A row of the status history.
    History {
        cause: String,
        actor: String,
    },
    Publish(Fact),
    /// The present attempt has ended.
    AttemptEnded(AttemptEnd),
    /// The present attempt never left: make another for the same request.
    AttemptAgain,
    /// Give back all money that is captured and not promised yet.
    RefundRest {
        cause: String,
        actor: String,
    },
    RefundMinor {
        minor: i64,
        cause: String,
    },
    /// Replaces the saga's own refunds that failed by new ones.
    RefundAgain,
    /// The refund that was worked on has this state now.
    RefundIs(RefundState),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    Paid,
    Confirmed,
    Canceled,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    Captured,
    Declined(String),
    NotSent,
    HoldExpired,
    /// The order ended before the outcome was known.
    Abandoned,
}

impl AttemptEnd {
    /// As it is stored.
    pub const fn as_str(&self) -> &'static str {
        match self {
            AttemptEnd::Captured => "captured",
            AttemptEnd::Declined(_) => "declined",
            AttemptEnd::NotSent => "not_sent",
            AttemptEnd::HoldExpired => "hold_expired",
            AttemptEnd::Abandoned => "abandoned",
        }
    }

    /// Why the provider declined.
    pub fn decline_code(&self) -> Option<&str> {
        match self {
            AttemptEnd::Declined(code) => Some(code),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundState {
    Restocking,
    Succeeded,
    Failed,
}

/// How the stock of a new order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    Held(Option<Timestamp>),
    /// Backordered.
    Waiting,
    /// Inventory is away.
    Unknown,
}
