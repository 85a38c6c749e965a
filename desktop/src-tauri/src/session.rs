//! Being signed in: one shop, one account, tokens that renew themselves.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use desktop_bridge::{Refusal, RefusalKind};
use serde::Deserialize;
use shared_types::{Role, identity::Tokens};

use crate::{
    shop_api::{ApiError, NOT_STAFF, ShopApi},
    vault::{Vault, VaultError},
};

/// An access token is renewed this long before it ends.
const EARLY: Duration = Duration::from_secs(30);
/// Signing out waits so long for the shop; the session then ends there by itself.
const FAREWELL: Duration = Duration::from_secs(3);

/// A session. The access token lives in memory only.
pub struct Signed {
    pub api: ShopApi,
    pub email: String,
    roles: Mutex<Vec<Role>>,
    /// Held across a renewal: a refresh token must be used once only.
    tokens: tokio::sync::Mutex<Held>,
    vault: Arc<Vault>,
}

struct Held {
    access: Option<Access>,
    refresh: String,
}

struct Access {
    token: String,
    renew_at: Instant,
}

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    /// For good: the person must sign in again.
    #[error("the session has ended: {}", .0.message)]
    Ended(Refusal),
    /// For now.
    #[error(transparent)]
    Away(ApiError),
}

impl Signed {
    /// Signs in, checks that the account is one of the staff, and keeps the
    /// refresh token.
    ///
    /// # Errors
    /// In words for the person.
    pub async fn in_with_password(
        api: ShopApi,
        vault: Arc<Vault>,
        email: &str,
        password: &str,
    ) -> Result<Self, Refusal> {
        let tokens = api.login(email, password).await.map_err(|why| match why.status() {
            Some(401) => Refusal {
                kind: RefusalKind::Credentials,
                message: "The e-mail address or the password is wrong.".into(),
            },
            _ => why.refusal(&api.url),
        })?;
        let roles = match roles_of(&tokens.access_token) {
            Ok(roles) => roles,
            Err(why) => return Err(ApiError::NotAShop(why.into()).refusal(&api.url)),
        };
        if !is_staff(&roles) {
            // The session is of no use here; should the shop not hear this, it ends by itself.
            let _ = api.logout(&tokens.refresh_token).await;
            return Err(Refusal { kind: RefusalKind::NotStaff, message: NOT_STAFF.into() });
        }
        let refresh = tokens.refresh_token.clone();
        let signed = Signed::new(api, vault, email.to_owned(), roles, refresh);
        if let Err(why) = signed.keep(&tokens.refresh_token).await {
            let _ = signed.api.logout(&tokens.refresh_token).await;
            return Err(Refusal {
                kind: RefusalKind::Failed,
                message: format!("The session cannot be kept safely, so it was closed: {why}."),
            });
        }
        signed.tokens.lock().await.access = Some(Access::of(&tokens));
        Ok(signed)
    }

    /// A session from a kept refresh token; the access token comes when needed.
    pub fn new(
        api: ShopApi,
        vault: Arc<Vault>,
        email: String,
        roles: Vec<Role>,
        refresh: String,
    ) -> Self {
        let tokens = tokio::sync::Mutex::new(Held { access: None, refresh });
        Signed { api, email, roles: Mutex::new(roles), tokens, vault }
    }

    pub fn roles(&self) -> Vec<Role> {
        self.roles.lock().unwrap_or_else(|gone| gone.into_inner()).clone()
    }

