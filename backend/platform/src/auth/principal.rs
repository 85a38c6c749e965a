//! The caller of a request, as services see it.

use axum::extract::FromRequestParts;
use http::request::Parts;
use shared_types::{GuestId, Role, UserId};

use super::{Claims, invalid_token};
use crate::error::{ApiError, Kind};

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    User(UserId),
    Guest(GuestId),
    /// A service account, by its name.
    Service(String),
    /// Whoever holds a token for one resource.
    GrantHolder,
}

/// A verified caller. An axum extractor; a request without one is 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub subject: Subject,
    pub roles: Vec<Role>,
    pub scopes: Vec<String>,
    /// The signed-in session, for users.
    pub session: Option<String>,
    grant: Option<String>,
    fresh: bool,
    expires_at: i64,
}

impl Principal {
    pub(super) fn from_claims(claims: &Claims) -> Option<Self> {
        let subject = match claims.sub.split_once(':') {
            Some(("guest", id)) => Subject::Guest(id.parse().ok()?),
            Some(("service", name)) => Subject::Service(name.to_owned()),
            None if claims.grant.is_some() => Subject::GrantHolder,
            None => Subject::User(claims.sub.parse().ok()?),
            Some(_) => return None,
        };
        Some(Principal {
            subject,
            roles: claims.roles.clone(),
            scopes: claims.scope.split_whitespace().map(str::to_owned).collect(),
            session: claims.sid.clone(),
            grant: claims.grant.clone(),
            fresh: false,
            expires_at: claims.exp,
        })
    }

    pub fn user(&self) -> Option<UserId> {
        match self.subject {
            Subject::User(id) => Some(id),
            _ => None,
        }
    }

    pub fn guest(&self) -> Option<GuestId> {
        match self.subject {
            Subject::Guest(id) => Some(id),
            _ => None,
        }
    }

    /// Unix seconds at which the token ends.
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    pub fn is_service(&self) -> bool {
        matches!(self.subject, Subject::Service(_))
    }

    pub fn has_role(&self, wanted: Role) -> bool {
        self.roles.iter().any(|held| held.includes(wanted))
    }

    /// 403 `auth.role_missing` unless the caller holds `wanted`; a guest is
    /// asked to sign in instead (401).
    pub fn require_role(&self, wanted: Role) -> Result<(), ApiError> {
        if self.has_role(wanted) {
            return Ok(());
        }
        let detail = format!("This needs the role {wanted}.");
        match self.subject {
            Subject::Guest(_) => Err(ApiError::new(Kind::Unauthenticated, "auth.sign_in", detail)),
            _ => Err(ApiError::new(Kind::Forbidden, "auth.role_missing", detail)),
        }
    }

    pub fn require_service(&self) -> Result<(), ApiError> {
        if self.is_service() {
            return Ok(());
        }
        Err(ApiError::new(Kind::Forbidden, "auth.service_only", "This is for service accounts."))
    }

    /// Whether the token was made for exactly this resource.
    pub fn holds_grant(&self, kind: &str, id: &str) -> bool {
        let held = self.grant.as_deref().and_then(|g| g.split_once(':'));
        held == Some((kind, id))
    }

    /// Text for audit and history rows: never personal data.
    pub fn actor(&self) -> String {
        match &self.subject {
            Subject::User(id) => format!("user:{id}"),
            Subject::Guest(id) => format!("guest:{id}"),
            Subject::Service(name) => format!("service:{name}"),
            Subject::GrantHolder => self.grant.clone().unwrap_or_default(),
        }
    }

    /// The same caller, whose request carried no credential of its own.
    pub(crate) fn fresh(self) -> Self {
        Principal { fresh: true, ..self }
    }

    /// The part of an idempotency scope that names the caller: empty when the
    /// request carried no credential of its own.
    pub fn idempotency_scope(&self) -> String {
        if self.fresh { String::new() } else { self.actor() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Principal>().cloned().ok_or_else(invalid_token)
    }
}
