//! Redrives and their messages.

use std::collections::HashMap;

use shared_types::operations::{
    Redrive, RedriveItem, RedriveItemState, RedrivePlan, RedriveProgress, RedriveState,
};
use shared_types::{DeadLetterId, RedriveId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Row};

use super::letters::Letter;
use crate::domain::pace::Running;

/// A redrive without its progress.
#[derive(Clone, Debug)]
pub struct Stored {
    pub redrive: Redrive,
    pub number: i64,
    pub running: Running,
}

impl FromRow<'_, PgRow> for Stored {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let plan: Json<RedrivePlan> = row.try_get("plan")?;
        let redrive = Redrive {
            id: row.try_get("id")?,
            state: row.try_get("state")?,
            reason: row.try_get("reason")?,
            canary: row.try_get("canary")?,
            rate_per_second: row.try_get("rate_per_second")?,
            stop_after_failures: row.try_get("stop_after_failures")?,
            created_by: row.try_get("created_by")?,
            created_at: row.try_get("created_at")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            stop_reason: row.try_get("stop_reason")?,
            plan: plan.0,
            progress: RedriveProgress::default(),
        };
        let running = Running {
            canary: redrive.canary,
            canary_passed: row.try_get("canary_passed")?,
            rate_per_second: redrive.rate_per_second,
            stop_after_failures: redrive.stop_after_failures,
            forgiven: row.try_get("forgiven")?,
            paced_at: row.try_get("paced_at")?,
        };
        Ok(Stored { number: row.try_get("number")?, redrive, running })
    }
}

pub async fn insert(
    tx: &mut PgConnection,
    redrive: &Redrive,
    letters: &[DeadLetterId],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO redrives (id, state, reason, canary, rate_per_second, stop_after_failures,
                               plan, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(redrive.id)
    .bind(redrive.state)
    .bind(&redrive.reason)
    .bind(redrive.canary)
    .bind(redrive.rate_per_second)
    .bind(redrive.stop_after_failures)
    .bind(Json(&redrive.plan))
    .bind(&redrive.created_by)
    .bind(redrive.created_at)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO redrive_items (redrive_id, position, letter_id, state)
         SELECT $1, position, id, 'waiting' FROM unnest($2::uuid[]) WITH ORDINALITY AS t(id, position)",
    )
    .bind(redrive.id)
    .bind(letters)
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn find(tx: &mut PgConnection, id: RedriveId) -> Result<Option<Redrive>, sqlx::Error> {
    let found: Option<Stored> = sqlx::query_as("SELECT * FROM redrives WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(mut found) = found else { return Ok(None) };
    found.redrive.progress = progress(tx, id).await?;
    Ok(Some(found.redrive))
}

/// The redrive, and nobody moves it until the transaction ends.
pub async fn lock(tx: &mut PgConnection, id: RedriveId) -> Result<Option<Stored>, sqlx::Error> {
    let found: Option<Stored> = sqlx::query_as("SELECT * FROM redrives WHERE id = $1 FOR UPDATE")
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    with_progress(tx, found).await
}

/// The same for one that runs and that nobody else works on.
pub async fn take_up(tx: &mut PgConnection, id: RedriveId) -> Result<Option<Stored>, sqlx::Error> {
    let found: Option<Stored> = sqlx::query_as(
        "SELECT * FROM redrives WHERE id = $1 AND state IN ('canary', 'running')
         FOR UPDATE SKIP LOCKED",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await?;
    with_progress(tx, found).await
}

async fn with_progress(
    tx: &mut PgConnection,
    found: Option<Stored>,
) -> Result<Option<Stored>, sqlx::Error> {
    let Some(mut found) = found else { return Ok(None) };
    found.redrive.progress = progress(tx, found.redrive.id).await?;
    Ok(Some(found))
}

pub async fn active(tx: &mut PgConnection) -> Result<Vec<RedriveId>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT id FROM redrives WHERE state IN ('canary', 'running') ORDER BY number",
    )
    .fetch_all(tx)
    .await
}

pub async fn progress(
    tx: &mut PgConnection,
    id: RedriveId,
) -> Result<RedriveProgress, sqlx::Error> {
    Ok(progress_of(tx, &[id]).await?.remove(&id).unwrap_or_default())
}

/// How far several redrives are, in one statement; none without messages.
pub async fn progress_of(
    tx: &mut PgConnection,
    ids: &[RedriveId],
) -> Result<HashMap<RedriveId, RedriveProgress>, sqlx::Error> {
    let counts: Vec<(RedriveId, RedriveItemState, i64)> = sqlx::query_as(
        "SELECT redrive_id, state, count(*) FROM redrive_items WHERE redrive_id = ANY($1)
         GROUP BY redrive_id, state",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut found: HashMap<RedriveId, RedriveProgress> = HashMap::new();
    for (id, state, count) in counts {
        let progress = found.entry(id).or_default();
        progress.total += count;
        *match state {
            RedriveItemState::Waiting => &mut progress.waiting,
            RedriveItemState::Sent => &mut progress.sent,
            RedriveItemState::Redriven => &mut progress.redriven,
            RedriveItemState::FailedAgain => &mut progress.failed_again,
            RedriveItemState::Skipped => &mut progress.skipped,
            RedriveItemState::Unanswered => &mut progress.unanswered,
        } = count;
    }
    Ok(found)
}

pub async fn set_state(
    tx: &mut PgConnection,
    id: RedriveId,
    state: RedriveState,
    stop_reason: Option<&str>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let ended = matches!(state, RedriveState::Done | RedriveState::Canceled);
    sqlx::query(
        "UPDATE redrives SET state = $2, stop_reason = $3, started_at = coalesce(started_at, $4),
                finished_at = CASE WHEN $5 THEN $4 END
         WHERE id = $1",
    )
    .bind(id)
    .bind(state)
    .bind(stop_reason)
    .bind(now)
    .bind(ended)
    .execute(tx)
    .await?;
    Ok(())
}

/// What failed so far stops it no more.
pub async fn forgive(
    tx: &mut PgConnection,
    id: RedriveId,
    failures: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE redrives SET forgiven = $2 WHERE id = $1")
        .bind(id)
        .bind(failures)
        .execute(tx)
        .await?;
    Ok(())
}

pub async fn canary_passed(tx: &mut PgConnection, id: RedriveId) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE redrives SET state = 'running', canary_passed = true WHERE id = $1")
        .bind(id)
        .execute(tx)
        .await?;
    Ok(())
}

pub async fn paced(tx: &mut PgConnection, id: RedriveId, at: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE redrives SET paced_at = $2 WHERE id = $1")
        .bind(id)
        .bind(at)
        .execute(tx)
        .await?;
    Ok(())
}

/// The next messages to send, with their letters locked.
pub async fn next_items(
    tx: &mut PgConnection,
    id: RedriveId,
    limit: i64,
) -> Result<Vec<(i64, Letter)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT i.position, d.* FROM redrive_items i JOIN dead_letters d ON d.id = i.letter_id
         WHERE i.redrive_id = $1 AND i.state = 'waiting'
         ORDER BY i.position LIMIT $2 FOR UPDATE OF d",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(tx)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("position")?, Letter::from_row(row)?))).collect()
}

