//! Who did what, and why: append-only, hash-chained, written with the action.
//!
//! A service records an [`Entry`] on the transaction of the action through
//! [`Audit`], so there is never one without the other. Each row's hash covers
//! its content and the hash before it; `audit_head` holds the end of the chain
//! under a keyed seal. Entries leave by the outbox as [`AuditRecorded`].
//!
//! The head's row lock serialises the writers of a schema until they commit:
//! record last, right before the commit.

mod chain;
mod verify;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared_types::Timestamp;
use sqlx::{PgConnection, Row};

pub use chain::Hash;
pub use verify::{Finding, Report, verify};

use crate::clock::{Clock, Ids};
use crate::crypto::ColumnCipher;
use crate::outbox::{Event, NewEvent, Outbox};
use crate::trace;

use chain::Link;

/// Where entries are exported to.
pub const TOPIC: &str = "ecommerce.audit.audit";
/// Entries of one call, at most.
pub const MAX_ENTRIES: usize = 1_000;

const MAX_ACTOR_CHARS: usize = 200;
const MAX_ACTION_CHARS: usize = 100;
const MAX_TARGET_CHARS: usize = 300;
const MAX_REASON_CHARS: usize = 500;

/// Something a person or a service did. No personal data in any field: people
/// and things are named by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// [`crate::auth::Principal::actor`]: `user:…`, `service:…`.
    pub actor: String,
    /// Stable word: `inventory.adjust`, `dead_letter.view`.
    pub action: &'static str,
    /// What it was done to: `order:…`, `sku:…`.
    pub target: String,
    /// Of the state before and after; see [`hash_of`].
    pub before_hash: Option<Hash>,
    pub after_hash: Option<Hash>,
    /// Why, in the words of the one who did it.
    pub reason: Option<String>,
}

impl Entry {
    pub fn new(
        actor: impl Into<String>,
        action: &'static str,
        target: impl std::fmt::Display,
    ) -> Self {
        Entry {
            actor: actor.into(),
            action,
            target: target.to_string(),
            before_hash: None,
            after_hash: None,
            reason: None,
        }
    }

    /// The state that was found.
    pub fn before<T: Serialize + ?Sized>(mut self, state: &T) -> Self {
        self.before_hash = Some(hash_of(state));
        self
    }

    /// The state that was left.
    pub fn after<T: Serialize + ?Sized>(mut self, state: &T) -> Self {
        self.after_hash = Some(hash_of(state));
        self
    }

    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// SHA-256 of a state as JSON; zeros for what cannot be written as JSON.
pub fn hash_of<T: Serialize + ?Sized>(state: &T) -> Hash {
    serde_json::to_vec(state).map(|bytes| Sha256::digest(bytes).into()).unwrap_or_default()
}

/// An entry as it is exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecorded {
    /// The service whose log it is in, and its place there.
    pub service: String,
    pub seq: i64,
    pub actor: String,
    pub action: String,
    pub target: String,
    /// Hexadecimal, like all hashes here.
    pub before_hash: Option<String>,
    pub after_hash: Option<String>,
    pub reason: Option<String>,
    pub recorded_at: Timestamp,
    pub prev_hash: String,
    pub hash: String,
}

impl Event for AuditRecorded {
    const TYPE: &'static str = "ecommerce.audit.audit.recorded.v1";
    const TOPIC: &'static str = TOPIC;
    fn partition_key(&self) -> String {
        self.actor.clone()
    }
}

/// Writes the audit log of one service. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    service: &'static str,
    clock: Clock,
    ids: Ids,
    outbox: Outbox,
    cipher: ColumnCipher,
}

impl Audit {
    pub fn new(
        service: &'static str,
        clock: Clock,
        ids: Ids,
        outbox: Outbox,
        cipher: ColumnCipher,
    ) -> Self {
        Audit { service, clock, ids, outbox, cipher }
    }

    /// Records one entry on the transaction of what it tells of.
    pub async fn record(&self, tx: &mut PgConnection, entry: Entry) -> anyhow::Result<()> {
        self.record_all(tx, vec![entry]).await
    }

    /// Records several entries in the given order, at most [`MAX_ENTRIES`].
    pub async fn record_all(
        &self,
        tx: &mut PgConnection,
        entries: Vec<Entry>,
    ) -> anyhow::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(entries.len() <= MAX_ENTRIES, "{} audit entries at once", entries.len());
        // The lock that makes the chain one.
        let head =
            sqlx::query("SELECT seq, hash FROM audit_head FOR UPDATE").fetch_one(&mut *tx).await?;
        let mut seq: i64 = head.try_get("seq")?;
        let mut prev = chain::hash_from(&head.try_get::<Vec<u8>, _>("hash")?);
        let (at, context) = (self.clock.now(), trace::current());
        let mut links = Vec::with_capacity(entries.len());
        for entry in entries {
            seq += 1;
            let link = Link::new(seq, at, bounded(entry), &context.correlation_id, prev);
            prev = link.hash;
            links.push(link);
        }
        insert(tx, &links).await?;
        sqlx::query("UPDATE audit_head SET seq = $1, hash = $2, seal = $3")
            .bind(seq)
            .bind(&prev[..])
            .bind(&verify::seal(&self.cipher, seq, &prev)[..])
            .execute(&mut *tx)
            .await?;
        let mut events = Vec::with_capacity(links.len());
        for link in &links {
            events.push(NewEvent::of(&self.ids, &link.exported(self.service))?);
        }
        self.outbox.append_all(tx, events).await
    }
}

fn bounded(entry: Entry) -> Entry {
    let cut = |text: String, chars: usize| -> String {
        text.chars().filter(|c| *c != '\0').take(chars).collect()
    };
    Entry {
        actor: cut(entry.actor, MAX_ACTOR_CHARS),
        target: cut(entry.target, MAX_TARGET_CHARS),
        reason: entry.reason.map(|r| cut(r, MAX_REASON_CHARS)),
        action: entry.action.get(..MAX_ACTION_CHARS).unwrap_or(entry.action),
        ..entry
    }
}

async fn insert(tx: &mut PgConnection, links: &[Link]) -> Result<(), sqlx::Error> {
    // One bind per column, whatever the number of rows.
    let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut reasons = Vec::with_capacity(links.len());
    let (mut befores, mut afters) = (Vec::new(), Vec::new());
    for link in links {
        texts.entry("actor").or_default().push(&link.actor);
        texts.entry("action").or_default().push(&link.action);
        texts.entry("target").or_default().push(&link.target);
        texts.entry("correlation").or_default().push(&link.correlation_id);
        reasons.push(link.reason.as_deref());
        befores.push(link.before_hash.map(|h| h.to_vec()));
        afters.push(link.after_hash.map(|h| h.to_vec()));
    }
    sqlx::query(
        "INSERT INTO audit_log (seq, at, actor, action, target, correlation_id, reason,
                                before_hash, after_hash, prev_hash, hash)
         SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[],
                              $6::text[], $7::text[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[])",
    )
    .bind(links.iter().map(|l| l.seq).collect::<Vec<_>>())
    .bind(links.iter().map(|l| l.at).collect::<Vec<_>>())
    .bind(&texts["actor"])
    .bind(&texts["action"])
    .bind(&texts["target"])
    .bind(&texts["correlation"])
    .bind(reasons)
    .bind(befores)
    .bind(afters)
    .bind(links.iter().map(|l| l.prev_hash.to_vec()).collect::<Vec<_>>())
    .bind(links.iter().map(|l| l.hash.to_vec()).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}
