//! Signing in, staying signed in, signing out.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use contracts::events::users::SessionRevoked;
use platform::{ApiError, Failure, Kind};
use rand::RngCore;
use sha2::{Digest, Sha256};
use shared_types::identity::{Login, Refresh, Tokens};
use shared_types::{Role, SessionId, UserId};
use sqlx::PgConnection;

use crate::store::{self, RefreshRow};
use crate::{App, accounts};

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInRefusal {
    #[error("E-mail address or password is wrong.")]
    WrongCredentials,
    #[error("The session has ended; sign in again.")]
    SessionEnded,
}

impl Failure for SignInRefusal {
    fn kind(&self) -> Kind {
        Kind::Unauthenticated
    }
    fn code(&self) -> &'static str {
        match self {
            SignInRefusal::WrongCredentials => "identity.wrong_credentials",
            SignInRefusal::SessionEnded => "identity.session_ended",
        }
    }
}

/// Checks a password and opens a session. `address` is the caller's, for
/// throttling.
pub async fn log_in(app: &App, input: Login, address: Option<&str>) -> Result<Tokens, ApiError> {
    let mut checks = platform::validate::Checks::new();
    let email = checks.text("email", &input.email, 1..=254).to_lowercase();
    // Long enough for any password that could have been set.
    checks.text("password", &input.password, 1..=1_000);
    checks.finish()?;
    let account = hex(&accounts::email_hash(app, &email));
    app.throttle.check(&account, address)?;
    let user = store::find_user_by_email(&app.ctx.pool, &accounts::email_hash(app, &email)).await?;
    let hash = user.as_ref().map(|u| u.password_hash.clone());
    let right = app.passwords.verify(input.password, hash).await?;
    let Some(user) = user.filter(|_| right) else {
        app.throttle.failed(&account, address);
        metrics::counter!("identity_sign_in_failures_total").increment(1);
        return Err(SignInRefusal::WrongCredentials.into());
    };
    app.throttle.succeeded(&account);
    let session: SessionId = app.ctx.ids.next();
    let now = app.ctx.clock.now();
    let mut tx = app.ctx.pool.begin().await?;
    let ends = now.plus(app.config.session_ttl());
    store::insert_session(&mut tx, session, user.id, now, ends).await?;
    let tokens = issue(app, &mut tx, session, user.id, &user.roles).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// Trades a refresh token for new tokens. A token that was used before ends
/// its whole session: somebody has a copy.
pub async fn refresh(app: &App, input: Refresh) -> Result<Tokens, ApiError> {
    let now = app.ctx.clock.now();
    let hash = token_hash(&input.refresh_token);
    let mut tx = app.ctx.pool.begin().await?;
    let Some(row) = store::lock_refresh_token(&mut tx, &hash).await? else {
        return Err(SignInRefusal::SessionEnded.into());
    };
    if row.used && !row.revoked {
        revoke(app, &mut tx, &row, "refresh_reuse").await?;
        tx.commit().await?;
        tracing::warn!(session = %row.session_id, "a refresh token came twice; session ended");
        return Err(SignInRefusal::SessionEnded.into());
    }
    if row.revoked || row.expires_at <= now {
        return Err(SignInRefusal::SessionEnded.into());
    }
    let user = store::find_user(&app.ctx.pool, row.user_id).await?;
    let user = user.ok_or(SignInRefusal::SessionEnded)?;
    store::mark_used(&mut tx, &hash, now).await?;
    let tokens = issue(app, &mut tx, row.session_id, user.id, &user.roles).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// Ends the session of a refresh token. Ending it again is no error.
pub async fn log_out(app: &App, input: Refresh) -> Result<(), ApiError> {
    let mut tx = app.ctx.pool.begin().await?;
    let row = store::lock_refresh_token(&mut tx, &token_hash(&input.refresh_token)).await?;
    if let Some(row) = row {
        revoke(app, &mut tx, &row, "logout").await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn revoke(
    app: &App,
    tx: &mut PgConnection,
    row: &RefreshRow,
    reason: &str,
) -> Result<(), ApiError> {
    if store::revoke_session(tx, row.session_id, app.ctx.clock.now()).await? {
        let (user_id, session_id) = (row.user_id, row.session_id);
        let event = SessionRevoked { user_id, session_id, reason: reason.to_owned() };
        app.ctx.outbox.append(tx, &event).await?;
    }
    Ok(())
}

async fn issue(
    app: &App,
    tx: &mut PgConnection,
    session: SessionId,
    user: UserId,
    roles: &[Role],
) -> Result<Tokens, ApiError> {
    let mut secret = [0u8; 32];
    rand::rng().fill_bytes(&mut secret);
    let refresh_token = URL_SAFE_NO_PAD.encode(secret);
    let now = app.ctx.clock.now();
    store::insert_refresh_token(tx, &token_hash(&refresh_token), session, now).await?;
    let ttl = app.config.access_ttl();
    let access_token = app.ctx.issuer.token(user.to_string(), now, ttl, |claims| {
        claims.roles = roles.to_vec();
        claims.scope = scopes(roles).join(" ");
        claims.sid = Some(session.to_string());
    })?;
    let token_type = "Bearer".to_owned();
    Ok(Tokens { access_token, token_type, expires_in: ttl.as_secs(), refresh_token })
}

/// What the roles of a token allow, as OAuth scopes.
fn scopes(roles: &[Role]) -> Vec<&'static str> {
    let holds = |wanted| roles.iter().any(|r: &Role| r.includes(wanted));
    let mut scopes = Vec::new();
    if holds(Role::Customer) || holds(Role::Support) {
        scopes.extend(["customer:read", "customer:write", "order:read", "order:write"]);
    }
    if holds(Role::Support) {
        scopes.push("payment:refund");
    }
    if holds(Role::Merchant) {
        scopes.extend(["catalog:write", "inventory:write"]);
    }
    if holds(Role::Operator) || holds(Role::Admin) {
        scopes.push("ops:*");
    }
    scopes
}

fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