/// What became of messages when they were due.
pub async fn set_items(
    tx: &mut PgConnection,
    id: RedriveId,
    items: &[(i64, RedriveItemState, Option<String>)],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE redrive_items i SET state = t.state, note = t.note,
                sent_at = CASE WHEN t.state <> 'skipped' THEN $5 END,
                settled_at = CASE WHEN t.state <> 'sent' THEN $5 END
         FROM unnest($2::bigint[], $3::text[], $4::text[]) AS t(position, state, note)
         WHERE i.redrive_id = $1 AND i.position = t.position",
    )
    .bind(id)
    .bind(items.iter().map(|(position, ..)| *position).collect::<Vec<_>>())
    .bind(items.iter().map(|(_, state, _)| *state).collect::<Vec<_>>())
    .bind(items.iter().map(|(.., note)| note.clone()).collect::<Vec<_>>())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Settles the messages on their way that are this letter.
pub async fn settle_letter(
    tx: &mut PgConnection,
    letter: DeadLetterId,
    state: RedriveItemState,
    note: Option<&str>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE redrive_items SET state = $2, note = $3, settled_at = $4
         WHERE letter_id = $1 AND state IN ('sent', 'unanswered')",
    )
    .bind(letter)
    .bind(state)
    .bind(note)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives up waiting for answers to what was sent before `before`; the letters
/// are open again.
pub async fn give_up_waiting(
    tx: &mut PgConnection,
    before: Timestamp,
    now: Timestamp,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "WITH late AS (
            SELECT redrive_id, position, letter_id FROM redrive_items
            WHERE state = 'sent' AND sent_at < $1 LIMIT $3
         ), items AS (
            UPDATE redrive_items i SET state = 'unanswered', settled_at = $2 FROM late
            WHERE i.redrive_id = late.redrive_id AND i.position = late.position
         )
         UPDATE dead_letters d SET state = 'open' FROM late
         WHERE d.id = late.letter_id AND d.state = 'redriving' AND d.redrive_id = late.redrive_id",
    )
    .bind(before)
    .bind(now)
    .bind(limit)
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

pub async fn list(
    tx: &mut PgConnection,
    state: Option<RedriveState>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as(
        "SELECT * FROM redrives WHERE ($1::text IS NULL OR state = $1)
           AND ($2::bigint IS NULL OR number < $2) ORDER BY number DESC LIMIT $3",
    )
    .bind(state)
    .bind(before)
    .bind(limit)
    .fetch_all(tx)
    .await
}

pub async fn items(
    tx: &mut PgConnection,
    id: RedriveId,
    state: Option<RedriveItemState>,
    after: i64,
    limit: i64,
) -> Result<Vec<RedriveItem>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT position, letter_id, state, note, sent_at, settled_at FROM redrive_items
         WHERE redrive_id = $1 AND ($2::text IS NULL OR state = $2) AND position > $3
         ORDER BY position LIMIT $4",
    )
    .bind(id)
    .bind(state)
    .bind(after)
    .bind(limit)
    .fetch_all(tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(RedriveItem {
                position: row.try_get("position")?,
                letter_id: row.try_get("letter_id")?,
                state: row.try_get("state")?,
                note: row.try_get("note")?,
                sent_at: row.try_get("sent_at")?,
                settled_at: row.try_get("settled_at")?,
            })
        })
        .collect()
}
