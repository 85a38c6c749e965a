//! Redrives: plan, start, pause, resume, cancel.

use std::collections::{BTreeMap, BTreeSet};

use platform::audit::Entry;
use platform::auth::Principal;
use platform::validate::Checks;
use platform::{ApiError, Kind};
use serde_json::Value;
use shared_types::operations::{
    Cause, LetterState, PlannedConsumer, PlannedFailure, ReasonInput, Redrive, RedriveInput,
    RedrivePlan, RedriveProgress, RedriveState, Selection,
};
use shared_types::{DeadLetterId, RedriveId};
use sqlx::PgConnection;

use super::{reason, require_open, target, unknown_letter};
use crate::App;
use crate::domain::facts::is_of_relay;
use crate::domain::trial;
use crate::store::letters::{self, Letter};
use crate::store::redrives;
use crate::store::search::{self, Filter};

const RATES: std::ops::RangeInclusive<i64> = 1..=500;
const DEFAULT_RATE: i64 = 50;
const MAX_IDS: usize = 1_000;
const MAX_TEXT_CHARS: usize = 300;
/// Letters read at a time; each may be nearly 1 MB.
const PAGE: i64 = 50;
const MAX_FAILURES: usize = 20;

fn unknown_redrive() -> ApiError {
    ApiError::not_found("redrives.unknown")
}

pub fn too_large() -> ApiError {
    let detail = "The message is too large to travel; only its beginning is here.";
    ApiError::new(Kind::Refused, "dead_letters.cut", detail)
}

/// What was asked for, checked.
struct Wish {
    ids: Option<Vec<DeadLetterId>>,
    cause: Option<Cause>,
    canary: i64,
    rate_per_second: i64,
    stop_after_failures: i64,
    reason: Option<String>,
}

/// Makes a plan over the chosen messages; nothing is sent.
pub async fn plan(
    app: &App,
    caller: &Principal,
    input: &RedriveInput,
) -> Result<Redrive, ApiError> {
    let wish = checked(app, input)?;
    let mut tx = app.ctx.pool.begin().await?;
    if let Some(ids) = &wish.ids {
        require_all_open(&mut tx, ids).await?;
    }
    let redrive = planned(app, &mut tx, caller, wish, RedriveState::Planned).await?;
    let entry = Entry::new(caller.actor(), "redrive.plan", format!("redrive:{}", redrive.id))
        .after(&redrive.plan);
    record(app, &mut tx, entry, redrive.reason.clone()).await?;
    tx.commit().await?;
    Ok(redrive)
}

/// Sends one message back at once.
pub async fn one(
    app: &App,
    caller: &Principal,
    id: DeadLetterId,
    input: &ReasonInput,
) -> Result<Redrive, ApiError> {
    let mut tx = app.ctx.pool.begin().await?;
    let letter = letters::lock(&mut tx, id).await?.ok_or_else(unknown_letter)?;
    require_open(&letter)?;
    let mut checks = Checks::new();
    let reason = reason(input.reason.as_deref(), letter.summary.about_money, &mut checks);
    checks.finish()?;
    if !is_of_relay(letter.consumer()) && !app.consumers.contains(&letter.consumer()) {
        let detail = format!("There is no consumer {} to send it to.", letter.consumer());
        return Err(ApiError::new(Kind::Refused, "dead_letters.no_consumer", detail));
    }
    if crate::driver::is_cut(&letter) {
        return Err(too_large());
    }
    if letters::relative_in_the_way(&mut tx, letter.root(), id).await? {
        let detail = "Its original or another copy is on its way or resolved.";
        return Err(ApiError::new(Kind::Conflict, "dead_letters.superseded", detail));
    }
    let wish = Wish {
        ids: Some(vec![id]),
        cause: None,
        canary: 0,
        rate_per_second: DEFAULT_RATE,
        stop_after_failures: 1,
        reason,
    };
    let mut redrive = planned(app, &mut tx, caller, wish, RedriveState::Running).await?;
    let now = app.ctx.clock.now();
    redrives::set_state(&mut tx, redrive.id, RedriveState::Running, None, now).await?;
    redrive.started_at = Some(now);
    tx.commit().await?;
    app.started.notify_one();
    Ok(redrive)
}

