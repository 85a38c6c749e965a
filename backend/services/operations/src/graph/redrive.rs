//! Redrives as operators see them in the graph.

use async_graphql::{Enum, ID, Object, SimpleObject};
use platform::graphql::{DateTime, NodeId};
use shared_types::operations as told;

/// Where a redrive stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::operations::RedriveState")]
pub enum RedriveState {
    Planned,
    Canary,
    Running,
    Paused,
    Stopped,
    Canceled,
    Done,
}

/// What became of one message of a redrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::operations::RedriveItemState")]
pub enum RedriveItemState {
    Waiting,
    Sent,
    Redriven,
    FailedAgain,
    Skipped,
    Unanswered,
}

/// Its plan, how far it is, what came of it.
pub struct Redrive(told::Redrive);

impl From<told::Redrive> for Redrive {
    fn from(redrive: told::Redrive) -> Self {
        Redrive(redrive)
    }
}

#[Object]
impl Redrive {
    async fn id(&self) -> ID {
        NodeId::of("Redrive", self.0.id)
    }

    /// The id as the REST API has it.
    async fn redrive_id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    async fn state(&self) -> RedriveState {
        self.0.state.into()
    }

    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// So many go first, and the rest only when they did well.
    async fn canary(&self) -> i64 {
        self.0.canary
    }

    async fn rate_per_second(&self) -> i64 {
        self.0.rate_per_second
    }

    async fn stop_after_failures(&self) -> i64 {
        self.0.stop_after_failures
    }

    async fn created_by(&self) -> &str {
        &self.0.created_by
    }

    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    async fn started_at(&self) -> Option<DateTime> {
        self.0.started_at.map(DateTime::from)
    }

    async fn finished_at(&self) -> Option<DateTime> {
        self.0.finished_at.map(DateTime::from)
    }

    /// Why it stopped by itself.
    async fn stop_reason(&self) -> Option<&str> {
        self.0.stop_reason.as_deref()
    }

    async fn plan(&self) -> RedrivePlan {
        RedrivePlan::from(&self.0.plan)
    }

    async fn progress(&self) -> RedriveProgress {
        RedriveProgress::from(&self.0.progress)
    }
}

/// What a redrive would do.
#[derive(SimpleObject)]
pub struct RedrivePlan {
    messages: i64,
    consumers: Vec<PlannedConsumer>,
    /// Messages about money among them.
    about_money: i64,
    /// How many fit today's schema and have a consumer.
    would_pass: i64,
    would_fail: i64,
    /// Why, the most frequent first.
    failures: Vec<PlannedFailure>,
}

#[derive(SimpleObject)]
pub struct PlannedConsumer {
    consumer: String,
    messages: i64,
    /// What others will notice when these are handled.
    side_effects: Vec<String>,
}

#[derive(SimpleObject)]
pub struct PlannedFailure {
    reason: String,
    messages: i64,
}

impl From<&told::RedrivePlan> for RedrivePlan {
    fn from(plan: &told::RedrivePlan) -> Self {
        let consumer = |c: &told::PlannedConsumer| PlannedConsumer {
            consumer: c.consumer.clone(),
            messages: c.messages,
            side_effects: c.side_effects.clone(),
        };
        let failure = |f: &told::PlannedFailure| PlannedFailure {
            reason: f.reason.clone(),
            messages: f.messages,
        };
        RedrivePlan {
            messages: plan.messages,
            consumers: plan.consumers.iter().map(consumer).collect(),
            about_money: plan.about_money,
            would_pass: plan.would_pass,
            would_fail: plan.would_fail,
            failures: plan.failures.iter().map(failure).collect(),
        }
    }
}

#[derive(SimpleObject)]
pub struct RedriveProgress {
    total: i64,
    waiting: i64,
    sent: i64,
    redriven: i64,
    failed_again: i64,
    skipped: i64,
    unanswered: i64,
}

impl From<&told::RedriveProgress> for RedriveProgress {
    fn from(p: &told::RedriveProgress) -> Self {
        RedriveProgress {
            total: p.total,
            waiting: p.waiting,
            sent: p.sent,
            redriven: p.redriven,
            failed_again: p.failed_again,
            skipped: p.skipped,
            unanswered: p.unanswered,
        }
    }
}

/// One message of a redrive.
#[derive(SimpleObject)]
pub struct RedriveItem {
    position: i64,
    letter_id: ID,
    state: RedriveItemState,
    note: Option<String>,
    sent_at: Option<DateTime>,
    settled_at: Option<DateTime>,
}

impl From<told::RedriveItem> for RedriveItem {
    fn from(i: told::RedriveItem) -> Self {
        RedriveItem {
            position: i.position,
            letter_id: NodeId::of("DeadLetter", i.letter_id),
            state: i.state.into(),
            note: i.note,
            sent_at: i.sent_at.map(DateTime::from),
            settled_at: i.settled_at.map(DateTime::from),
        }
    }
}
