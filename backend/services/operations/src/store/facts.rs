//! A copy of every audit entry that services exported.

use contracts::events::audit::AuditRecorded;
use shared_types::operations::AuditFact;
use sqlx::{PgConnection, Row};

pub async fn insert(tx: &mut PgConnection, fact: &AuditRecorded) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO audit_facts (service, seq, at, actor, action, target, reason, before_hash,
                                  after_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
    )
    .bind(&fact.service)
    .bind(fact.seq)
    .bind(fact.recorded_at)
    .bind(&fact.actor)
    .bind(&fact.action)
    .bind(&fact.target)
    .bind(&fact.reason)
    .bind(&fact.before_hash)
    .bind(&fact.after_hash)
    .bind(&fact.hash)
    .execute(tx)
    .await?;
    Ok(())
}

/// What the search is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub service: Option<String>,
    pub actor: Option<String>,
    pub action: Option<String>,
    pub target: Option<String>,
}

pub async fn list(
    tx: &mut PgConnection,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<AuditFact>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT * FROM audit_facts WHERE ($1::text IS NULL OR service = $1)
           AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR action = $3)
           AND ($4::text IS NULL OR target = $4) AND ($5::bigint IS NULL OR id < $5)
         ORDER BY id DESC LIMIT $6",
    )
    .bind(&filter.service)
    .bind(&filter.actor)
    .bind(&filter.action)
    .bind(&filter.target)
    .bind(before)
    .bind(limit)
    .fetch_all(tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AuditFact {
                id: row.try_get("id")?,
                service: row.try_get("service")?,
                seq: row.try_get("seq")?,
                at: row.try_get("at")?,
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                target: row.try_get("target")?,
                reason: row.try_get("reason")?,
                before_hash: row.try_get("before_hash")?,
                after_hash: row.try_get("after_hash")?,
                hash: row.try_get("hash")?,
            })
        })
        .collect()
}
