//! One effect per `Idempotency-Key`, whatever is sent twice.
//!
//! A request takes an advisory lock that dies with its transaction, looks for a
//! record, and otherwise works inside that same transaction and writes the
//! record complete, with the effect. There is never a "started" row.

mod turns;

use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared_types::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction};

use crate::auth::Principal;
use crate::error::{ApiError, Kind};
use crate::service::Context;

pub use turns::{Turn, Turns};

/// How long a duplicate waits for the answer of the first.
const WAIT_FOR_FIRST: Duration = Duration::from_secs(5);
/// How long records are kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
const MAX_KEY_CHARS: usize = 255;
/// Without a credential the key alone is the scope and must be hard to guess.
const MIN_BARE_KEY_CHARS: usize = 16;

/// The `Idempotency-Key` header, bare or quoted; 400 when it is missing.
pub fn header_value(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        let detail = "Send an Idempotency-Key header.";
        return Err(ApiError::new(Kind::Unparseable, "idempotency.key_missing", detail));
    };
    key_text(value.to_str().unwrap_or(""))
}

/// A key as it was given, bare or quoted; 400 when it cannot be one.
pub fn key_text(given: &str) -> Result<String, ApiError> {
    let text = given.trim();
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    let visible = text.bytes().all(|b| (0x21..=0x7e).contains(&b));
    if text.is_empty() || text.len() > MAX_KEY_CHARS || !visible {
        let detail = "An Idempotency-Key has 1 to 255 visible characters.";
        return Err(ApiError::new(Kind::Unparseable, "idempotency.key_invalid", detail));
    }
    Ok(text.to_owned())
}

/// A key in its scope, with the fingerprint of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Route, caller and key, hashed.
    pub scope: [u8; 32],
    /// Method, path and canonical body, hashed.
    pub fingerprint: [u8; 32],
}

impl IdempotencyKey {
    pub fn new(
        route: &str,
        caller: &Principal,
        key: &str,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<Self, ApiError> {
        let canonical = canonical_json(body);
        let fingerprint = hash(&[method.as_str(), path, &canonical]);
        IdempotencyKey::printed(route, Some(caller), key, fingerprint)
    }

    /// A key with a fingerprint of the caller's making: for payloads with secrets,
    /// whose plain hash would be one to guess at.
    pub fn printed(
        route: &str,
        caller: Option<&Principal>,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<Self, ApiError> {
        let who = caller.map(Principal::idempotency_scope).unwrap_or_default();
        if who.is_empty() && key.len() < MIN_BARE_KEY_CHARS {
            let detail = "Without a credential, an Idempotency-Key needs at least 16 characters.";
            return Err(ApiError::new(Kind::Unparseable, "idempotency.key_invalid", detail));
        }
        Ok(IdempotencyKey { scope: hash(&[route, &who, key]), fingerprint })
    }

    fn lock_id(&self) -> i64 {
        let mut bytes = [0u8; 8];
        bytes.copy_from_slice(&self.scope[..8]);
        i64::from_be_bytes(bytes)
    }
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

/// Equal requests give equal texts: keys sorted, `25`, `25.0` and `25.00` alike.
fn canonical_json(body: &[u8]) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Object(members) => {
                let mut names: Vec<_> = members.iter().filter(|(_, v)| !v.is_null()).collect();
                names.sort_by_key(|(name, _)| name.as_str());
                out.push('{');
                for (name, value) in names {
                    out.push_str(&Value::from(name.as_str()).to_string());
                    out.push(':');
                    write(value, out);
                    out.push(',');
                }
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                for item in items {
                    write(item, out);
                    out.push(',');
                }
                out.push(']');
            }
            Value::Number(number) => {
                let text = number.to_string();
                out.push_str(text.strip_suffix(".0").unwrap_or(&text));
            }
            other => out.push_str(&other.to_string()),
        }
    }
    let mut out = String::new();
    match serde_json::from_slice(body) {
        Ok(value) => write(&value, &mut out),
        Err(_) => out.push_str(&String::from_utf8_lossy(body)),
    }
    out
}

/// An answer as it was given, and is given again byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    pub location: Option<String>,
    /// It comes from the record, not from work done now.
    pub replayed: bool,
}

