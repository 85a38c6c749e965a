//! How dead letters, the results of redrives, and audit entries come in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::events::audit::AuditRecorded;
use contracts::topics;
use platform::Context;
use platform::consumer::runner::{REDRIVE_OF, REDRIVE_OUTCOME, REDRIVE_RESULTS};
use platform::consumer::{Consumer, Done, Handle, HandleError, RawMessage, TakeRaw};
use platform::outbox::{DEAD_OUTBOX, Envelope};
use shared_types::DeadLetterId;
use shared_types::operations::RedriveItemState;
use sqlx::PgConnection;

use crate::domain::facts;
use crate::store::letters::{self, NewLetter};
use crate::store::{self, redrives};
use crate::{App, domain};

pub fn consumer(app: &App) -> Consumer {
    let wait = Duration::from_millis(app.settings.fetch_wait_ms);
    let letters = Arc::new(Letters { ctx: app.ctx.clone() });
    let mut consumer = Consumer::new("operations", wait)
        .on::<AuditRecorded, _>(Arc::new(AuditFacts))
        .on_raw(REDRIVE_RESULTS, Arc::new(Results { ctx: app.ctx.clone() }))
        .on_raw(DEAD_OUTBOX, letters.clone());
    for topic in dead_letter_topics() {
        consumer = consumer.on_raw(topic, letters.clone());
    }
    consumer
}

/// Every `*.DLQ`. Made once per process: topics are named for as long as it
/// runs.
fn dead_letter_topics() -> impl Iterator<Item = &'static str> {
    static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    let make = || topics::TOPICS.iter().map(|t| topics::dead_letters(t.name)).collect();
    NAMES.get_or_init(make).iter().map(String::as_str)
}

/// Takes dead letters into the inbox.
struct Letters {
    ctx: Context,
}

#[async_trait]
impl TakeRaw for Letters {
    async fn take(&self, tx: &mut PgConnection, message: &RawMessage) -> anyhow::Result<()> {
        let place = (message.topic.as_str(), message.partition, message.offset);
        if letters::has_arrived(tx, place).await? {
            return Ok(());
        }
        let (headers, now) = (&message.headers, self.ctx.clock.now());
        let failed = facts::failed(headers, place);
        let redrive_of = redriven(headers);
        let id = match letters::find_same(tx, redrive_of, &failed).await? {
            Some(id) => {
                letters::failed_again(tx, id, &failed, now).await?;
                let state = RedriveItemState::FailedAgain;
                redrives::settle_letter(tx, id, state, Some(&failed.error_code), now).await?;
                count_result("failed_again");
                id
            }
            None => {
                let id: DeadLetterId = self.ctx.ids.next();
                let facts = domain::facts::facts(&failed.topic, &message.value, headers);
                let new = NewLetter {
                    id,
                    copy_of: None,
                    key: &message.key,
                    value: &message.value,
                    headers,
                    facts: &facts,
                    failed: &failed,
                    times_failed: 1,
                    now,
                };
                letters::insert(tx, new).await?;
                id
            }
        };
        letters::arrived(tx, place, id, &failed, now).await?;
        let labels = [("consumer", failed.consumer.clone()), ("code", failed.error_code.clone())];
        metrics::counter!("dead_letters_received_total", &labels).increment(1);
        Ok(())
    }
}

fn redriven(headers: &BTreeMap<String, String>) -> Option<DeadLetterId> {
    headers.get(REDRIVE_OF)?.parse().ok()
}

pub fn count_result(outcome: &'static str) {
    metrics::counter!("redrive_results_total", "outcome" => outcome).increment(1);
}

/// Hears what consumers made of messages that were sent back.
struct Results {
    ctx: Context,
}

#[async_trait]
impl TakeRaw for Results {
    async fn take(&self, tx: &mut PgConnection, message: &RawMessage) -> anyhow::Result<()> {
        // A stranger's record tells of no letter.
        let Some(id) = redriven(&message.headers) else { return Ok(()) };
        let outcome = message.headers.get(REDRIVE_OUTCOME).map(String::as_str);
        let note = match outcome {
            Some("duplicate") => Some("it had been handled before"),
            Some("ignored") => Some("its consumer does not listen to this type any more"),
            _ => None,
        };
        let now = self.ctx.clock.now();
        if letters::handled(tx, id, now).await? {
            letters::supersede(tx, id, now).await?;
            count_result("redriven");
        }
        redrives::settle_letter(tx, id, RedriveItemState::Redriven, note, now).await?;
        Ok(())
    }
}

/// Keeps a copy of what every service did.
struct AuditFacts;

#[async_trait]
impl Handle<AuditRecorded> for AuditFacts {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<AuditRecorded>,
    ) -> Result<Done, HandleError> {
        store::facts::insert(tx, &event.payload).await?;
        Ok(Done::quietly())
    }
}
