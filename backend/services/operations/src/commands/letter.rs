//! One dead letter: note, copy, delete, restore, redirect.

use contracts::topics;
use platform::audit::Entry;
use platform::auth::Principal;
use platform::validate::Checks;
use platform::{ApiError, Kind};
use shared_types::DeadLetterId;
use shared_types::operations::{
    CopyInput, LetterState, LetterSummary, NoteInput, ReasonInput, RedirectInput,
};
use sqlx::PgConnection;

use super::{reason, require_open, target, unknown_letter};
use crate::App;
use crate::domain::{edit, facts};
use crate::outbound;
use crate::store::letters::{self, Letter, NewLetter};

const NOTE_CHARS: std::ops::RangeInclusive<usize> = 1..=2_000;
const MAX_NOTES: i64 = 100;
const MAX_COPIES: usize = 50;

async fn lock(tx: &mut PgConnection, id: DeadLetterId) -> Result<Letter, ApiError> {
    letters::lock(tx, id).await?.ok_or_else(unknown_letter)
}

async fn summary(tx: &mut PgConnection, id: DeadLetterId) -> Result<LetterSummary, ApiError> {
    Ok(letters::find(tx, id).await?.ok_or_else(unknown_letter)?.summary)
}

pub async fn note(
    app: &App,
    caller: &Principal,
    id: DeadLetterId,
    input: &NoteInput,
) -> Result<(), ApiError> {
    let mut checks = Checks::new();
    let text = checks.text("text", &input.text, NOTE_CHARS);
    checks.finish()?;
    let mut tx = app.ctx.pool.begin().await?;
    lock(&mut tx, id).await?;
    if letters::count_notes(&mut tx, id).await? >= MAX_NOTES {
        let detail = "A dead letter may have at most 100 notes.";
        return Err(ApiError::new(Kind::Refused, "dead_letters.too_many_notes", detail));
    }
    letters::add_note(&mut tx, id, &text, &caller.actor(), app.ctx.clock.now()).await?;
    let entry = Entry::new(caller.actor(), "dead_letter.note", target(id)).after(&text);
    app.ctx.audit.record(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(())
}

/// Makes an edited copy, linked to the original, which stays as it is.
pub async fn copy(
    app: &App,
    caller: &Principal,
    id: DeadLetterId,
    input: &CopyInput,
) -> Result<LetterSummary, ApiError> {
    if !app.settings.editors.iter().any(|role| caller.has_role(*role)) {
        let roles: Vec<&str> = app.settings.editors.iter().map(|r| r.as_str()).collect();
        let detail = format!("Editing needs one of the roles {}.", roles.join(", "));
        return Err(ApiError::new(Kind::Forbidden, "auth.role_missing", detail));
    }
    let mut tx = app.ctx.pool.begin().await?;
    let letter = lock(&mut tx, id).await?;
    require_open(&letter)?;
    let mut checks = Checks::new();
    let why = reason(input.reason.as_deref(), letter.summary.about_money, &mut checks);
    let headers = edit::headers(&letter.headers, &input.headers, &mut checks);
    let value = match &input.value {
        Some(text) => {
            edit::value(&letter.value, text, &mut checks);
            text.clone().into_bytes()
        }
        None => letter.value.clone(),
    };
    let same = value == letter.value && headers == letter.headers;
    checks.ensure(!same, "value", "unchanged", "is the same as the original");
    checks.finish()?;
    if letters::copies(&mut tx, letter.root()).await?.len() >= MAX_COPIES {
        let detail = "A dead letter may have at most 50 copies.";
        return Err(ApiError::new(Kind::Refused, "dead_letters.too_many_copies", detail));
    }
    let now = app.ctx.clock.now();
    let copy: DeadLetterId = app.ctx.ids.next();
    let (facts, failed) = read_again(&letter, &value, &headers);
    let new = NewLetter {
        id: copy,
        copy_of: Some(letter.root()),
        key: &letter.key,
        value: &value,
        headers: &headers,
        facts: &facts,
        failed: &failed,
        times_failed: 0,
        now,
    };
    letters::insert(&mut tx, new).await?;
    let mut entry = Entry::new(caller.actor(), "dead_letter.copy", target(id))
        .before(&(&letter.value, &letter.headers))
        .after(&(&value, &headers));
    entry.reason = Some(format!("{} {}", target(copy), why.unwrap_or_default()).trim().to_owned());
    app.ctx.audit.record(&mut tx, entry).await?;
    let summary = summary(&mut tx, copy).await?;
    tx.commit().await?;
    Ok(summary)
}

fn read_again(
    letter: &Letter,
    value: &[u8],
    headers: &std::collections::BTreeMap<String, String>,
) -> (facts::Facts, facts::Failed) {
    let was = &letter.summary;
    let mut facts = facts::facts(&was.topic, value, headers);
    // What is about money stays so, whatever the edit says.
    facts.about_money |= was.about_money;
    let failed = facts::Failed {
        consumer: was.cause.consumer.clone(),
        topic: was.topic.clone(),
        partition: was.partition,
        offset: was.offset,
        error_code: was.cause.error_code.clone(),
        error: was.error.clone(),
        attempts: was.attempts,
        first_failed_at: Some(was.first_failed_at),
    };
    (facts, failed)
}

/// Takes the letter out of sight; its followers at the consumer go on.
pub async fn delete(
    app: &App,
    caller: &Principal,
    id: DeadLetterId,
    input: &ReasonInput,
) -> Result<LetterSummary, ApiError> {
    let mut checks = Checks::new();
    let why = reason(input.reason.as_deref(), true, &mut checks);
    checks.finish()?;
    let mut tx = app.ctx.pool.begin().await?;
    let letter = lock(&mut tx, id).await?;
    require_open(&letter)?;
    let now = app.ctx.clock.now();
    let state = LetterState::Deleted;
    letters::settle(&mut tx, id, state, &caller.actor(), why.as_deref(), now).await?;
    // The original's place at the consumer is the copy's too.
    if letter.summary.copy_of.is_none() {
        free_followers(app, &mut tx, &letter).await?;
    }
    let entry = Entry::new(caller.actor(), "dead_letter.delete", target(id));
    app.ctx.audit.record(&mut tx, entry.because(why.unwrap_or_default())).await?;
    let summary = summary(&mut tx, id).await?;
    tx.commit().await?;
    Ok(summary)
}

/// Tells the consumer that nothing more will come of this message.
async fn free_followers(app: &App, tx: &mut PgConnection, letter: &Letter) -> Result<(), ApiError> {
    if app.consumers.contains(&letter.consumer()) {
        app.ctx.outbox.append_raw(tx, outbound::discard(letter)).await?;
    }
    Ok(())
}

pub async fn restore(
    app: &App,
    caller: &Principal,
    id: DeadLetterId,
    input: &ReasonInput,
) -> Result<LetterSummary, ApiError> {
    let mut checks = Checks::new();
    let why = reason(input.reason.as_deref(), false, &mut checks);
    checks.finish()?;
    let mut tx = app.ctx.pool.begin().await?;
    let letter = lock(&mut tx, id).await?;
    if letter.summary.state != LetterState::Deleted {
        let detail = "Only a deleted dead letter can be restored.";
        return Err(ApiError::new(Kind::Conflict, "dead_letters.not_deleted", detail));
    }
    letters::reopen(&mut tx, id).await?;
    let mut entry = Entry::new(caller.actor(), "dead_letter.restore", target(id));
    entry.reason = why;
    app.ctx.audit.record(&mut tx, entry).await?;
    let summary = summary(&mut tx, id).await?;
    tx.commit().await?;
    Ok(summary)
}

/// Sends the original bytes to another topic, where every consumer reads them.
pub async fn redirect(
    app: &App,
    caller: &Principal,
    id: DeadLetterId,
    input: &RedirectInput,
) -> Result<LetterSummary, ApiError> {
    let mut checks = Checks::new();
    let why = reason(input.reason.as_deref(), true, &mut checks);
    let topic = topics::find(input.topic.trim());
    checks.ensure(topic.is_some(), "topic", "unknown", "is not a topic of events");
    checks.finish()?;
    let topic = topic.map(|t| t.name).unwrap_or_default();
    let mut tx = app.ctx.pool.begin().await?;
    let letter = lock(&mut tx, id).await?;
    require_open(&letter)?;
    if crate::driver::is_cut(&letter) {
        return Err(super::redrive::too_large());
    }
    if letter.summary.topic == topic {
        let detail = "It came from that topic; redrive it instead.";
        return Err(ApiError::new(Kind::Refused, "dead_letters.same_topic", detail));
    }
    app.ctx.outbox.append_raw(&mut tx, outbound::redirect(&letter, topic)).await?;
    free_followers(app, &mut tx, &letter).await?;
    let now = app.ctx.clock.now();
    let kept = format!("{topic}: {}", why.unwrap_or_default());
    let state = LetterState::Redirected;
    letters::settle(&mut tx, id, state, &caller.actor(), Some(&kept), now).await?;
    letters::supersede(&mut tx, id, now).await?;
    let entry = Entry::new(caller.actor(), "dead_letter.redirect", target(id)).because(kept);
    app.ctx.audit.record(&mut tx, entry).await?;
    let summary = summary(&mut tx, id).await?;
    tx.commit().await?;
    Ok(summary)
}
