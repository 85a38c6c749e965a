//! Settling dead letters through the graph.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject, Union};
use platform::ApiError;
use platform::graphql::{CommonRefusal, NodeId, held, outcome};
use shared_types::operations as told;
use shared_types::{DeadLetterId, RedriveId};

use super::letter::DeadLetter;
use super::redrive::Redrive;
use super::{operator, storable};
use crate::App;
use crate::commands::redrive::Move;
use crate::commands::{letter, redrive, unknown_letter};

/// What is done to a redrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum RedriveAction {
    Start,
    Pause,
    Resume,
    Cancel,
}

/// Which messages: exactly one of the three.
#[derive(InputObject)]
pub struct RedriveSelection {
    ids: Option<Vec<ID>>,
    group: Option<DeadLetterCause>,
    all: Option<bool>,
}

/// What names a group of dead letters.
#[derive(InputObject)]
pub struct DeadLetterCause {
    consumer: String,
    error_code: String,
    event_type: String,
}

/// Makes a plan; nothing is sent yet.
#[derive(InputObject)]
pub struct PlanRedriveInput {
    selection: RedriveSelection,
    /// So many go first; 1 when absent, 0 sends all at once.
    canary: Option<i32>,
    /// 1 to 500; 50 when absent.
    rate_per_second: Option<i32>,
    /// Stops after so many failed again; 1 when absent.
    stop_after_failures: Option<i32>,
    /// Required when a message is about money.
    reason: Option<String>,
}

impl From<PlanRedriveInput> for told::RedriveInput {
    fn from(input: PlanRedriveInput) -> Self {
        let plain = |id: ID| NodeId::key_in("DeadLetter", &id).unwrap_or(&id).to_owned();
        let selection = input.selection;
        let cause = |c: DeadLetterCause| told::Cause {
            consumer: storable(&c.consumer),
            error_code: storable(&c.error_code),
            event_type: storable(&c.event_type),
        };
        told::RedriveInput {
            selection: told::Selection {
                ids: selection.ids.map(|ids| ids.into_iter().map(plain).collect()),
                group: selection.group.map(cause),
                all: selection.all,
            },
            canary: input.canary.map(i64::from),
            rate_per_second: input.rate_per_second.map(i64::from),
            stop_after_failures: input.stop_after_failures.map(i64::from),
            reason: input.reason,
        }
    }
}

#[derive(SimpleObject)]
pub struct RedriveChanged {
    redrive: Redrive,
}

#[allow(clippy::large_enum_variant, reason = "made once for an answer and written at once")]
#[derive(Union)]
pub enum RedriveResult {
    Changed(RedriveChanged),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

impl RedriveResult {
    fn of(done: Result<told::Redrive, ApiError>) -> Result<Self> {
        let made = |redrive: told::Redrive| {
            RedriveResult::Changed(RedriveChanged { redrive: redrive.into() })
        };
        Ok(outcome(done, made, RedriveResult::Refused)?)
    }
}

#[derive(SimpleObject)]
pub struct DeadLetterChanged {
    letter: DeadLetter,
}

#[allow(clippy::large_enum_variant, reason = "made once for an answer and written at once")]
#[derive(Union)]
pub enum DeadLetterResult {
    Changed(DeadLetterChanged),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

impl DeadLetterResult {
    fn of(done: Result<told::LetterSummary, ApiError>) -> Result<Self> {
        let made = |letter: told::LetterSummary| {
            DeadLetterResult::Changed(DeadLetterChanged { letter: letter.into() })
        };
        Ok(outcome(done, made, DeadLetterResult::Refused)?)
    }
}

fn letter_id(id: &ID) -> Result<DeadLetterId, ApiError> {
    NodeId::read("DeadLetter", id).ok_or_else(unknown_letter)
}

fn redrive_id(id: &ID) -> Result<RedriveId, ApiError> {
    NodeId::read("Redrive", id).ok_or_else(|| ApiError::not_found("redrives.unknown"))
}

pub struct Mutation;

#[Object]
impl Mutation {
    /// Makes a plan over chosen dead letters; nothing is sent yet.
    async fn plan_redrive(
        &self,
        ctx: &Context<'_>,
        input: PlanRedriveInput,
    ) -> Result<RedriveResult> {
        let (app, caller) = (held::<App>(ctx)?, operator(ctx)?);
        RedriveResult::of(redrive::plan(app, caller, &input.into()).await)
    }

    /// Starts, pauses, resumes or cancels a redrive.
    async fn change_redrive(
        &self,
        ctx: &Context<'_>,
        id: ID,
        action: RedriveAction,
        reason: Option<String>,
    ) -> Result<RedriveResult> {
        let (app, caller) = (held::<App>(ctx)?, operator(ctx)?);
        let what = match action {
            RedriveAction::Start => Move::Start,
            RedriveAction::Pause => Move::Pause,
            RedriveAction::Resume => Move::Resume,
            RedriveAction::Cancel => Move::Cancel,
        };
        let done = async {
            let input = told::ReasonInput { reason };
            redrive::act(app, caller, redrive_id(&id)?, what, &input).await
        };
        RedriveResult::of(done.await)
    }

    /// Sends one letter back to the consumer that failed.
    async fn redrive_dead_letter(
        &self,
        ctx: &Context<'_>,
        id: ID,
        reason: Option<String>,
    ) -> Result<RedriveResult> {
        let (app, caller) = (held::<App>(ctx)?, operator(ctx)?);
        let done = async {
            let input = told::ReasonInput { reason };
            redrive::one(app, caller, letter_id(&id)?, &input).await
        };
        RedriveResult::of(done.await)
    }

    /// Takes a letter out of the inbox; it can be restored.
    async fn delete_dead_letter(
        &self,
        ctx: &Context<'_>,
        id: ID,
        reason: String,
    ) -> Result<DeadLetterResult> {
        let (app, caller) = (held::<App>(ctx)?, operator(ctx)?);
        let done = async {
            let input = told::ReasonInput { reason: Some(reason) };
            letter::delete(app, caller, letter_id(&id)?, &input).await
        };
        DeadLetterResult::of(done.await)
    }

    /// Puts a deleted letter back.
    async fn restore_dead_letter(
        &self,
        ctx: &Context<'_>,
        id: ID,
        reason: Option<String>,
    ) -> Result<DeadLetterResult> {
        let (app, caller) = (held::<App>(ctx)?, operator(ctx)?);
        let done = async {
            let input = told::ReasonInput { reason };
            letter::restore(app, caller, letter_id(&id)?, &input).await
        };
        DeadLetterResult::of(done.await)
    }
}
