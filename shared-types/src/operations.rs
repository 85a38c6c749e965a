//! Dead letters and redrives as operators see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Amount, Currency, DeadLetterId, EventId, OrderId, RedriveId, Timestamp};

crate::text::word_enum! {
    /// Where a dead letter stands.
    LetterState, "state of a dead letter" {
        /// Waits for a person.
        Open = "open",
        /// Was sent back; its consumer has not answered yet.
        Redriving = "redriving",
        /// Its consumer has handled it.
        Redriven = "redriven",
        Redirected = "redirected",
        /// Its original, or an edited copy of it, was handled instead.
        Superseded = "superseded",
        Deleted = "deleted",
    }
}

crate::text::word_enum! {
    /// Where a redrive stands.
    RedriveState, "state of a redrive" {
        Planned = "planned",
        /// The first few were sent; the rest waits for how they do.
        Canary = "canary",
        Running = "running",
        Paused = "paused",
        /// Stopped by itself because messages failed again.
        Stopped = "stopped",
        Canceled = "canceled",
        Done = "done",
    }
}

crate::text::word_enum! {
    /// What became of one message of a redrive.
    RedriveItemState, "state of a message of a redrive" {
        Waiting = "waiting",
        Sent = "sent",
        Redriven = "redriven",
        FailedAgain = "failed_again",
        /// Not sent; see the note.
        Skipped = "skipped",
        /// Sent, and its consumer did not answer in time.
        Unanswered = "unanswered",
    }
}

/// Money of one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Sum {
    pub amount: Amount,
    pub currency: Currency,
}

/// What names a group of dead letters: their common cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Cause {
    pub consumer: String,
    pub error_code: String,
    pub event_type: String,
}

/// `GET /admin/dead-letters/groups`: one cause and what is at risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LetterGroup {
    #[serde(flatten)]
    pub cause: Cause,
    pub count: i64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// Different orders and customers among them.
    pub orders: i64,
    pub customers: i64,
    /// Of each order once, where the message names an amount.
    pub money_at_risk: Vec<Sum>,
    /// The error of the latest.
    pub error: String,
}

/// All causes, the largest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LetterGroups {
    pub items: Vec<LetterGroup>,
    pub count: i64,
    pub orders: i64,
    pub customers: i64,
    pub money_at_risk: Vec<Sum>,
}

/// A dead letter in a list; no content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LetterSummary {
    pub id: DeadLetterId,
    pub state: LetterState,
    #[serde(flatten)]
    pub cause: Cause,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub event_id: Option<EventId>,
    pub aggregate_id: Option<String>,
    pub order_id: Option<OrderId>,
    /// `user:…` or `guest:…`.
    pub customer: Option<String>,
    pub amount: Option<Sum>,
    /// Editing and redriving it needs a reason.
    pub about_money: bool,
    pub error: String,
    /// How often it was tried, and how often it became a dead letter.
    pub attempts: i32,
    pub times_failed: i32,
    pub first_failed_at: Timestamp,
    pub last_failed_at: Timestamp,
    pub arrived_at: Timestamp,
    pub copy_of: Option<DeadLetterId>,
    pub redrive_id: Option<RedriveId>,
    pub trace_id: Option<String>,
    pub correlation_id: Option<String>,
    /// Who settled it, when and why.
    pub settled_by: Option<String>,
    pub settled_at: Option<Timestamp>,
    pub reason: Option<String>,
}

/// `GET /admin/dead-letters/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LetterDetail {
    #[serde(flatten)]
    pub letter: LetterSummary,
    /// The key and the value as text, when they are text.
    pub key: Option<String>,
    pub value: Option<String>,
    /// The value's bytes otherwise.
    pub value_base64: Option<String>,
    /// Values of sensitive headers are hidden.
    pub headers: BTreeMap<String, String>,
    /// Headers that a copy cannot change.
    pub locked_headers: Vec<String>,
    pub dry_run: DryRun,
    /// Every time it became a dead letter, the latest first.
    pub failures: Vec<LetterFailure>,
    pub notes: Vec<LetterNote>,
    /// Edited copies of it.
    pub copies: Vec<DeadLetterId>,
    /// Other dead letters of the same aggregate.
    pub same_aggregate: Vec<LetterSummary>,
    /// Messages of the same key around it in its topic, oldest first.
    pub neighbours: Vec<Neighbour>,
}

