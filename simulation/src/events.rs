//! Outbox, relay, log, inbox: an event is stored with its cause, published late
//! and perhaps twice, handled in order and once.

use inventory::domain::book::Answer;
use orders::domain::saga::{Input, State};
use shared_types::orders::OrderStatus;
use shared_types::{PaymentId, Timestamp};
use uuid::Uuid;

use crate::sabotage::Sabotage;
use crate::scenario::SECOND;
use crate::world::{Happening, No, World, note};

/// Who tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Orders,
    Stock,
    Money,
}

/// Who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Orders,
    Stock,
    /// A read model that adds up.
    Summaries,
}

impl Source {
    const fn listeners(self) -> &'static [Group] {
        match self {
            Source::Orders => &[Group::Stock, Group::Summaries],
            Source::Stock | Source::Money => &[Group::Orders],
        }
    }
}

/// An event.
#[derive(Clone, Debug)]
pub enum Told {
    Created { pending: bool },
    Paid,
    OrderConfirmed,
    Canceled,
    Failed,
    Held { expires_at: Option<Timestamp> },
    Insufficient { backordered: bool },
    Expired,
    StockConfirmed,
    Released,
    Captured { payment: PaymentId, minor: i64 },
    Declined,
    Refunded { refund: Uuid },
}

impl Told {
    pub const fn name(&self) -> &'static str {
        match self {
            Told::Created { .. } => "order.created",
            Told::Paid => "order.paid",
            Told::OrderConfirmed => "order.confirmed",
            Told::Canceled => "order.canceled",
            Told::Failed => "order.failed",
            Told::Held { .. } => "reservation.held",
            Told::Insufficient { .. } => "reservation.insufficient",
            Told::Expired => "reservation.expired",
            Told::StockConfirmed => "reservation.confirmed",
            Told::Released => "reservation.released",
            Told::Captured { .. } => "payment.captured",
            Told::Declined => "payment.failed",
            Told::Refunded { .. } => "payment.refunded",
        }
    }
}

/// What one service says about one order.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    version: u64,
    outbox: Vec<(u64, Told)>,
    log: Vec<(u64, Told)>,
}

impl World {
    /// Appends to the outbox, on the transaction of its cause.
    pub fn tell(&mut self, source: Source, no: No, told: Told) {
        let beside = self.sabotage == Some(Sabotage::EventBeside) && source == Source::Orders;
        let crashes = self.scenario.weather.crashes;
        if beside && !self.is_calm() && self.dice(no).permille(crashes) {
            note!(self, Some(no), "{} is lost between two commits", told.name());
            return;
        }
        let stream = self.streams.entry((source, no)).or_default();
        stream.version += 1;
        stream.outbox.push((stream.version, told));
        let slow = !self.is_calm() && self.dice(no).permille(50);
        let delay = self.dice(no).range(1, if slow { 60 * SECOND } else { 200 });
        self.later(delay, Happening::Publish { source, no });
    }

    /// The relay publishes what is there; when it dies before it has noted so,
    /// the next one does it again.
    pub fn publishes(&mut self, source: Source, no: No) {
        let duplicates = if self.is_calm() { 0 } else { self.scenario.weather.duplicates };
        let twice = self.dice(no).permille(duplicates);
        let Some(stream) = self.streams.get_mut(&(source, no)) else { return };
        let rows = std::mem::take(&mut stream.outbox);
        if rows.is_empty() {
            return;
        }
        stream.log.extend(rows.iter().cloned());
        if twice {
            stream.log.extend(rows);
            note!(self, Some(no), "the relay of {source:?} publishes twice");
        }
        for group in source.listeners() {
            let delay = self.dice(no).range(1, 100);
            self.later(delay, Happening::Consume { group: *group, source, no });
        }
    }