impl Answer {
    pub fn json<T: serde::Serialize>(status: StatusCode, body: &T) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(body).map_err(ApiError::internal)?;
        Ok(Answer { status, content_type: JSON, body, location: None, replayed: false })
    }

    pub fn problem(error: &ApiError) -> Self {
        let (status, body) = (error.status(), error.body());
        Answer { status, content_type: PROBLEM, body, location: None, replayed: false }
    }

    pub fn located(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }
}

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(Ok(location)) = self.location.map(|l| HeaderValue::from_str(&l)) {
            headers.insert(header::LOCATION, location);
        }
        if self.replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

/// What entering under a key gives.
pub enum Entered {
    /// It was done before: give this answer again.
    Replay(Answer),
    /// It is ours to do, inside this transaction.
    Run(Box<Work>),
}

/// A transaction that holds the key's lock; without a key, just a transaction.
pub struct Work {
    tx: Transaction<'static, Postgres>,
    key: Option<IdempotencyKey>,
}

/// [`enter`], where the key is optional: without one the work is always ours.
pub async fn enter_if(pool: &PgPool, key: Option<&IdempotencyKey>) -> Result<Entered, ApiError> {
    match key {
        Some(key) => enter(pool, key).await,
        None => Ok(Entered::Run(Box::new(Work { tx: pool.begin().await?, key: None }))),
    }
}

/// Takes the key's lock and looks whether the work was done already.
///
/// 422 `idempotency.mismatch` when the key came with another payload; 409
/// `idempotency.in_flight` when the first still runs after five seconds.
pub async fn enter(pool: &PgPool, key: &IdempotencyKey) -> Result<Entered, ApiError> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let mut tx = pool.begin().await?;
        let row = sqlx::query("SELECT pg_try_advisory_xact_lock($1) AS locked")
            .bind(key.lock_id())
            .fetch_one(&mut *tx)
            .await?;
        if row.get::<bool, _>("locked") {
            // A separate statement: its snapshot must be younger than the lock.
            return match find(&mut tx, key).await? {
                Some(answer) => Ok(Entered::Replay(answer)),
                None => Ok(Entered::Run(Box::new(Work { tx, key: Some(key.clone()) }))),
            };
        }
        // Waiting must not hold a connection that the first may need.
        drop(tx);
        if started.elapsed() >= WAIT_FOR_FIRST {
            return Err(in_flight());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

fn in_flight() -> ApiError {
    let detail = "The first request with this key still runs.";
    let error = ApiError::new(Kind::Conflict, "idempotency.in_flight", detail);
    error.retry_after(Duration::from_secs(1))
}

/// A member of a `WITH` that writes the record in the statement that makes the
/// effect. `gate` names a member with one row when the effect was made;
/// parameters from `first` on take scope, fingerprint, status, content type,
/// body text, location and time; `body` makes the body out of its parameter's
/// text and the columns of `gate`. A key that is taken fails the statement:
/// see [`is_taken`].
pub fn recording(gate: &str, first: usize, body: impl Fn(&str) -> String) -> String {
    let at = |n: usize| format!("${}", first + n);
    format!(
        "recorded AS (
    INSERT INTO idempotency_records (scope, fingerprint, status, content_type, body, location,
        created_at)
    SELECT {}, {}, {}, {}, convert_to({}, 'UTF8'), {}, {} FROM {gate}
)",
        at(0),
        at(1),
        at(2),
        at(3),
        body(&at(4)),
        at(5),
        at(6),
    )
}

/// Whether a statement failed because somebody else was first: a row with this
/// key, or with an id that derives from it, is there already.
pub fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.is_unique_violation())
}

/// The answer that was remembered under `key`; 422 `idempotency.mismatch` when
/// it belongs to another payload.
pub async fn find(tx: &mut PgConnection, key: &IdempotencyKey) -> Result<Option<Answer>, ApiError> {
    let row = sqlx::query(
        "SELECT fingerprint, status AS answer_status, content_type, body, location
         FROM idempotency_records WHERE scope = $1",
    )
    .bind(&key.scope[..])
    .fetch_optional(tx)
    .await?;
    row.map_or(Ok(None), |row| remembered(&row, key))
}

