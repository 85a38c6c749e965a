//! Payment tokens at rest: sealed with the current key, opened with any that
//! is still there, and sealed anew when the current key changes.
//!
//! The key file holds one key per line, `<id> <base64url of 32 bytes>`, the
//! current one first. A change is noticed while the service runs.

use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::Duration;

use anyhow::Context as _;
use platform::Context;
use platform::crypto::{ColumnCipher, KeyLine, read_keys, write_keys};
use sqlx::PgPool;

use crate::config::Settings;
use crate::domain::Token;
use crate::house::House;
use crate::store;

const COLUMN: &str = "payment_attempts.token";

/// Seals and opens. The column key stands in where there is no key file, and
/// opens what was sealed before there was one.
pub struct TokenVault {
    column: ColumnCipher,
    file: Option<PathBuf>,
    keys: RwLock<Vec<(String, ColumnCipher)>>,
}

impl TokenVault {
    /// Reads the key file, or makes it with its first key.
    pub fn open_file(ctx: &Context, settings: &Settings) -> anyhow::Result<Self> {
        let file = key_file(ctx, &settings.token_keys_file);
        let keys = match &file {
            Some(path) => ciphers(&load_or_create(path)?),
            None => Vec::new(),
        };
        Ok(TokenVault { column: ctx.cipher.clone(), file, keys: RwLock::new(keys) })
    }

    fn keys(&self) -> Vec<(String, ColumnCipher)> {
        self.keys.read().unwrap_or_else(|p| p.into_inner()).clone()
    }

    /// The name of the key that seals now; none for the column key.
    pub fn current(&self) -> Option<String> {
        self.keys().first().map(|(id, _)| id.clone())
    }

    /// The key's name, and what is kept.
    pub fn seal(&self, token: &Token) -> anyhow::Result<(Option<String>, Vec<u8>)> {
        match self.keys().into_iter().next() {
            Some((id, cipher)) => {
                let sealed = cipher.seal(COLUMN, token.reveal())?;
                Ok((Some(id), sealed))
            }
            None => Ok((None, self.column.seal(COLUMN, token.reveal())?)),
        }
    }

    pub fn open(&self, key: Option<&str>, sealed: &[u8]) -> anyhow::Result<Token> {
        let plain = match key {
            None => self.column.open(COLUMN, sealed)?,
            Some(id) => self.cipher(id)?.open(COLUMN, sealed)?,
        };
        Ok(Token::parse(&plain)?)
    }

    /// A key that is not known may be new: another process rotated.
    fn cipher(&self, id: &str) -> anyhow::Result<ColumnCipher> {
        let known = |keys: &[(String, ColumnCipher)]| {
            keys.iter().find(|(known, _)| known == id).map(|(_, cipher)| cipher.clone())
        };
        if let Some(cipher) = known(&self.keys()) {
            return Ok(cipher);
        }
        self.reload()?;
        known(&self.keys()).with_context(|| format!("the token key {id} is gone"))
    }

    /// Reads the key file again.
    pub fn reload(&self) -> anyhow::Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let keys = ciphers(&read_keys(path)?);
        anyhow::ensure!(!keys.is_empty(), "{} holds no key", path.display());
        *self.keys.write().unwrap_or_else(|p| p.into_inner()) = keys;
        Ok(())
    }
}

fn ciphers(lines: &[KeyLine]) -> Vec<(String, ColumnCipher)> {
    lines.iter().map(|line| (line.id.clone(), ColumnCipher::new(&line.key))).collect()
}

/// Where the keys are, when the settings name a place.
fn key_file(ctx: &Context, name: &str) -> Option<PathBuf> {
    (!name.is_empty()).then(|| ctx.config.ground.home.join(name))
}

fn load_or_create(path: &Path) -> anyhow::Result<Vec<KeyLine>> {
    if !path.exists() {
        platform::crypto::write_secret_once(path, KeyLine::fresh("k1").text().as_bytes())
            .with_context(|| format!("token keys {}", path.display()))?;
    }
    let keys = read_keys(path)?;
    anyhow::ensure!(!keys.is_empty(), "{} holds no key", path.display());
    Ok(keys)
}

