//! Signing keys: made once, kept in a file, published as JWKS.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Claims;
use crate::error::ApiError;

/// One Ed25519 key pair, named by the hash of its public half.
pub struct KeyRing {
    kid: String,
    /// The public key, base64url.
    x: String,
    pair: Ed25519KeyPair,
    /// The header of its tokens, base64url.
    header: String,
    pkcs8: Vec<u8>,
}

impl KeyRing {
    pub fn generate() -> anyhow::Result<Self> {
        let pair = Ed25519KeyPair::generate().context("generating a signing key")?;
        let document = pair.to_pkcs8v1().context("encoding a signing key")?;
        Self::from_pkcs8(document.as_ref())
    }

    fn from_pkcs8(pkcs8: &[u8]) -> anyhow::Result<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
            .map_err(|e| anyhow::anyhow!("not an Ed25519 key in PKCS#8: {e}"))?;
        let public = pair.public_key().as_ref().to_vec();
        let kid = hex::encode(&Sha256::digest(&public)[..8]);
        let header = serde_json::json!({"typ": "JWT", "alg": "EdDSA", "kid": kid}).to_string();
        Ok(KeyRing {
            kid,
            x: URL_SAFE_NO_PAD.encode(&public),
            pair,
            header: URL_SAFE_NO_PAD.encode(header),
            pkcs8: pkcs8.to_vec(),
        })
    }

    /// Reads the key, or makes it when the file is not there yet (mode 0600).
    /// Two processes that make it at once end with the same key.
    pub fn load_or_create(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("signing key {}", path.display());
        if !path.exists() {
            let ring = Self::generate()?;
            crate::crypto::write_secret_once(path, URL_SAFE_NO_PAD.encode(&ring.pkcs8).as_bytes())
                .with_context(named)?;
        }
        let text = std::fs::read_to_string(path).with_context(named)?;
        let pkcs8 = URL_SAFE_NO_PAD.decode(text.trim()).with_context(named)?;
        Self::from_pkcs8(&pkcs8).with_context(named)
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// A JWS in its compact form (RFC 7515, 7.1). Put together here because the
    /// library reads the key anew for each signature, which costs as much again.
    pub(super) fn sign(&self, claims: &Claims) -> serde_json::Result<String> {
        let mut token = self.header.clone();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The public half as a JWK set.
    pub fn jwks(&self) -> Jwks {
        Jwks {
            keys: vec![Jwk {
                kty: "OKP".into(),
                crv: "Ed25519".into(),
                alg: "EdDSA".into(),
                usage: "sig".into(),
                kid: self.kid.clone(),
                x: self.x.clone(),
            }],
        }
    }
}

/// RFC 7517.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwks {
    pub keys: Vec<Jwk>,
}

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwk {
    pub kty: String,
    #[serde(default)]
    pub crv: String,
    #[serde(default)]
    pub alg: String,
    #[serde(rename = "use", default)]
    pub usage: String,
    #[serde(default)]
    pub kid: String,
    #[serde(default)]
    pub x: String,
}

/// The keys that signatures are checked with.
#[derive(Clone)]
pub struct PublicKeys {
    known: Arc<Mutex<HashMap<String, DecodingKey>>>,
    remote: Option<Arc<Remote>>,
}

struct Remote {
    url: String,
    client: reqwest::Client,
    asked: Mutex<Option<Instant>>,
}

/// An unknown key id asks the issuer again, but not more often than this.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_secs(5);

impl PublicKeys {
    pub fn local(ring: &KeyRing) -> Self {
        let keys = PublicKeys { known: Arc::default(), remote: None };
        keys.learn(&ring.jwks());
        keys
    }

    /// Keys of an issuer that publishes a JWK set at `url`.
    pub fn remote(url: &str) -> anyhow::Result<Self> {
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build()?;
        let remote = Remote { url: url.to_owned(), client, asked: Mutex::new(None) };
        Ok(PublicKeys { known: Arc::default(), remote: Some(Arc::new(remote)) })
    }

    fn learn(&self, set: &Jwks) {
        let mut known = self.known.lock().unwrap_or_else(|p| p.into_inner());
        for key in &set.keys {
            if let ("OKP", Ok(decoding)) =
                (key.kty.as_str(), DecodingKey::from_ed_components(&key.x))
            {
                known.insert(key.kid.clone(), decoding);
            }
        }
    }

    /// Whether signatures by this key have been taken before.
    pub(super) fn is_known(&self, kid: &str) -> bool {
        self.known.lock().unwrap_or_else(|p| p.into_inner()).contains_key(kid)
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.known.lock().unwrap_or_else(|p| p.into_inner()).get(kid).cloned()
    }

    /// The key named `kid`, asking the issuer when it is new. An issuer that
    /// cannot be reached is 503, not 401.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<DecodingKey>, ApiError> {
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        let Some(remote) = &self.remote else { return Ok(None) };
        {
            let mut asked = remote.asked.lock().unwrap_or_else(|p| p.into_inner());
            if asked.is_some_and(|at| at.elapsed() < REFRESH_AT_MOST_EVERY) {
                return Ok(None);
            }
            *asked = Some(Instant::now());
        }
        let away =
            |_| ApiError::unavailable("auth.keys_unavailable", "The issuer does not answer.");
        let answer = remote.client.get(&remote.url).send().await.map_err(away)?;
        self.learn(&answer.json::<Jwks>().await.map_err(away)?);
        Ok(self.known(kid))
    }
}