/// The answer in a row with the columns `fingerprint`, `answer_status`,
/// `content_type`, `body` and `location` of a record, all NULL when there is
/// none. Otherwise like [`find`].
pub fn remembered(row: &PgRow, key: &IdempotencyKey) -> Result<Option<Answer>, ApiError> {
    let Some(fingerprint) = row.get::<Option<Vec<u8>>, _>("fingerprint") else { return Ok(None) };
    if fingerprint != key.fingerprint {
        let detail = "This Idempotency-Key was used with another payload.";
        return Err(ApiError::new(Kind::Refused, "idempotency.mismatch", detail));
    }
    let json = row.get::<String, _>("content_type") == JSON;
    Ok(Some(Answer {
        status: StatusCode::from_u16(row.get::<i16, _>("answer_status") as u16)
            .map_err(ApiError::internal)?,
        content_type: if json { JSON } else { PROBLEM },
        body: row.get("body"),
        location: row.get("location"),
        replayed: true,
    }))
}

impl Work {
    /// The transaction to work in.
    pub fn tx(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Writes the record and commits it together with the effect.
    pub async fn finish(mut self, answer: Answer, now: Timestamp) -> Result<Answer, ApiError> {
        if let Some(key) = &self.key {
            record(&mut self.tx, key, &answer, now).await?;
        }
        self.tx.commit().await?;
        Ok(answer)
    }

    /// Commits without a record: for work that goes on after this transaction,
    /// knows its key itself and is remembered later through [`record`].
    pub async fn begun(self) -> Result<(), ApiError> {
        Ok(self.tx.commit().await?)
    }

    /// Gives up: nothing was changed and nothing is remembered.
    pub async fn abandon(self) -> Result<(), ApiError> {
        Ok(self.tx.rollback().await?)
    }
}

/// Remembers another answer than before, for work whose last part follows its
/// commit. Whoever may read the first one must be kept out meanwhile.
pub async fn amend(
    tx: &mut PgConnection,
    key: &IdempotencyKey,
    answer: &Answer,
) -> Result<(), ApiError> {
    sqlx::query("UPDATE idempotency_records SET body = $2 WHERE scope = $1")
        .bind(&key.scope[..])
        .bind(&answer.body)
        .execute(tx)
        .await?;
    Ok(())
}

/// Remembers `answer` under `key` on this transaction; false when one is
/// remembered already, which then stays.
pub async fn record(
    tx: &mut PgConnection,
    key: &IdempotencyKey,
    answer: &Answer,
    now: Timestamp,
) -> Result<bool, ApiError> {
    let done = sqlx::query(
        "INSERT INTO idempotency_records (scope, fingerprint, status, content_type, body, location, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (scope) DO NOTHING",
    )
    .bind(&key.scope[..])
    .bind(&key.fingerprint[..])
    .bind(answer.status.as_u16() as i16)
    .bind(answer.content_type)
    .bind(&answer.body)
    .bind(&answer.location)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

const PRUNE_EVERY: Duration = Duration::from_secs(60);
const PRUNE_AT_MOST: i64 = 5_000;

/// Forgets records whose time is over, until the drain.
pub async fn pruning(ctx: Context) -> anyhow::Result<()> {
    while ctx.lifecycle.sleep(PRUNE_EVERY).await {
        if let Err(error) = prune(&ctx.pool, ctx.clock.now(), PRUNE_AT_MOST).await {
            tracing::warn!(%error, "idempotency records stay for now");
        }
    }
    Ok(())
}

/// Deletes records older than [`KEPT`], at most `limit` at a time.
pub async fn prune(pool: &PgPool, now: Timestamp, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM idempotency_records WHERE scope IN
           (SELECT scope FROM idempotency_records WHERE created_at < $1 LIMIT $2)",
    )
    .bind(now.minus(KEPT))
    .bind(limit)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_payloads_have_equal_canonical_forms() {
        let a = canonical_json(br#"{"b":25.00,"a":[1,{"y":null,"x":2}]}"#);
        let b = canonical_json(br#"{ "a": [1.0, {"x": 2}], "b": 25 }"#);
        assert_eq!(a, b);
        assert_ne!(a, canonical_json(br#"{"a":[1,{"x":2}],"b":25.01}"#));
    }

    #[test]
    fn keys_may_be_quoted_but_not_empty() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", value.parse().unwrap());
            header_value(&headers)
        };
        assert_eq!(with("\"abc\"").unwrap(), "abc");
        assert_eq!(with("abc").unwrap(), "abc");
        assert!(with("\"\"").is_err());
        assert!(header_value(&HeaderMap::new()).is_err());
    }
}
