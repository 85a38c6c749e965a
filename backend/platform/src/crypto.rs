//! Secrets at rest: key files and encrypted columns.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use anyhow::Context as _;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;

/// Writes a secret readable by its owner only. A file that is there already
/// wins: the first writer decides.
pub fn write_secret_once(path: &Path, secret: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let scratch = path.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&scratch)?;
    file.write_all(secret)?;
    file.sync_all()?;
    // A hard link fails when the name is taken, unlike a rename.
    let linked = std::fs::hard_link(&scratch, path);
    std::fs::remove_file(&scratch)?;
    match linked {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => Ok(other?),
    }
}

/// One key of a file that holds several, the current one first.
#[derive(Clone)]
pub struct KeyLine {
    /// 1 to 32 letters, digits, `-`, `_`.
    pub id: String,
    pub key: [u8; 32],
}

impl KeyLine {
    /// A random key.
    pub fn fresh(id: &str) -> Self {
        let mut key = [0u8; 32];
        rand::rng().fill_bytes(&mut key);
        KeyLine { id: id.to_owned(), key }
    }

    /// The line: `<id> <base64url>`.
    pub fn text(&self) -> String {
        format!("{} {}\n", self.id, URL_SAFE_NO_PAD.encode(self.key))
    }

    fn parse(line: &str) -> Option<Self> {
        let (id, key) = line.trim().split_once(' ')?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let key = URL_SAFE_NO_PAD.decode(key.trim()).ok()?.try_into().ok()?;
        let named = (1..=32).contains(&id.len()) && id.bytes().all(plain);
        named.then(|| KeyLine { id: id.to_owned(), key })
    }
}

/// Reads a file of keys; empty lines do not count.
pub fn read_keys(path: &Path) -> anyhow::Result<Vec<KeyLine>> {
    let named = || format!("keys {}", path.display());
    let text = std::fs::read_to_string(path).with_context(named)?;
    let mut keys: Vec<KeyLine> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line = KeyLine::parse(line)
            .with_context(|| format!("{}: line {} is no key", path.display(), index + 1))?;
        anyhow::ensure!(
            keys.iter().all(|k| k.id != line.id),
            "{}: the key {} is there twice",
            path.display(),
            line.id
        );
        keys.push(line);
    }
    Ok(keys)
}

/// Replaces a file of keys as a whole; readable by its owner only.
pub fn write_keys(path: &Path, keys: &[KeyLine]) -> anyhow::Result<()> {
    let text: String = keys.iter().map(KeyLine::text).collect();
    let scratch = path.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    write_secret_once(&scratch, text.as_bytes())?;
    std::fs::rename(&scratch, path).with_context(|| format!("keys {}", path.display()))
}

/// Encrypts columns that hold personal data: AES-256-GCM, a fresh nonce per
/// value, bound to the column by `context`.
#[derive(Clone)]
pub struct ColumnCipher {
    cipher: Aes256Gcm,
    /// Derived from the key; for finding rows by an encrypted value.
    index_key: [u8; 32],
}

const NONCE_BYTES: usize = 12;

impl ColumnCipher {
    pub fn new(key: &[u8; 32]) -> Self {
        let index_key = mac(key, &["blind index"]);
        ColumnCipher { cipher: Aes256Gcm::new(key.into()), index_key }
    }

    /// Reads the key, or makes it when the file is not there yet.
    pub fn load_or_create(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("column key {}", path.display());
        if !path.exists() {
            let mut key = [0u8; 32];
            rand::rng().fill_bytes(&mut key);
            write_secret_once(path, URL_SAFE_NO_PAD.encode(key).as_bytes()).with_context(named)?;
        }
        let text = std::fs::read_to_string(path).with_context(named)?;
        let key = URL_SAFE_NO_PAD.decode(text.trim()).with_context(named)?;
        let key: [u8; 32] = key.try_into().ok().context("needs 32 bytes").with_context(named)?;
        Ok(ColumnCipher::new(&key))
    }

    /// `context` names the column, such as `users.email`.
    pub fn seal(&self, context: &str, plain: &str) -> anyhow::Result<Vec<u8>> {
        let mut nonce = [0u8; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: plain.as_bytes(), aad: context.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| anyhow::anyhow!("encrypting {context}"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// A keyed hash of a value: equal values of one column are found by it, and
    /// nobody without the key can try values against it.
    pub fn blind_index(&self, context: &str, plain: &str) -> [u8; 32] {
        mac(&self.index_key, &[context, plain])
    }

    pub fn open(&self, context: &str, sealed: &[u8]) -> anyhow::Result<String> {
        let wrong = || anyhow::anyhow!("{context} cannot be decrypted with this key");
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(wrong)?;
        let payload = Payload { msg: body, aad: context.as_bytes() };
        let plain = self.cipher.decrypt(Nonce::from_slice(nonce), payload).map_err(|_| wrong())?;
        Ok(String::from_utf8(plain)?)
    }
}

fn mac(key: &[u8; 32], parts: &[&str]) -> [u8; 32] {
    // A key of 32 bytes is always accepted.
    let mut mac = match <Hmac<Sha256> as Mac>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => return [0; 32],
    };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_own_column() {
        let cipher = ColumnCipher::new(&[7; 32]);
        let sealed = cipher.seal("users.email", "ada@example.org").unwrap();
        assert_eq!(cipher.open("users.email", &sealed).unwrap(), "ada@example.org");
        assert!(cipher.open("users.phone", &sealed).is_err());
        assert!(cipher.open("users.email", &sealed[..5]).is_err());
        assert_ne!(sealed, cipher.seal("users.email", "ada@example.org").unwrap());
    }

    #[test]
    fn a_file_of_keys_keeps_their_order_and_refuses_what_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        write_keys(&path, &[KeyLine::fresh("k2"), KeyLine::fresh("k1")]).unwrap();
        let keys = read_keys(&path).unwrap();
        assert_eq!(keys.iter().map(|k| k.id.as_str()).collect::<Vec<_>>(), ["k2", "k1"]);
        for odd in ["k1", "k1 short", "k/1 AAAA"] {
            std::fs::write(&path, odd).unwrap();
            assert!(read_keys(&path).is_err(), "{odd}");
        }
        let twice = KeyLine::fresh("k1").text();
        std::fs::write(&path, format!("{twice}\n{twice}")).unwrap();
        assert!(read_keys(&path).is_err());
    }

    #[test]
    fn the_first_writer_of_a_secret_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_secret_once(&path, b"one").unwrap();
        write_secret_once(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
    }
}
