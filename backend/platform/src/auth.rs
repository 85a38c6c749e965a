//! Who is calling: tokens, keys, principals.
//!
//! Every service sees a JWT signed with Ed25519 and verifies it itself.
//! Ed25519 is deterministic: the same claims always give the same token, so an
//! answer that holds one can be replayed without storing it.

mod keys;
mod principal;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared_types::{Role, Timestamp};

pub use keys::{KeyRing, PublicKeys};
pub use principal::{Principal, Subject};

use crate::clock::Clock;
use crate::error::{ApiError, Kind};

/// The gateway sets it on a request that came without a credential and for whose
/// sake it made a guest.
pub const FRESH_GUEST: &str = "x-bv-fresh-guest";

/// What a token says. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    /// `<uuid>` of a user, `guest:<uuid>`, `service:<name>` or `grant`.
    pub sub: String,
    pub iat: i64,
    pub exp: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Space-separated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// The session a user signed in to; ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// A token for exactly one resource: `<kind>:<id>`, sent as
    /// `Authorization: <Kind> <token>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

pub const TENANT: &str = "default";

fn default_tenant() -> String {
    TENANT.to_owned()
}

/// Signs tokens.
#[derive(Clone)]
pub struct Issuer {
    ring: Arc<KeyRing>,
    issuer: String,
}

impl Issuer {
    pub fn new(ring: Arc<KeyRing>, issuer: impl Into<String>) -> Self {
        Issuer { ring, issuer: issuer.into() }
    }

    /// A token for `sub`, valid from `now` for `ttl`.
    pub fn token(
        &self,
        sub: impl Into<String>,
        now: Timestamp,
        ttl: Duration,
        shape: impl FnOnce(&mut Claims),
    ) -> Result<String, ApiError> {
        let mut claims = Claims {
            iss: self.issuer.clone(),
            sub: sub.into(),
            iat: now.unix(),
            exp: now.plus(ttl).unix(),
            roles: Vec::new(),
            scope: String::new(),
            tenant: default_tenant(),
            sid: None,
            grant: None,
        };
        shape(&mut claims);
        let token = self.ring.sign(&claims).map_err(ApiError::internal)?;
        Good::remember(&token, self.ring.kid(), claims);
        Ok(token)
    }

    /// A token for one resource: `kind` `order`, `id` its id.
    pub fn grant(
        &self,
        kind: &str,
        id: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<String, ApiError> {
        self.token("grant", now, ttl, |c| c.grant = Some(format!("{kind}:{id}")))
    }

    /// A token by which one service calls another.
    pub fn service(&self, name: &str, now: Timestamp, ttl: Duration) -> Result<String, ApiError> {
        self.token(format!("service:{name}"), now, ttl, |c| c.roles = vec![Role::Service])
    }

    pub fn key_ring(&self) -> &KeyRing {
        &self.ring
    }
}

/// A token of which this process knows that it is good, because it checked the
/// signature or made it. So a signature is checked once per token and process,
/// and that of a guest who has just come not at all.
struct Good {
    kid: String,
    claims: Arc<Claims>,
}

const REMEMBERED_TOKENS: u64 = 50_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
const MAX_TOKEN_BYTES: usize = 4_096;

/// By the hash of the token. One for the process: in an embedded shop the
/// gateway makes the tokens that every service reads.
static GOOD: LazyLock<Cache<[u8; 32], Arc<Good>>> = LazyLock::new(|| {
    Cache::builder().max_capacity(REMEMBERED_TOKENS).time_to_live(REMEMBERED_FOR).build()
});

impl Good {
    fn remember(token: &str, kid: &str, claims: Claims) -> Arc<Claims> {
        let claims = Arc::new(claims);
        let good = Good { kid: kid.to_owned(), claims: claims.clone() };
        GOOD.insert(digest(token), Arc::new(good));
        claims
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Verifies tokens.
#[derive(Clone)]
pub struct Verifier {
    keys: PublicKeys,
    issuer: String,
    clock: Clock,
}

impl Verifier {
    pub fn new(keys: PublicKeys, issuer: impl Into<String>, clock: Clock) -> Self {
        Verifier { keys, issuer: issuer.into(), clock }
    }

    /// The claims of a good token. Wrong signature, issuer or algorithm and
    /// ended tokens are 401 `auth.invalid_token`.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, ApiError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid_token());
        }
        // Another verifier's keys may be others.
        let ours =
            |good: &Arc<Good>| good.claims.iss == self.issuer && self.keys.is_known(&good.kid);
        let claims = match GOOD.get(&digest(token)).filter(ours) {
            Some(good) => good.claims.clone(),
            None => self.check(token).await?,
        };
        if claims.exp <= self.clock.now().unix() { Err(invalid_token()) } else { Ok(claims) }
    }

