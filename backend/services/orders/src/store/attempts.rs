//! Payment attempts: each try to pay is a row.

use platform::idempotency::IdempotencyKey;
use shared_types::{AttemptId, OrderId, Timestamp};
use sqlx::{PgConnection, Row};

/// What became of the attempt that a request to pay started.
#[derive(Clone, Debug)]
pub struct RequestedAttempt {
    pub attempt_id: AttemptId,
    pub order_id: OrderId,
    pub state: String,
    pub started_at: Timestamp,
}

/// The attempt that the request with this key started.
pub async fn of_request(
    tx: &mut PgConnection,
    key: &IdempotencyKey,
) -> Result<Option<(RequestedAttempt, bool)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT attempt_id, order_id, state, started_at, fingerprint
         FROM payment_attempts WHERE scope = $1",
    )
    .bind(&key.scope[..])
    .fetch_optional(tx)
    .await?;
    row.map(|row| {
        let same = row.try_get::<Vec<u8>, _>("fingerprint")? == key.fingerprint;
        let attempt = RequestedAttempt {
            attempt_id: row.try_get("attempt_id")?,
            order_id: row.try_get("order_id")?,
            state: row.try_get("state")?,
            started_at: row.try_get("started_at")?,
        };
        Ok((attempt, same))
    })
    .transpose()
}

/// An attempt that a request starts.
pub struct NewAttempt<'a> {
    pub attempt_id: AttemptId,
    pub order_id: OrderId,
    pub key: &'a IdempotencyKey,
    pub method: &'a str,
    pub token_sealed: &'a [u8],
    pub actor: &'a str,
    pub now: Timestamp,
}

pub async fn insert(tx: &mut PgConnection, new: &NewAttempt<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payment_attempts
            (attempt_id, order_id, scope, fingerprint, token_sealed, method, state, actor, started_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $8)",
    )
    .bind(new.attempt_id)
    .bind(new.order_id)
    .bind(&new.key.scope[..])
    .bind(&new.key.fingerprint[..])
    .bind(new.token_sealed)
    .bind(new.method)
    .bind(new.actor)
    .bind(new.now)
    .execute(tx)
    .await?;
    Ok(())
}

/// The request's key is free for another attempt.
pub async fn detach(tx: &mut PgConnection, attempt_id: AttemptId) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE payment_attempts SET scope = NULL WHERE attempt_id = $1")
        .bind(attempt_id)
        .execute(tx)
        .await?;
    Ok(())
}

/// Replaces an attempt that never left by a new one for the same request.
pub async fn replace(
    tx: &mut PgConnection,
    old: AttemptId,
    new: AttemptId,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let row = sqlx::query(
        "WITH old AS (
            SELECT order_id, scope, fingerprint, token_sealed, method, actor, started_at
            FROM payment_attempts WHERE attempt_id = $1
         ), gone AS (
            UPDATE payment_attempts SET state = 'not_sent', scope = NULL, token_sealed = NULL,
                decided_at = $2 WHERE attempt_id = $1 RETURNING attempt_id
         ) SELECT old.* FROM old, gone",
    )
    .bind(old)
    .bind(now)
    .fetch_one(&mut *tx)
    .await?;
    // A second statement: the key must be free before it is taken again.
    sqlx::query(
        "INSERT INTO payment_attempts
            (attempt_id, order_id, scope, fingerprint, token_sealed, method, state, actor, started_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $8)",
    )
    .bind(new)
    .bind(row.try_get::<OrderId, _>("order_id")?)
    .bind(row.try_get::<Option<Vec<u8>>, _>("scope")?)
    .bind(row.try_get::<Option<Vec<u8>>, _>("fingerprint")?)
    .bind(row.try_get::<Option<Vec<u8>>, _>("token_sealed")?)
    .bind(row.try_get::<String, _>("method")?)
    .bind(row.try_get::<String, _>("actor")?)
    .bind(row.try_get::<Timestamp, _>("started_at")?)
    .execute(tx)
    .await?;
    Ok(())
}