    /// A token good for some time, renewed when needed. `refused` is one that the
    /// shop did not accept.
    ///
    /// # Errors
    /// See [`NoAccess`].
    pub async fn access(&self, refused: Option<&str>) -> Result<String, NoAccess> {
        let mut held = self.tokens.lock().await;
        if let Some(access) = &held.access {
            let fresh = access.renew_at > Instant::now();
            if fresh && refused != Some(access.token.as_str()) {
                return Ok(access.token.clone());
            }
        }
        let tokens = self.api.refresh(&held.refresh).await.map_err(|why| match why.status() {
            Some(400..=403 | 404 | 422) => NoAccess::Ended(Refusal {
                kind: RefusalKind::SignedOut,
                message: "Your session has ended. Sign in again.".into(),
            }),
            _ => NoAccess::Away(why),
        })?;
        held.refresh = tokens.refresh_token.clone();
        if let Err(why) = self.keep(&tokens.refresh_token).await {
            tracing::warn!(%why, "the renewed session is not kept: the next start asks to sign in");
        }
        if let Ok(roles) = roles_of(&tokens.access_token) {
            if !is_staff(&roles) {
                return Err(NoAccess::Ended(Refusal {
                    kind: RefusalKind::NotStaff,
                    message: NOT_STAFF.into(),
                }));
            }
            *self.roles.lock().unwrap_or_else(|gone| gone.into_inner()) = roles;
        }
        held.access = Some(Access::of(&tokens));
        Ok(tokens.access_token)
    }

    /// Ends the session here and, if it hears, at the shop.
    pub async fn sign_out(&self) {
        self.forget().await;
        let tell = async {
            let refresh = self.tokens.lock().await.refresh.clone();
            self.api.logout(&refresh).await
        };
        match tokio::time::timeout(FAREWELL, tell).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::info!(%why, "the shop did not hear the sign-out"),
            Err(_) => tracing::info!("the shop did not hear the sign-out in time"),
        }
    }

    /// Drops what is kept.
    pub async fn forget(&self) {
        let (vault, shop) = (self.vault.clone(), self.api.url.text().to_owned());
        let forgotten = tokio::task::spawn_blocking(move || vault.forget(&shop)).await;
        if let Ok(Err(why)) = forgotten {
            tracing::warn!(%why, "the kept session could not be removed");
        }
    }

    async fn keep(&self, refresh: &str) -> Result<(), VaultError> {
        let (vault, shop) = (self.vault.clone(), self.api.url.text().to_owned());
        let token = refresh.to_owned();
        tokio::task::spawn_blocking(move || vault.keep(&shop, &token))
            .await
            .unwrap_or_else(|why| Err(std::io::Error::other(why).into()))
    }
}

impl Access {
    fn of(tokens: &Tokens) -> Self {
        let whole = Duration::from_secs(tokens.expires_in.min(24 * 3600));
        // Very short tokens keep at least half of their life.
        let used = whole.saturating_sub(EARLY).max(whole / 2);
        Access { token: tokens.access_token.clone(), renew_at: Instant::now() + used }
    }
}

/// Staff is SUPPORT and above.
fn is_staff(roles: &[Role]) -> bool {
    roles.iter().any(|role| role.includes(Role::Support))
}

/// The roles that the token claims. They only decide what is shown: the shop
/// checks the signature and decides what is allowed.
fn roles_of(access_token: &str) -> Result<Vec<Role>, &'static str> {
    #[derive(Deserialize)]
    struct Claims {
        #[serde(default)]
        roles: Vec<serde_json::Value>,
    }
    let claims = access_token.split('.').nth(1).ok_or("its access token is no JWT")?;
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| "its access token is no JWT")?;
    let claims: Claims =
        serde_json::from_slice(&claims).map_err(|_| "its access token is no JWT")?;
    // A newer shop may have roles that this console does not know.
    Ok(claims.roles.into_iter().filter_map(|role| serde_json::from_value(role).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn roles_are_read_and_unknown_ones_are_passed_over() {
        let roles = roles_of(&token(r#"{"roles":["MERCHANT","WIZARD"]}"#)).unwrap();
        assert_eq!(roles, [Role::Merchant]);
        assert!(is_staff(&roles));
    }

    #[test]
    fn shoppers_partners_and_operators_are_not_staff() {
        assert!(!is_staff(&[Role::Customer, Role::Partner, Role::Operator]));
        assert!(!is_staff(&[]));
    }

    #[test]
    fn what_is_no_jwt_is_refused() {
        for text in ["", "abc", "a.b.c", "e30.!!!.x"] {
            assert!(roles_of(text).is_err(), "{text}");
        }
    }
}
