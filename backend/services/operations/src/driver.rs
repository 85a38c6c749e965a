//! Moves redrives on: sends at their rate, watches for failures, ends them.
//!
//! Everything a tick does is one transaction with the redrive locked, so that
//! any instance may do the next one, and none sends a message twice.

use std::time::Duration;

use platform::ApiError;
use platform::audit::Entry;
use shared_types::operations::{LetterState, RedriveItemState, RedriveState};
use shared_types::{DeadLetterId, RedriveId};
use sqlx::PgConnection;

use crate::App;
use crate::domain::facts::is_of_relay;
use crate::domain::pace::{self, Step};
use crate::store::letters::{self, Letter};
use crate::store::redrives::{self, Stored};
use crate::{intake, outbound};

/// How often it looks whether a redrive was started elsewhere.
const IDLE: Duration = Duration::from_millis(500);
const GIVEN_UP_AT_ONCE: i64 = 1_000;

/// Works until the drain; an outage of the database only delays.
pub async fn run(app: App) -> anyhow::Result<()> {
    let house = app.ctx.lifecycle.clone();
    while !house.is_draining() {
        let active = match tick_all(&app).await {
            Ok(active) => active,
            Err(error) => {
                tracing::warn!(error = format!("{error:?}"), "redrives wait");
                false
            }
        };
        let wait = if active { Duration::from_millis(app.settings.tick_ms) } else { IDLE };
        tokio::select! {
            () = house.draining() => {}
            () = app.started.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    Ok(())
}

/// One tick of every running redrive; whether there was any.
async fn tick_all(app: &App) -> Result<bool, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let active = redrives::active(&mut connection).await?;
    if !active.is_empty() {
        let now = app.ctx.clock.now();
        let before = now.minus(app.settings.answer_within());
        redrives::give_up_waiting(&mut connection, before, now, GIVEN_UP_AT_ONCE).await?;
    }
    drop(connection);
    for id in &active {
        tick(app, *id).await?;
    }
    Ok(!active.is_empty())
}

async fn tick(app: &App, id: RedriveId) -> Result<(), ApiError> {
    let mut tx = app.ctx.pool.begin().await?;
    let Some(stored) = redrives::take_up(&mut tx, id).await? else { return Ok(()) };
    let now = app.ctx.clock.now();
    let progress = &stored.redrive.progress;
    match pace::next(&stored.running, progress, app.settings.max_in_flight, now) {
        Step::Wait => return Ok(()),
        Step::Send { count, paced_at } => {
            send(app, &mut tx, &stored, count).await?;
            redrives::paced(&mut tx, id, paced_at).await?;
        }
        Step::CanaryPassed => redrives::canary_passed(&mut tx, id).await?,
        Step::Stop(why) => {
            tracing::warn!(redrive = %id, why, "a redrive stopped");
            redrives::set_state(&mut tx, id, RedriveState::Stopped, Some(&why), now).await?;
            let entry = Entry::new("service:operations", "redrive.stop", format!("redrive:{id}"));
            app.ctx.audit.record(&mut tx, entry.because(why)).await?;
        }
        Step::Done => {
            redrives::set_state(&mut tx, id, RedriveState::Done, None, now).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn send(
    app: &App,
    tx: &mut PgConnection,
    stored: &Stored,
    count: i64,
) -> Result<(), ApiError> {
    let (redrive, now) = (&stored.redrive, app.ctx.clock.now());
    let mut items = Vec::new();
    let (mut sent, mut roots) = (Vec::new(), Vec::new());
    let mut entries = Vec::new();
    for (position, letter) in redrives::next_items(tx, redrive.id, count).await? {
        if let Some(why) = obstacle(app, tx, &letter, &roots).await? {
            items.push((position, RedriveItemState::Skipped, Some(why.to_owned())));
            continue;
        }
        app.ctx.outbox.append_raw(tx, outbound::redrive(&letter)).await?;
        entries.push(audited(stored, &letter));
        sent.push(letter.id());
        roots.push(letter.root());
        // Nobody answers for a topic; the relay sees to it that it arrives.
        let state = match is_of_relay(letter.consumer()) {
            true => RedriveItemState::Redriven,
            false => RedriveItemState::Sent,
        };
        items.push((position, state, None));
    }
    letters::sent_with(tx, &sent, redrive.id).await?;
    redrives::set_items(tx, redrive.id, &items, now).await?;
    for (letter, (_, state, _)) in
        sent.iter().zip(items.iter().filter(|(_, s, _)| *s != RedriveItemState::Skipped))
    {
        if *state == RedriveItemState::Redriven {
            letters::handled(tx, *letter, now).await?;
            letters::supersede(tx, *letter, now).await?;
            intake::count_result("redriven");
        }
    }
    metrics::counter!("redrive_sent_total").increment(sent.len() as u64);
    app.ctx.audit.record_all(tx, entries).await?;
    Ok(())
}

fn audited(stored: &Stored, letter: &Letter) -> Entry {
    let redrive = &stored.redrive;
    let target = format!("dead_letter:{}", letter.id());
    let entry = Entry::new(redrive.created_by.clone(), "dead_letter.redrive", target);
    let why = redrive.reason.clone().unwrap_or_default();
    entry.because(format!("redrive:{} {why}", redrive.id).trim().to_owned())
}

/// Why a letter is not sent now.
async fn obstacle(
    app: &App,
    tx: &mut PgConnection,
    letter: &Letter,
    roots: &[DeadLetterId],
) -> Result<Option<&'static str>, ApiError> {
    match letter.summary.state {
        LetterState::Open => {}
        LetterState::Redriving => return Ok(Some("another redrive has sent it")),
        _ => return Ok(Some("it was resolved meanwhile")),
    }
    if !is_of_relay(letter.consumer()) && !app.consumers.contains(&letter.consumer()) {
        return Ok(Some("its consumer does not exist"));
    }
    if is_cut(letter) {
        return Ok(Some("it is too large to travel; only its beginning is here"));
    }
    // Copies of one message share its place: one at a time.
    let beside = roots.contains(&letter.root())
        || letters::relative_in_the_way(tx, letter.root(), letter.id()).await?;
    Ok(beside.then_some("its original or another copy is on its way"))
}

/// Whether a message of the relay is only a part of it.
pub fn is_cut(letter: &Letter) -> bool {
    letter.headers.get("x-outbox-cut").is_some_and(|cut| cut == "true")
}