/// Tokens sealed anew in one transaction.
const BATCH: i64 = 200;
const EVERY: Duration = Duration::from_secs(15);

/// Until the drain: notices a new key and seals anew what older ones sealed.
pub async fn run(house: House) -> anyhow::Result<()> {
    loop {
        match reseal(&house).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "payment tokens sealed with the current key"),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "payment tokens keep their key");
            }
        }
        if !house.ctx.lifecycle.sleep(EVERY).await {
            return Ok(());
        }
    }
}

/// Seals with the current key what another one sealed; gives how many those
/// were.
pub async fn reseal(house: &House) -> anyhow::Result<u64> {
    let vault = &house.vault;
    vault.reload()?;
    let Some(current) = vault.current() else { return Ok(0) };
    let mut done = 0;
    loop {
        let mut tx = house.ctx.pool.begin().await?;
        let old = store::tokens::lock_old(&mut tx, Some(&current), BATCH).await?;
        let full = old.len() as i64 == BATCH;
        for (attempt, key, sealed) in old {
            let token = vault.open(key.as_deref(), &sealed)?;
            let (key, sealed) = vault.seal(&token)?;
            store::tokens::replace(&mut tx, attempt, key.as_deref(), &sealed).await?;
            done += 1;
        }
        tx.commit().await?;
        if !full {
            return Ok(done);
        }
    }
}

/// The keys of an installation, for the command line.
pub struct TokenKeys {
    path: PathBuf,
}

/// A key, whether it seals now, and how many tokens it seals.
pub struct KeyUse {
    pub id: String,
    pub current: bool,
    pub tokens: i64,
}

impl TokenKeys {
    /// None when the settings name no key file.
    pub fn of(config: &platform::config::Config) -> anyhow::Result<Option<Self>> {
        let settings = Settings::load(config)?;
        let name = settings.token_keys_file;
        Ok((!name.is_empty()).then(|| TokenKeys { path: config.ground.home.join(name) }))
    }

    /// Puts a fresh key in front; the others stay to open with. Gives its name.
    pub fn rotate(&self) -> anyhow::Result<String> {
        let mut keys = load_or_create(&self.path)?;
        anyhow::ensure!(keys.len() < 20, "20 keys already: prune first");
        let numbers = keys.iter().filter_map(|k| k.id.strip_prefix('k')?.parse::<u32>().ok());
        let id = format!("k{}", numbers.max().unwrap_or(0) + 1);
        keys.insert(0, KeyLine::fresh(&id));
        write_keys(&self.path, &keys)?;
        Ok(id)
    }

    /// Every key with what it seals.
    pub async fn used(&self, pool: &PgPool) -> anyhow::Result<Vec<KeyUse>> {
        let keys = load_or_create(&self.path)?;
        let counts = store::tokens::by_key(pool).await?;
        let tokens = |id: &str| {
            let found = counts.iter().find(|(key, _)| key.as_deref() == Some(id));
            found.map_or(0, |(_, count)| *count)
        };
        let used = keys.iter().enumerate().map(|(index, key)| KeyUse {
            current: index == 0,
            tokens: tokens(&key.id),
            id: key.id.clone(),
        });
        Ok(used.collect())
    }

    /// Removes the keys that seal nothing any more, never the current one. The
    /// file must stand for `settled`: until then a running process may still
    /// seal with the key before.
    pub async fn prune(&self, pool: &PgPool, settled: Duration) -> anyhow::Result<Vec<String>> {
        let changed = std::fs::metadata(&self.path)?.modified()?;
        let stands = changed.elapsed().unwrap_or_default();
        anyhow::ensure!(
            stands >= settled,
            "the keys changed a moment ago: try again in {} s",
            (settled - stands).as_secs() + 1
        );
        let used = self.used(pool).await?;
        let idle = |id: &str| used.iter().any(|u| u.id == id && !u.current && u.tokens == 0);
        let keys = read_keys(&self.path)?;
        let (gone, kept): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| idle(&key.id));
        if !gone.is_empty() {
            write_keys(&self.path, &kept)?;
        }
        Ok(gone.into_iter().map(|key| key.id).collect())
    }
}
