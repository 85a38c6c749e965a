//! Several events in one transaction, all or none.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use shared_types::Timestamp;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::attempt::{self, Outcome};
use super::message::Incoming;
use crate::consumer::{AfterCommit, Consumer, HandleAll, HandleError, Handler, Received};
use crate::telemetry::{self, Open, SpanKind};
use crate::trace::{self, TraceContext};

/// An event that somebody listens to, and has not heard yet as far as this
/// process knows.
struct Wanted<'a> {
    handler: &'a Arc<dyn Handler>,
    event: Received,
    message: &'a Incoming,
}

/// Handles `messages`, which are of one partition, in their order. False, or an
/// error, when nothing was done: one of them has to queue up behind a parked
/// one, or failed.
pub async fn run(
    consumer: &Consumer,
    pool: &PgPool,
    now: Timestamp,
    messages: &[Incoming],
) -> Result<bool, HandleError> {
    let wanted = wanted(consumer, messages)?;
    if wanted.is_empty() {
        return Ok(true);
    }
    let mut tx = pool.begin().await?;
    let Some(mut admitted) = admit(consumer, &mut tx, now, &wanted).await? else {
        tx.rollback().await?;
        return Ok(false);
    };
    let (done, then) = match consumer.all() {
        Some(all) => at_once(consumer, all.as_ref(), &mut tx, &wanted, &mut admitted).await?,
        None => in_turn(consumer, &mut tx, &wanted, &mut admitted).await?,
    };
    tx.commit().await?;
    for work in then {
        attempt::after(work);
    }
    for (Wanted { event, .. }, (outcome, began)) in wanted.iter().zip(&done) {
        attempt::count(consumer.name, event, outcome, *began);
    }
    Ok(true)
}

/// What became of an event, and when work on it began.
type Handled = (Result<Outcome, HandleError>, Instant);

/// What became of each event, and what to do after the commit.
type Work = (Vec<Handled>, Vec<AfterCommit>);

/// All new events by one handler that takes them together.
async fn at_once(
    consumer: &Consumer,
    all: &dyn HandleAll,
    tx: &mut PgConnection,
    wanted: &[Wanted<'_>],
    admitted: &mut HashSet<Uuid>,
) -> Result<Work, HandleError> {
    let began = Instant::now();
    let (mut done, mut new, mut spans) = (Vec::with_capacity(wanted.len()), Vec::new(), Vec::new());
    for Wanted { event, .. } in wanted {
        // An event that came twice in this chunk is admitted once.
        if !admitted.remove(&event.event_id) {
            done.push((Ok(Outcome::Duplicate), began));
            continue;
        }
        new.push(event);
        spans.push(span(consumer, event).1);
        done.push((Ok(Outcome::Done), began));
    }
    let handled = attempt::handle_all(consumer, all, tx, &new).await;
    for span in spans {
        span.end(handled.is_err());
    }
    Ok((done, handled?.after_commit.into_iter().collect()))
}

/// One event after the other, each by the handler of its type.
async fn in_turn(
    consumer: &Consumer,
    tx: &mut PgConnection,
    wanted: &[Wanted<'_>],
    admitted: &mut HashSet<Uuid>,
) -> Result<Work, HandleError> {
    let mut done = Vec::with_capacity(wanted.len());
    let mut after_commit: Vec<AfterCommit> = Vec::new();
    for Wanted { handler, event, .. } in wanted {
        let began = Instant::now();
        // An event that came twice in this chunk is admitted once.
        if !admitted.remove(&event.event_id) {
            done.push((Ok(Outcome::Duplicate), began));
            continue;
        }
        let (context, span) = span(consumer, event);
        let work = attempt::handle(consumer, handler.as_ref(), tx, event);
        let handled = trace::within(context, work).await;
        span.end(handled.is_err());
        after_commit.extend(handled?.after_commit);
        done.push((Ok(Outcome::Done), began));
    }
    Ok((done, after_commit))
}

/// The work on an event as a span of what made it.
fn span(consumer: &Consumer, event: &Received) -> (TraceContext, Open) {
    let context = TraceContext::of_event(&event.trace_id, &event.correlation_id, event.event_id);
    let span = telemetry::begin(consumer.name, SpanKind::Consumer, &context, || {
        format!("process {}", event.event_type)
    });
    (context, span)
}

/// What is left to do; an error when one of them is no event.
fn wanted<'a>(
    consumer: &'a Consumer,
    messages: &'a [Incoming],
) -> Result<Vec<Wanted<'a>>, HandleError> {
    let mut wanted = Vec::with_capacity(messages.len());
    for message in messages {
        let event = attempt::decode(&message.value)?;
        let Some(handler) = consumer.handler(&event.event_type) else { continue };
        if !handler.is_known(&event) {
            wanted.push(Wanted { handler, event, message });
        }
    }
    Ok(wanted)
}

/// Writes the inbox rows and says which events are new; none when one has to
/// queue up.
async fn admit(
    consumer: &Consumer,
    tx: &mut PgConnection,
    now: Timestamp,
    wanted: &[Wanted<'_>],
) -> Result<Option<HashSet<Uuid>>, HandleError> {
    let row = sqlx::query(ADMIT)
        .bind(consumer.name)
        .bind(wanted.iter().map(|w| w.event.event_id).collect::<Vec<_>>())
        .bind(now)
        .bind(wanted.iter().map(|w| w.message.topic.as_str()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|w| w.message.key.as_slice()).collect::<Vec<_>>())
        .fetch_one(tx)
        .await?;
    if row.try_get("behind")? {
        return Ok(None);
    }
    let admitted: Vec<Uuid> = row.try_get("admitted")?;
    Ok(Some(admitted.into_iter().collect()))
}

/// The inbox rows, unless one of the events has to queue up behind a parked one.
const ADMIT: &str = "
WITH waiting AS (
    SELECT EXISTS (
        SELECT 1 FROM parked p
        JOIN unnest($4::text[], $5::bytea[]) AS m(topic, message_key)
          ON p.consumer = $1 AND p.topic = m.topic AND p.message_key = m.message_key
        WHERE octet_length(m.message_key) > 0
    ) AS behind
), admitted AS (
    INSERT INTO inbox (consumer, event_id, done_at)
    SELECT $1, event_id, $3 FROM unnest($2::uuid[]) AS e(event_id), waiting WHERE NOT behind
    ON CONFLICT DO NOTHING
    RETURNING event_id
)
SELECT behind, ARRAY(SELECT event_id FROM admitted) AS admitted FROM waiting";
