//! All SQL of the service.

use shared_types::{Role, SessionId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

/// An account as it is stored: personal columns sealed.
pub struct UserRow {
    pub id: UserId,
    pub email: Vec<u8>,
    pub first_name: Vec<u8>,
    pub last_name: Vec<u8>,
    pub phone: Option<Vec<u8>>,
    pub password_hash: String,
    pub roles: Vec<Role>,
}

impl UserRow {
    fn from_row(row: &PgRow) -> Self {
        let roles: Vec<String> = row.get("roles");
        UserRow {
            id: row.get("id"),
            email: row.get("email"),
            first_name: row.get("first_name"),
            last_name: row.get("last_name"),
            phone: row.get("phone"),
            password_hash: row.get("password_hash"),
            roles: roles.iter().filter_map(|r| r.parse().ok()).collect(),
        }
    }
}

const COLUMNS: &str = "id, email, first_name, last_name, phone, password_hash, roles";

/// Adds an account; false when the address is taken.
pub async fn insert_user(
    tx: &mut PgConnection,
    user: &UserRow,
    email_hash: &[u8],
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO users (id, email_hash, email, first_name, last_name, phone, password_hash, roles, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (email_hash) DO NOTHING",
    )
    .bind(user.id)
    .bind(email_hash)
    .bind(&user.email)
    .bind(&user.first_name)
    .bind(&user.last_name)
    .bind(&user.phone)
    .bind(&user.password_hash)
    .bind(user.roles.iter().map(|r| r.as_str()).collect::<Vec<_>>())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn find_user(pool: &PgPool, id: UserId) -> sqlx::Result<Option<UserRow>> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM users WHERE id = $1"));
    let row = sqlx::query(sql).bind(id).fetch_optional(pool).await?;
    Ok(row.as_ref().map(UserRow::from_row))
}

/// Several accounts in one statement.
pub async fn find_users(pool: &PgPool, ids: &[UserId]) -> sqlx::Result<Vec<UserRow>> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM users WHERE id = ANY($1)"));
    let rows = sqlx::query(sql).bind(ids).fetch_all(pool).await?;
    Ok(rows.iter().map(UserRow::from_row).collect())
}

pub async fn find_user_by_email(pool: &PgPool, hash: &[u8]) -> sqlx::Result<Option<UserRow>> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM users WHERE email_hash = $1"));
    let row = sqlx::query(sql).bind(hash).fetch_optional(pool).await?;
    Ok(row.as_ref().map(UserRow::from_row))
}

pub async fn insert_session(
    tx: &mut PgConnection,
    id: SessionId,
    user: UserId,
    now: Timestamp,
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(id)
    .bind(user)
    .bind(now)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn insert_refresh_token(
    tx: &mut PgConnection,
    hash: &[u8],
    session: SessionId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO refresh_tokens (token_hash, session_id, issued_at) VALUES ($1, $2, $3)",
    )
    .bind(hash)
    .bind(session)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// A refresh token with its session, locked against a second use at once.
pub struct RefreshRow {
    pub session_id: SessionId,
    pub user_id: UserId,
    pub used: bool,
    pub revoked: bool,
    pub expires_at: Timestamp,
}

pub async fn lock_refresh_token(
    tx: &mut PgConnection,
    hash: &[u8],
) -> sqlx::Result<Option<RefreshRow>> {
    let row = sqlx::query(
        "SELECT s.id, s.user_id, s.expires_at, s.revoked_at IS NOT NULL AS revoked,
                t.used_at IS NOT NULL AS used
         FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id
         WHERE t.token_hash = $1 FOR UPDATE",
    )
    .bind(hash)
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| RefreshRow {
        session_id: row.get("id"),
        user_id: row.get("user_id"),
        used: row.get("used"),
        revoked: row.get("revoked"),
        expires_at: row.get("expires_at"),
    }))
}

pub async fn mark_used(tx: &mut PgConnection, hash: &[u8], now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1")
        .bind(hash)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(())
}

/// Ends a session; false when it had ended before.
pub async fn revoke_session(
    tx: &mut PgConnection,
    session: SessionId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done =
        sqlx::query("UPDATE sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(session)
            .bind(now)
            .execute(tx)
            .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn sweep_sessions(pool: &PgPool, now: Timestamp, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM sessions WHERE id IN
           (SELECT id FROM sessions WHERE expires_at < $1 LIMIT $2)",
    )
    .bind(now)
    .bind(limit)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