/// Whether a message would pass today's schema and has a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    pub passes: bool,
    pub reasons: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LetterFailure {
    pub at: Timestamp,
    pub error_code: String,
    pub error: String,
    pub attempts: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LetterNote {
    pub text: String,
    pub author: String,
    pub at: Timestamp,
}

/// Another event of the aggregate, as it lies in the event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Neighbour {
    pub offset: i64,
    pub event_id: Option<EventId>,
    pub event_type: String,
    pub aggregate_version: Option<i64>,
    pub occurred_at: Option<Timestamp>,
}

/// `POST /admin/dead-letters/{id}/notes`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct NoteInput {
    pub text: String,
}

/// `POST /admin/dead-letters/{id}/copy`: the copy's content. What is absent
/// stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct CopyInput {
    /// The whole message as text.
    pub value: Option<String>,
    /// Headers to set; an empty value removes one.
    pub headers: BTreeMap<String, String>,
    pub reason: Option<String>,
}

/// Deletion, restoration, a single redrive, and what is done to a redrive.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ReasonInput {
    pub reason: Option<String>,
}

/// `POST /admin/dead-letters/{id}/redirect`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RedirectInput {
    /// A topic of events.
    pub topic: String,
    pub reason: Option<String>,
}

/// `POST /admin/dead-letters/redrives`: makes a plan; nothing is sent yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RedriveInput {
    pub selection: Selection,
    /// So many go first, and the rest only when they did well. 1 when absent;
    /// 0 sends all at once.
    pub canary: Option<i64>,
    /// 1 to 500; 50 when absent.
    pub rate_per_second: Option<i64>,
    /// Stops after so many failed again; 1 when absent.
    pub stop_after_failures: Option<i64>,
    /// Required when a message is about money.
    pub reason: Option<String>,
}

/// Which messages: exactly one of the three.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Selection {
    pub ids: Option<Vec<String>>,
    pub group: Option<Cause>,
    pub all: Option<bool>,
}

/// A redrive: its plan, how far it is, what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Redrive {
    pub id: RedriveId,
    pub state: RedriveState,
    pub reason: Option<String>,
    pub canary: i64,
    pub rate_per_second: i64,
    pub stop_after_failures: i64,
    pub created_by: String,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Why it stopped by itself.
    pub stop_reason: Option<String>,
    pub plan: RedrivePlan,
    pub progress: RedriveProgress,
}

/// What a redrive would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RedrivePlan {
    pub messages: i64,
    pub consumers: Vec<PlannedConsumer>,
    /// Messages about money among them.
    pub about_money: i64,
    /// How many fit today's schema and have a consumer.
    pub would_pass: i64,
    pub would_fail: i64,
    /// Why, the most frequent first.
    pub failures: Vec<PlannedFailure>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PlannedConsumer {
    pub consumer: String,
    pub messages: i64,
    /// What others will notice when these are handled.
    pub side_effects: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PlannedFailure {
    pub reason: String,
    pub messages: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RedriveProgress {
    pub total: i64,
    pub waiting: i64,
    pub sent: i64,
    pub redriven: i64,
    pub failed_again: i64,
    pub skipped: i64,
    pub unanswered: i64,
}

/// One message of a redrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RedriveItem {
    pub position: i64,
    pub letter_id: DeadLetterId,
    pub state: RedriveItemState,
    pub note: Option<String>,
    pub sent_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
}

/// `GET /admin/audit`: what was done by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuditFact {
    pub id: i64,
    /// The service whose log it is in, and its place there.
    pub service: String,
    pub seq: i64,
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub target: String,
    pub reason: Option<String>,
    pub before_hash: Option<String>,
    pub after_hash: Option<String>,
    pub hash: String,
}