fn checked(app: &App, input: &RedriveInput) -> Result<Wish, ApiError> {
    let mut checks = Checks::new();
    let rate_per_second = input.rate_per_second.unwrap_or(DEFAULT_RATE);
    let fits = RATES.contains(&rate_per_second);
    checks.ensure(fits, "ratePerSecond", "range", "must lie between 1 and 500");
    let canary = input.canary.unwrap_or(1);
    let most = app.settings.max_redrive;
    checks.ensure(
        (0..=most).contains(&canary),
        "canary",
        "range",
        "must be 0 or a number of messages",
    );
    let stop_after_failures = input.stop_after_failures.unwrap_or(1);
    let fits = (1..=most).contains(&stop_after_failures);
    checks.ensure(fits, "stopAfterFailures", "range", "must be at least 1");
    let reason = reason(input.reason.as_deref(), false, &mut checks);
    let (ids, cause) = selected(&input.selection, &mut checks);
    checks.finish()?;
    Ok(Wish { ids, cause, canary, rate_per_second, stop_after_failures, reason })
}

fn selected(
    selection: &Selection,
    checks: &mut Checks,
) -> (Option<Vec<DeadLetterId>>, Option<Cause>) {
    let all = selection.all.unwrap_or(false);
    let given = [selection.ids.is_some(), selection.group.is_some(), all];
    let one = given.iter().filter(|g| **g).count() == 1;
    checks.ensure(one, "selection", "one", "needs exactly one of ids, group, all");
    let ids = selection.ids.as_ref().map(|texts| {
        let fits = (1..=MAX_IDS).contains(&texts.len());
        checks.ensure(fits, "selection.ids", "range", "must be 1 to 1000 ids");
        let mut ids = BTreeSet::new();
        for (i, text) in texts.iter().take(MAX_IDS).enumerate() {
            ids.extend(checks.parse::<DeadLetterId>(&format!("selection.ids[{i}]"), text));
        }
        ids.into_iter().collect()
    });
    if let Some(cause) = &selection.group {
        for (field, text) in [
            ("selection.group.consumer", &cause.consumer),
            ("selection.group.errorCode", &cause.error_code),
            ("selection.group.eventType", &cause.event_type),
        ] {
            // A message that is no event has no type.
            checks.text(field, text, 0..=MAX_TEXT_CHARS);
        }
    }
    (ids, selection.group.clone())
}

/// Named messages must exist and wait for a person: unknown ones are 422,
/// resolved ones 409 with their ids.
async fn require_all_open(tx: &mut PgConnection, ids: &[DeadLetterId]) -> Result<(), ApiError> {
    let mut checks = Checks::new();
    let mut resolved = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        match letters::find(tx, *id).await? {
            None => {
                checks.fail(format!("selection.ids[{i}]"), "unknown", format!("{id} is unknown"))
            }
            Some(letter) if letter.summary.state != LetterState::Open => {
                resolved.push(Value::from(id.to_string()));
            }
            Some(_) => {}
        }
    }
    checks.finish()?;
    if resolved.is_empty() {
        return Ok(());
    }
    let detail = "Some of the messages are resolved or on their way already.";
    let error = ApiError::new(Kind::Conflict, "dead_letters.resolved", detail);
    Err(error.with_extension("resolved", Value::from(resolved)))
}

/// Reads the chosen messages, tries each, and writes the redrive.
async fn planned(
    app: &App,
    tx: &mut PgConnection,
    caller: &Principal,
    wish: Wish,
    state: RedriveState,
) -> Result<Redrive, ApiError> {
    let filter = Filter { states: vec![LetterState::Open], cause: wish.cause, ..Filter::default() };
    let (mut draft, mut letters, mut after) = (Draft::default(), Vec::new(), 0);
    loop {
        let found = search::pick(tx, &filter, wish.ids.as_deref(), after, PAGE).await?;
        let Some(last) = found.last() else { break };
        after = last.number;
        for letter in &found {
            draft.add(app, letter);
            letters.push(letter.id());
        }
        if letters.len() as i64 > app.settings.max_redrive {
            let detail =
                format!("One redrive takes at most {} messages.", app.settings.max_redrive);
            return Err(ApiError::new(Kind::Refused, "redrives.too_many", detail));
        }
    }
    if letters.is_empty() {
        let detail = "No open message is selected.";
        return Err(ApiError::new(Kind::Refused, "redrives.empty", detail));
    }
    let plan = draft.finish();
    let mut checks = Checks::new();
    reason(wish.reason.as_deref(), plan.about_money > 0, &mut checks);
    checks.finish()?;
    let total = letters.len() as i64;
    let redrive = Redrive {
        id: app.ctx.ids.next(),
        state,
        reason: wish.reason,
        canary: wish.canary,
        rate_per_second: wish.rate_per_second,
        stop_after_failures: wish.stop_after_failures,
        created_by: caller.actor(),
        created_at: app.ctx.clock.now(),
        started_at: None,
        finished_at: None,
        stop_reason: None,
        plan,
        progress: RedriveProgress { total, waiting: total, ..RedriveProgress::default() },
    };
    redrives::insert(tx, &redrive, &letters).await?;
    Ok(redrive)
}

