//! Dead letters as operators see them in the graph.

use async_graphql::{Enum, ID, InputObject, Object, SimpleObject};
use platform::graphql::{DateTime, Long, Money, NodeId};
use platform::{ApiError, Kind};
use shared_types::OrderId;
use shared_types::operations as told;

use crate::queries::Filter;

/// Where a dead letter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::operations::LetterState")]
pub enum DeadLetterState {
    Open,
    Redriving,
    Redriven,
    Redirected,
    Superseded,
    Deleted,
}

/// What lists and groups are narrowed to.
#[derive(Clone, Debug, Default, InputObject)]
pub struct DeadLetterFilter {
    /// Found in the error or the event type, or equal to an id, a trace or a
    /// customer.
    q: Option<String>,
    #[graphql(default)]
    states: Vec<DeadLetterState>,
    consumer: Option<String>,
    error_code: Option<String>,
    event_type: Option<String>,
    topic: Option<String>,
    aggregate_id: Option<String>,
    order_id: Option<ID>,
    /// Failed last at or after this time, and before that one.
    since: Option<DateTime>,
    until: Option<DateTime>,
}

impl DeadLetterFilter {
    pub fn into_filter(self) -> Result<Filter, ApiError> {
        let given = super::given;
        let order = |id: ID| {
            let detail = "orderId is no id of an order.";
            NodeId::read::<OrderId>("Order", &id)
                .ok_or_else(|| ApiError::new(Kind::Unparseable, "request.query", detail))
        };
        Ok(Filter {
            states: self.states.into_iter().map(Into::into).collect(),
            cause: None,
            consumer: given(self.consumer),
            error_code: given(self.error_code),
            event_type: given(self.event_type),
            topic: given(self.topic),
            aggregate_id: given(self.aggregate_id),
            order_id: self.order_id.map(order).transpose()?,
            since: self.since.map(|t| t.0),
            until: self.until.map(|t| t.0),
            text: given(self.q).map(|q| q.trim().chars().take(200).collect()),
        })
    }
}

fn money(sum: &told::Sum) -> Money {
    Money::of(sum.amount, sum.currency)
}

/// A message that its consumer could not handle.
#[derive(Clone)]
pub struct DeadLetter(told::LetterSummary);

impl From<told::LetterSummary> for DeadLetter {
    fn from(letter: told::LetterSummary) -> Self {
        DeadLetter(letter)
    }
}

#[Object]
impl DeadLetter {
    async fn id(&self) -> ID {
        NodeId::of("DeadLetter", self.0.id)
    }

    /// The id as the REST API has it.
    async fn letter_id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    async fn state(&self) -> DeadLetterState {
        self.0.state.into()
    }

    async fn consumer(&self) -> &str {
        &self.0.cause.consumer
    }

    async fn error_code(&self) -> &str {
        &self.0.cause.error_code
    }

    async fn event_type(&self) -> &str {
        &self.0.cause.event_type
    }

    async fn topic(&self) -> &str {
        &self.0.topic
    }

    async fn partition(&self) -> i32 {
        self.0.partition
    }

    async fn offset(&self) -> Long {
        Long(self.0.offset)
    }

    async fn event_id(&self) -> Option<ID> {
        self.0.event_id.map(|id| ID(id.to_string()))
    }

    async fn aggregate_id(&self) -> Option<&str> {
        self.0.aggregate_id.as_deref()
    }

    /// The order that it is about.
    async fn order(&self) -> Option<Order> {
        self.0.order_id.map(|id| Order { id: NodeId::of("Order", id) })
    }

    /// `user:…` or `guest:…`.
    async fn customer(&self) -> Option<&str> {
        self.0.customer.as_deref()
    }

    async fn amount(&self) -> Option<Money> {
        self.0.amount.as_ref().map(money)
    }

    /// Editing and redriving it needs a reason.
    async fn about_money(&self) -> bool {
        self.0.about_money
    }

    async fn error(&self) -> &str {
        &self.0.error
    }

    async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// How often it became a dead letter.
    async fn times_failed(&self) -> i32 {
        self.0.times_failed
    }

    async fn first_failed_at(&self) -> DateTime {
        self.0.first_failed_at.into()
    }

    async fn last_failed_at(&self) -> DateTime {
        self.0.last_failed_at.into()
    }

    async fn arrived_at(&self) -> DateTime {
        self.0.arrived_at.into()
    }

    async fn copy_of(&self) -> Option<ID> {
        self.0.copy_of.map(|id| NodeId::of("DeadLetter", id))
    }

    async fn redrive_id(&self) -> Option<ID> {
        self.0.redrive_id.map(|id| NodeId::of("Redrive", id))
    }

    async fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    async fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    /// Who settled it, when and why.
    async fn settled_by(&self) -> Option<&str> {
        self.0.settled_by.as_deref()
    }

    async fn settled_at(&self) -> Option<DateTime> {
        self.0.settled_at.map(DateTime::from)
    }

    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
}

