//! What providers told us, once each.

use shared_types::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

pub struct Told<'a> {
    pub provider: &'a str,
    pub notification_id: &'a str,
    pub event: &'a str,
    pub subject: Option<Uuid>,
    pub outcome: &'a str,
    /// Masked.
    pub message: &'a str,
    pub now: Timestamp,
}

/// Whether the notification was taken before.
pub async fn is_known(
    connection: &mut PgConnection,
    provider: &str,
    notification_id: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM provider_notifications
                        WHERE provider = $1 AND notification_id = $2)",
    )
    .bind(provider)
    .bind(notification_id)
    .fetch_one(connection)
    .await
}

/// Takes a notification; false when it was taken before. The row about it is
/// shown among the calls of its subject.
pub async fn take(connection: &mut PgConnection, told: &Told<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO provider_notifications
             (provider, notification_id, event, subject_id, outcome, received_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(told.provider)
    .bind(told.notification_id)
    .bind(told.event)
    .bind(told.subject)
    .bind(told.outcome)
    .bind(told.now)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    if let Some(subject) = told.subject {
        heard(connection, subject, told.provider, told.event, told.outcome, told.message, told.now)
            .await?;
    }
    Ok(true)
}

/// A row about something that came in.
pub async fn heard(
    connection: &mut PgConnection,
    subject: Uuid,
    provider: &str,
    operation: &str,
    outcome: &str,
    message: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO provider_calls
             (subject_id, direction, provider, operation, outcome, message, started_at, duration_us)
         VALUES ($1, 'IN', $2, $3, $4, $5, $6, 0)",
    )
    .bind(subject)
    .bind(provider)
    .bind(operation)
    .bind(outcome)
    .bind(message)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
