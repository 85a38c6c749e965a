//! Registering and looking at an account.

use std::collections::HashMap;

use contracts::events::users::UserRegistered;
use http::StatusCode;
use platform::auth::Principal;
use platform::idempotency::{self, Answer, Entered, IdempotencyKey};
use platform::validate::Checks;
use platform::{ApiError, Failure, Kind};
use shared_types::identity::{Registration, User};
use shared_types::{FieldError, Role, UserId};

use crate::App;
use crate::store::{self, UserRow};

/// Why an account is not made.
#[derive(Debug, thiserror::Error)]
pub enum RegisterRefusal {
    #[error("There is an account with this e-mail address.")]
    EmailTaken,
}

impl Failure for RegisterRefusal {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
    fn code(&self) -> &'static str {
        "identity.email_taken"
    }
    fn fields(&self) -> Vec<FieldError> {
        let message = "already has an account".to_owned();
        vec![FieldError { field: "email".into(), code: "taken".into(), message }]
    }
}

const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 10..=128;

/// Makes an account. Only staff and service accounts may give it roles other
/// than `CUSTOMER`, and nobody roles beyond their own. Done once under an
/// idempotency key.
pub async fn register(
    app: &App,
    caller: Option<&Principal>,
    input: Registration,
    once: Option<&IdempotencyKey>,
) -> Result<Answer, ApiError> {
    if let Some(key) = once {
        // Hashing a password is expensive; a repetition needs none.
        let mut connection = app.ctx.pool.acquire().await?;
        let before = idempotency::find(&mut connection, key).await?;
        drop(connection);
        if let Some(before) = before {
            return again(app, before).await;
        }
    }
    let roles = granted_roles(caller, &input)?;
    let mut checks = Checks::new();
    let email = checks.email("email", &input.email);
    checks.text("password", &input.password, PASSWORD_CHARS);
    if input.password.trim() != input.password {
        checks.fail("password", "spaces", "may not begin or end with a space");
    }
    let first_name = checks.text("firstName", &input.first_name, 1..=100);
    let last_name = checks.text("lastName", &input.last_name, 1..=100);
    let phone = input.phone.as_deref().map(|phone| checks.text("phone", phone, 5..=32));
    checks.finish()?;

    let cipher = &app.ctx.cipher;
    let seal = |column: &str, text: &str| cipher.seal(column, text).map_err(ApiError::internal);
    let row = UserRow {
        id: app.ctx.ids.next(),
        email: seal("users.email", &email)?,
        first_name: seal("users.first_name", &first_name)?,
        last_name: seal("users.last_name", &last_name)?,
        phone: phone.as_deref().map(|p| seal("users.phone", p)).transpose()?,
        password_hash: app.passwords.hash(input.password).await?,
        roles: roles.clone(),
    };
    let mut work = match idempotency::enter_if(&app.ctx.pool, once).await? {
        Entered::Replay(before) => return again(app, before).await,
        Entered::Run(work) => work,
    };
    let now = app.ctx.clock.now();
    if !store::insert_user(work.tx(), &row, &email_hash(app, &email), now).await? {
        return Err(RegisterRefusal::EmailTaken.into());
    }
    app.ctx.outbox.append(work.tx(), &UserRegistered { user_id: row.id }).await?;
    work.finish(Answer::json(StatusCode::CREATED, &row.id)?, now).await?;
    Answer::json(
        StatusCode::CREATED,
        &User { id: row.id, email, first_name, last_name, phone, roles },
    )
}

/// The key of a registration. Its fingerprint is keyed: a plain hash would let
/// passwords be guessed.
pub fn registration_key(
    app: &App,
    caller: Option<&Principal>,
    key: &str,
    input: &Registration,
) -> Result<IdempotencyKey, ApiError> {
    let payload = serde_json::to_string(input).map_err(ApiError::internal)?;
    let fingerprint = app.ctx.cipher.blind_index("idempotency.registration", &payload);
    IdempotencyKey::printed("POST /users/register", caller, key, fingerprint)
}

/// The answer to a registration that was made before. Only the account's id is on
/// record: the rest is personal and read from the account itself.
async fn again(app: &App, before: Answer) -> Result<Answer, ApiError> {
    let id: UserId = serde_json::from_slice(&before.body).map_err(ApiError::internal)?;
    let row = store::find_user(&app.ctx.pool, id).await?;
    let row = row.ok_or_else(|| ApiError::not_found("identity.no_such_user"))?;
    let answer = Answer::json(before.status, &opened(app, row)?)?;
    Ok(Answer { replayed: true, ..answer })
}

fn granted_roles(caller: Option<&Principal>, input: &Registration) -> Result<Vec<Role>, ApiError> {
    if input.roles.is_empty() {
        return Ok(vec![Role::Customer]);
    }
    let may = |role: &Role| {
        caller
            .is_some_and(|c| c.is_service() || (c.has_role(Role::Admin) && *role != Role::Service))
    };
    if input.roles.iter().all(may) {
        Ok(input.roles.clone())
    } else {
        let detail = "Only an administrator gives roles.";
        Err(ApiError::new(Kind::Forbidden, "auth.role_missing", detail))
    }
}

/// An account: one's own, or any for support. Others are not found.
pub async fn account(app: &App, caller: &Principal, id: UserId) -> Result<User, ApiError> {
    if !may_see(caller, id) {
        return Err(ApiError::not_found("identity.no_such_user"));
    }
    let row = store::find_user(&app.ctx.pool, id).await?;
    opened(app, row.ok_or_else(|| ApiError::not_found("identity.no_such_user"))?)
}

/// Whether the account is the caller's own, or the caller is support.
pub fn may_see(caller: &Principal, id: UserId) -> bool {
    caller.user() == Some(id) || caller.has_role(Role::Support)
}

/// Several accounts, opened; who is not there is absent.
pub async fn accounts(app: &App, ids: &[UserId]) -> Result<HashMap<UserId, User>, ApiError> {
    let rows = store::find_users(&app.ctx.pool, ids).await?;
    rows.into_iter().map(|row| Ok((row.id, opened(app, row)?))).collect()
}

fn opened(app: &App, row: UserRow) -> Result<User, ApiError> {
    let cipher = &app.ctx.cipher;
    let open = |column: &str, bytes: &[u8]| cipher.open(column, bytes).map_err(ApiError::internal);
    Ok(User {
        id: row.id,
        email: open("users.email", &row.email)?,
        first_name: open("users.first_name", &row.first_name)?,
        last_name: open("users.last_name", &row.last_name)?,
        phone: row.phone.as_deref().map(|p| open("users.phone", p)).transpose()?,
        roles: row.roles,
    })
}

/// The keyed hash under which an address is found.
pub fn email_hash(app: &App, email: &str) -> Vec<u8> {
    app.ctx.cipher.blind_index("users.email", email).to_vec()
}