/// Known elsewhere.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct Order {
    id: ID,
}

/// One cause and what is at risk.
#[derive(SimpleObject)]
pub struct DeadLetterGroup {
    consumer: String,
    error_code: String,
    event_type: String,
    count: i64,
    first_at: DateTime,
    last_at: DateTime,
    /// Different orders and customers among them.
    orders: i64,
    customers: i64,
    /// Of each order once, where the message names an amount.
    money_at_risk: Vec<Money>,
    /// The error of the latest.
    error: String,
}

/// All causes, the largest first.
#[derive(SimpleObject)]
pub struct DeadLetterGroups {
    items: Vec<DeadLetterGroup>,
    count: i64,
    orders: i64,
    customers: i64,
    money_at_risk: Vec<Money>,
}

impl From<told::LetterGroups> for DeadLetterGroups {
    fn from(groups: told::LetterGroups) -> Self {
        let group = |g: told::LetterGroup| DeadLetterGroup {
            consumer: g.cause.consumer,
            error_code: g.cause.error_code,
            event_type: g.cause.event_type,
            count: g.count,
            first_at: g.first_at.into(),
            last_at: g.last_at.into(),
            orders: g.orders,
            customers: g.customers,
            money_at_risk: g.money_at_risk.iter().map(money).collect(),
            error: g.error,
        };
        DeadLetterGroups {
            items: groups.items.into_iter().map(group).collect(),
            count: groups.count,
            orders: groups.orders,
            customers: groups.customers,
            money_at_risk: groups.money_at_risk.iter().map(money).collect(),
        }
    }
}

/// Everything about one letter.
#[derive(SimpleObject)]
pub struct DeadLetterContent {
    letter: DeadLetter,
    /// The key and the value as text, when they are text.
    key: Option<String>,
    value: Option<String>,
    /// The value's bytes otherwise.
    value_base64: Option<String>,
    /// Values of sensitive headers are hidden.
    headers: Vec<MessageHeader>,
    /// Headers that a copy cannot change.
    locked_headers: Vec<String>,
    dry_run: DryRun,
    /// Every time it became a dead letter, the latest first.
    failures: Vec<DeadLetterFailure>,
    notes: Vec<DeadLetterNote>,
    /// Edited copies of it.
    copies: Vec<ID>,
    /// Other dead letters of the same aggregate.
    same_aggregate: Vec<DeadLetter>,
    /// Messages of the same key around it in its topic, oldest first.
    neighbours: Vec<NeighbourMessage>,
}

#[derive(SimpleObject)]
pub struct MessageHeader {
    name: String,
    value: String,
}

/// Whether a message would pass today's schema and has a consumer.
#[derive(SimpleObject)]
pub struct DryRun {
    passes: bool,
    reasons: Vec<String>,
}

#[derive(SimpleObject)]
pub struct DeadLetterFailure {
    at: DateTime,
    error_code: String,
    error: String,
    attempts: i32,
}

#[derive(SimpleObject)]
pub struct DeadLetterNote {
    text: String,
    author: String,
    at: DateTime,
}

/// Another event of the aggregate, as it lies in the event log.
#[derive(SimpleObject)]
pub struct NeighbourMessage {
    offset: Long,
    event_id: Option<ID>,
    event_type: String,
    aggregate_version: Option<Long>,
    occurred_at: Option<DateTime>,
}

impl From<told::LetterDetail> for DeadLetterContent {
    fn from(d: told::LetterDetail) -> Self {
        let failure = |f: told::LetterFailure| DeadLetterFailure {
            at: f.at.into(),
            error_code: f.error_code,
            error: f.error,
            attempts: f.attempts,
        };
        let note = |n: told::LetterNote| DeadLetterNote {
            text: n.text,
            author: n.author,
            at: n.at.into(),
        };
        let neighbour = |n: told::Neighbour| NeighbourMessage {
            offset: Long(n.offset),
            event_id: n.event_id.map(|id| ID(id.to_string())),
            event_type: n.event_type,
            aggregate_version: n.aggregate_version.map(Long),
            occurred_at: n.occurred_at.map(DateTime::from),
        };
        let header = |(name, value)| MessageHeader { name, value };
        DeadLetterContent {
            letter: d.letter.into(),
            key: d.key,
            value: d.value,
            value_base64: d.value_base64,
            headers: d.headers.into_iter().map(header).collect(),
            locked_headers: d.locked_headers,
            dry_run: DryRun { passes: d.dry_run.passes, reasons: d.dry_run.reasons },
            failures: d.failures.into_iter().map(failure).collect(),
            notes: d.notes.into_iter().map(note).collect(),
            copies: d.copies.into_iter().map(|id| NodeId::of("DeadLetter", id)).collect(),
            same_aggregate: d.same_aggregate.into_iter().map(DeadLetter::from).collect(),
            neighbours: d.neighbours.into_iter().map(neighbour).collect(),
        }
    }
}