    async fn check(&self, token: &str) -> Result<Arc<Claims>, ApiError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid_token())?;
        let kid = header.kid.ok_or_else(invalid_token)?;
        let key = self.keys.find(&kid).await?.ok_or_else(invalid_token)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&self.issuer]);
        validation.validate_aud = false;
        // Ends are compared with our clock in `verify`.
        validation.validate_exp = false;
        let data = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map_err(|_| invalid_token())?;
        Ok(Good::remember(token, &kid, data.claims))
    }

    /// Who asks, by a request's headers; `None` without `Authorization`.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let principal = self.principal(value.to_str().map_err(|_| invalid_token())?).await?;
        let fresh = principal.guest().is_some() && headers.contains_key(FRESH_GUEST);
        Ok(Some(if fresh { principal.fresh() } else { principal }))
    }

    /// The principal behind an `Authorization` header's value.
    pub async fn principal(&self, authorization: &str) -> Result<Principal, ApiError> {
        let (scheme, token) = authorization.split_once(' ').ok_or_else(invalid_token)?;
        let claims = self.verify(token.trim()).await?;
        let principal = Principal::from_claims(&claims).ok_or_else(invalid_token)?;
        let matching = match &claims.grant {
            None => scheme.eq_ignore_ascii_case("bearer"),
            Some(grant) => {
                grant.split_once(':').is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(scheme))
            }
        };
        if matching { Ok(principal) } else { Err(invalid_token()) }
    }

    /// How long the token of `caller` is still good.
    pub fn time_left(&self, caller: &Principal) -> Duration {
        let seconds = caller.expires_at() - self.clock.now().unix();
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }
}

pub fn invalid_token() -> ApiError {
    ApiError::new(
        Kind::Unauthenticated,
        "auth.invalid_token",
        "The token is missing, wrong or ended.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(clock: &Clock) -> (Issuer, Verifier) {
        let ring = Arc::new(KeyRing::generate().unwrap());
        let keys = PublicKeys::local(&ring);
        (Issuer::new(ring, "bv"), Verifier::new(keys, "bv", clock.clone()))
    }

    fn clock() -> Clock {
        Clock::frozen("2026-11-20T10:00:00Z".parse().unwrap())
    }

    #[tokio::test]
    async fn a_token_lives_until_its_end_and_not_a_second_longer() {
        let clock = clock();
        let (issuer, verifier) = house(&clock);
        let token = issuer
            .token(
                "guest:0199aaaa-0000-7000-8000-000000000001",
                clock.now(),
                Duration::from_secs(60),
                |_| (),
            )
            .unwrap();
        assert!(verifier.verify(&token).await.is_ok());
        clock.advance(Duration::from_secs(60));
        assert_eq!(verifier.verify(&token).await.unwrap_err().kind, Kind::Unauthenticated);
    }

    #[tokio::test]
    async fn tokens_of_strangers_and_changed_tokens_are_refused() {
        let clock = clock();
        let (issuer, _) = house(&clock);
        let (_, other) = house(&clock);
        let token = issuer.service("x", clock.now(), Duration::from_secs(60)).unwrap();
        assert!(other.verify(&token).await.is_err());
        for bad in ["", "a.b.c", &format!("{token}x"), &"x".repeat(5_000)] {
            assert!(other.verify(bad).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_token_that_one_house_knows_is_nothing_to_another() {
        let clock = clock();
        let (issuer, verifier) = house(&clock);
        let (_, other) = house(&clock);
        let ring = Arc::new(KeyRing::generate().unwrap());
        let keys = PublicKeys::local(&ring);
        let same_keys = Verifier::new(keys, "another", clock.clone());
        let token = issuer.service("x", clock.now(), Duration::from_secs(60)).unwrap();
        assert!(verifier.verify(&token).await.is_ok());
        assert!(other.verify(&token).await.is_err());
        let token = Issuer::new(ring, "bv").service("x", clock.now(), Duration::from_secs(60));
        assert!(same_keys.verify(&token.unwrap()).await.is_err());
    }

    #[tokio::test]
    async fn our_signatures_are_good_to_others() {
        let ring = KeyRing::generate().unwrap();
        let jwk: jsonwebtoken::jwk::JwkSet =
            serde_json::from_value(serde_json::to_value(ring.jwks()).unwrap()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk.keys[0]).unwrap();
        let kid = ring.kid().to_owned();
        let issuer = Issuer::new(Arc::new(ring), "bv");
        let token = issuer.service("x", clock().now(), Duration::from_secs(60)).unwrap();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        let read = jsonwebtoken::decode::<Claims>(&token, &key, &validation).unwrap();
        assert_eq!((read.claims.sub.as_str(), read.header.kid), ("service:x", Some(kid)));
        assert_eq!(read.header.typ.as_deref(), Some("JWT"));
    }

    #[tokio::test]
    async fn a_grant_works_only_under_its_own_scheme() {
        let clock = clock();
        let (issuer, verifier) = house(&clock);
        let token = issuer.grant("order", "42", clock.now(), Duration::from_secs(60)).unwrap();
        let again = issuer.grant("order", "42", clock.now(), Duration::from_secs(60)).unwrap();
        assert_eq!(token, again, "the same claims give the same token");
        assert!(
            verifier.principal(&format!("Order {token}")).await.unwrap().holds_grant("order", "42")
        );
        assert!(verifier.principal(&format!("Bearer {token}")).await.is_err());
    }
}
