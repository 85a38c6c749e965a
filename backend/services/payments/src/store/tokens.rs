//! Sealed tokens of attempts that are not decided yet, for key rotation.

use shared_types::AttemptId;
use sqlx::{PgConnection, PgPool};

/// A token and the key that sealed it; none stands for the column key.
pub type Sealed = (AttemptId, Option<String>, Vec<u8>);

/// Locks tokens that another key than `current` sealed. Those that somebody
/// else has locked come the next time.
pub async fn lock_old(
    tx: &mut PgConnection,
    current: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Sealed>> {
    sqlx::query_as(
        "SELECT attempt_id, token_key, token_sealed FROM payment_attempts
         WHERE token_sealed IS NOT NULL AND token_key IS DISTINCT FROM $1
         ORDER BY attempt_id LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(current)
    .bind(limit)
    .fetch_all(tx)
    .await
}

pub async fn replace(
    tx: &mut PgConnection,
    id: AttemptId,
    key: Option<&str>,
    sealed: &[u8],
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE payment_attempts SET token_key = $2, token_sealed = $3 WHERE attempt_id = $1",
    )
    .bind(id)
    .bind(key)
    .bind(sealed)
    .execute(tx)
    .await?;
    Ok(())
}

/// How many tokens each key seals.
pub async fn by_key(pool: &PgPool) -> sqlx::Result<Vec<(Option<String>, i64)>> {
    sqlx::query_as(
        "SELECT token_key, count(*) FROM payment_attempts
         WHERE token_sealed IS NOT NULL GROUP BY token_key ORDER BY token_key LIMIT 100",
    )
    .fetch_all(pool)
    .await
}