    /// Handles the next event of an order; one that fails keeps its followers
    /// waiting.
    pub fn consumes(&mut self, group: Group, source: Source, no: No) {
        let cursor = self.cursors.get(&(group, source, no)).copied().unwrap_or(0);
        let next = self.streams.get(&(source, no)).and_then(|s| s.log.get(cursor)).cloned();
        let Some((version, told)) = next else { return };
        let again = Happening::Consume { group, source, no };
        let loss = if self.is_calm() { 0 } else { self.scenario.weather.loss };
        if self.dice(no).permille(loss / 2) {
            return self.later(SECOND, again);
        }
        let seen = self.inbox.contains(&(group, source, no, version));
        if !seen || self.sabotage == Some(Sabotage::NoInbox) {
            if version > 1 && !self.inbox.contains(&(group, source, no, version - 1)) {
                self.breaks(format!(
                    "{group:?} reads version {version} of order {no} by {source:?} before {}",
                    version - 1
                ));
            }
            let handled = match group {
                Group::Orders => self.orders_hear(no, &told),
                Group::Stock => self.stock_hears(no, &told),
                Group::Summaries => self.summaries_hear(no, version, &told),
            };
            if !handled {
                return self.later(SECOND, again);
            }
            note!(self, Some(no), "{group:?} handled {} (version {version})", told.name());
            self.inbox.insert((group, source, no, version));
            self.commits += 1;
        }
        self.cursors.insert((group, source, no), cursor + 1);
        let soon = self.dice(no).range(0, 20);
        self.later(soon, again);
    }

    fn summaries_hear(&mut self, no: No, version: u64, told: &Told) -> bool {
        let counted = self.summaries.entry(no).or_default();
        counted.push((version, told.name()));
        let twice = counted.iter().filter(|(v, _)| *v == version).count() > 1;
        if twice {
            self.breaks(format!("{} of order {no} is counted twice", told.name()));
        }
        true
    }

    /// Repeats of the saga's commands, and reservations that are pending.
    fn stock_hears(&mut self, no: No, told: &Told) -> bool {
        match told {
            Told::Created { pending: true } => {
                let answer = match self.reserve(no, true) {
                    Answer::Waiting => Some(Told::Insufficient { backordered: true }),
                    Answer::Held { expires_at, repeated: true } => Some(Told::Held { expires_at }),
                    Answer::Short(_) | Answer::Unknown => {
                        Some(Told::Insufficient { backordered: false })
                    }
                    Answer::Held { .. } | Answer::Differs | Answer::Ended => None,
                };
                if let Some(answer) = answer {
                    self.tell(Source::Stock, no, answer);
                }
            }
            Told::Paid => {
                self.confirm(no);
            }
            Told::Canceled | Told::Failed => self.release(no),
            _ => return true,
        }
        self.stock_committed(no);
        true
    }

    /// Each says what the answer to a step would have said.
    fn orders_hear(&mut self, no: No, told: &Told) -> bool {
        let Some(process) = self.any_process(no) else { return false };
        if self.dies(process, no, "before an event is committed") {
            return false;
        }
        let Some(row) = self.rows.get(&no) else { return true };
        let saga = &row.saga;
        let input = match told {
            Told::Held { expires_at } => Input::Held { expires_at: *expires_at },
            Told::Insufficient { backordered: true } => Input::Waiting,
            Told::Insufficient { backordered: false } => Input::Short,
            Told::Expired => Input::HoldLost { released: true },
            Told::StockConfirmed => Input::Confirmed,
            Told::Released => Input::Released,
            Told::Captured { payment, .. } if saga.payment == Some(*payment) => return true,
            Told::Captured { payment, minor } => match (saga.status, saga.state) {
                (OrderStatus::Pending, State::Deciding) => {
                    self.nudge(process, no);
                    return true;
                }
                (OrderStatus::Pending, State::Authorizing) => return true,
                (OrderStatus::Pending, State::AwaitingPayment) => {
                    Input::Captured { payment: *payment }
                }
                _ => Input::LateCapture { payment: *payment, minor: *minor },
            },
            Told::Declined if saga.state == State::Deciding => {
                self.nudge(process, no);
                return true;
            }
            Told::Refunded { refund } => {
                if self.loaded(no).and_then(|l| l.refund).is_some_and(|r| r.id == *refund) {
                    self.nudge(process, no);
                }
                return true;
            }
            _ => return true,
        };
        self.is_told(process, no, input);
        true
    }

    /// Whether everything that was told has been handled.
    pub fn unread(&self) -> Vec<(Source, No)> {
        let unread = |(key, stream): (&(Source, No), &Stream)| {
            let (source, no) = *key;
            let read = |group: &Group| {
                let cursor = self.cursors.get(&(*group, source, no)).copied().unwrap_or(0);
                cursor >= stream.log.len()
            };
            let done = stream.outbox.is_empty() && source.listeners().iter().all(read);
            (!done).then_some((source, no))
        };
        self.streams.iter().filter_map(unread).collect()
    }
}
