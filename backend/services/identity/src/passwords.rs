//! Argon2id (RFC 9106), computed off the async threads and not too many at once.

use std::sync::Arc;

use anyhow::Context as _;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use platform::ApiError;
use tokio::sync::Semaphore;

#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// Compared against when there is no such account, so that both take as long.
    decoy: Arc<str>,
}

impl Passwords {
    pub fn new(at_once: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(at_once > 0, "identity.concurrent_hashes is 0");
        let decoy = hash_now("no such account")?;
        Ok(Passwords { turns: Arc::new(Semaphore::new(at_once)), decoy: decoy.into() })
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        let _turn = self.turns.acquire().await.map_err(ApiError::internal)?;
        let work = tokio::task::spawn_blocking(move || hash_now(&password));
        Ok(work.await.map_err(ApiError::internal)??)
    }

    /// Whether `password` is the one behind `hash`; without a hash it takes as
    /// long and is false.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, ApiError> {
        let _turn = self.turns.acquire().await.map_err(ApiError::internal)?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.to_string());
        let work = tokio::task::spawn_blocking(move || {
            let parsed = PasswordHash::new(&hash).map_err(|e| anyhow::anyhow!("{e}"))?;
            anyhow::Ok(Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
        });
        Ok(work.await.map_err(ApiError::internal)?? && known)
    }
}

fn hash_now(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash.map_err(|e| anyhow::anyhow!("{e}")).context("hashing a password")?.to_string())
}