/// A plan in the making.
#[derive(Default)]
struct Draft {
    plan: RedrivePlan,
    consumers: BTreeMap<String, i64>,
    failures: BTreeMap<String, i64>,
}

impl Draft {
    fn add(&mut self, app: &App, letter: &Letter) {
        self.plan.messages += 1;
        self.plan.about_money += i64::from(letter.summary.about_money);
        *self.consumers.entry(letter.consumer().to_owned()).or_default() += 1;
        let trial = trial::trial(letter.consumer(), &app.consumers, &letter.value);
        if trial.passes {
            self.plan.would_pass += 1;
        } else {
            self.plan.would_fail += 1;
        }
        for reason in trial.reasons {
            if self.failures.len() < 1_000 || self.failures.contains_key(&reason) {
                *self.failures.entry(reason).or_default() += 1;
            }
        }
    }

    fn finish(mut self) -> RedrivePlan {
        let consumer = |(consumer, messages): (String, i64)| {
            let effects = trial::side_effects(&consumer);
            let side_effects = effects.iter().map(|e| (*e).to_owned()).collect();
            PlannedConsumer { consumer, messages, side_effects }
        };
        self.plan.consumers = self.consumers.into_iter().map(consumer).collect();
        let failure = |(reason, messages)| PlannedFailure { reason, messages };
        self.plan.failures = self.failures.into_iter().map(failure).collect();
        self.plan.failures.sort_by_key(|f| -f.messages);
        self.plan.failures.truncate(MAX_FAILURES);
        self.plan
    }
}

/// What a person does to a redrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Start,
    Pause,
    Resume,
    Cancel,
}

impl Move {
    fn action(self) -> &'static str {
        match self {
            Move::Start => "redrive.start",
            Move::Pause => "redrive.pause",
            Move::Resume => "redrive.resume",
            Move::Cancel => "redrive.cancel",
        }
    }

    /// The state that follows on `from`; none when it cannot be done.
    fn next(self, from: RedriveState, canary: bool) -> Option<RedriveState> {
        use RedriveState::{Canary, Canceled, Paused, Planned, Running, Stopped};
        let going = if canary { Canary } else { Running };
        match (self, from) {
            (Move::Start, Planned) => Some(going),
            (Move::Pause, Canary | Running) => Some(Paused),
            (Move::Resume, Paused | Stopped) => Some(going),
            (Move::Cancel, Planned | Canary | Running | Paused | Stopped) => Some(Canceled),
            _ => None,
        }
    }
}

/// Moves a redrive; 409 `redrives.state` when it is in no state for that.
pub async fn act(
    app: &App,
    caller: &Principal,
    id: RedriveId,
    what: Move,
    input: &ReasonInput,
) -> Result<Redrive, ApiError> {
    let mut checks = Checks::new();
    let why = reason(input.reason.as_deref(), false, &mut checks);
    checks.finish()?;
    let mut tx = app.ctx.pool.begin().await?;
    let stored = redrives::lock(&mut tx, id).await?.ok_or_else(unknown_redrive)?;
    let (from, running) = (stored.redrive.state, stored.running);
    let testing = running.canary > 0 && !running.canary_passed;
    let Some(to) = what.next(from, testing) else {
        let detail = format!("That cannot be done to a redrive that is {from}.");
        let error = ApiError::new(Kind::Conflict, "redrives.state", detail);
        return Err(error.with_extension("state", Value::from(from.as_str())));
    };
    let now = app.ctx.clock.now();
    if what == Move::Resume {
        let progress = &stored.redrive.progress;
        redrives::forgive(&mut tx, id, progress.failed_again + progress.unanswered).await?;
    }
    redrives::set_state(&mut tx, id, to, None, now).await?;
    let entry = Entry::new(caller.actor(), what.action(), format!("redrive:{id}"))
        .before(from.as_str())
        .after(to.as_str());
    record(app, &mut tx, entry, why).await?;
    let redrive = redrives::find(&mut tx, id).await?.ok_or_else(unknown_redrive)?;
    tx.commit().await?;
    app.started.notify_one();
    Ok(redrive)
}

async fn record(
    app: &App,
    tx: &mut PgConnection,
    mut entry: Entry,
    reason: Option<String>,
) -> Result<(), ApiError> {
    entry.reason = reason;
    Ok(app.ctx.audit.record(tx, entry).await?)
}

/// The audit target of a letter, for views.
pub fn viewed(caller: &Principal, id: DeadLetterId) -> Entry {
    Entry::new(caller.actor(), "dead_letter.view", target(id))
}
