//! The encrypted file: AES-256-GCM under a random key that lies beside it,
//! both readable by this user only. It keeps tokens out of backups of single
//! files, screenshots and greps; it cannot keep them from this user's programs.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

use super::VaultError;
use crate::config::{create_privately, write_privately};

const KEY_LEN: usize = 32;

#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    key_path: PathBuf,
    /// Held while the file is read, changed and written.
    turn: Mutex<()>,
}

/// Shop → base64 of nonce and sealed token.
type Sealed = BTreeMap<String, String>;

impl TokenFile {
    pub fn new(path: PathBuf, key_path: PathBuf) -> Self {
        TokenFile { path, key_path, turn: Mutex::new(()) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn keep(&self, shop: &str, token: &str) -> Result<(), VaultError> {
        let _turn = self.turn.lock().unwrap_or_else(|gone| gone.into_inner());
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = token.as_bytes().to_vec();
        // The shop is bound in, so that entries cannot be swapped.
        self.key()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(shop.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| io::Error::other("sealing failed"))?;
        let mut all = self.read()?;
        all.insert(shop.to_owned(), BASE64.encode([&nonce[..], &sealed].concat()));
        self.write(&all)
    }

    pub fn find(&self, shop: &str) -> Result<Option<String>, VaultError> {
        let _turn = self.turn.lock().unwrap_or_else(|gone| gone.into_inner());
        let all = self.read()?;
        let Some(entry) = all.get(shop) else { return Ok(None) };
        let opened = self.open(shop, entry)?;
        if opened.is_none() {
            tracing::warn!("a kept session cannot be read any more; signing in anew mends it");
        }
        Ok(opened)
    }

    pub fn forget(&self, shop: &str) -> Result<(), VaultError> {
        let _turn = self.turn.lock().unwrap_or_else(|gone| gone.into_inner());
        let mut all = self.read()?;
        if all.remove(shop).is_some() {
            self.write(&all)?;
        }
        Ok(())
    }

    fn open(&self, shop: &str, entry: &str) -> Result<Option<String>, VaultError> {
        let Ok(bytes) = BASE64.decode(entry) else { return Ok(None) };
        let Some((nonce, sealed)) = bytes.split_at_checked(NONCE_LEN) else { return Ok(None) };
        let Ok(nonce) = Nonce::try_assume_unique_for_key(nonce) else { return Ok(None) };
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(shop.as_bytes());
        let Ok(token) = self.key()?.open_in_place(nonce, aad, &mut sealed) else {
            return Ok(None);
        };
        Ok(String::from_utf8(token.to_vec()).ok())
    }

    fn read(&self) -> io::Result<Sealed> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Sealed::new()),
            Err(why) => Err(why),
        }
    }

    fn write(&self, all: &Sealed) -> Result<(), VaultError> {
        let bytes = serde_json::to_vec_pretty(all).map_err(io::Error::from)?;
        Ok(write_privately(&self.path, &bytes)?)
    }

    /// Makes the key at the first use. A key of the wrong length is replaced:
    /// what it sealed is lost either way.
    fn key(&self) -> Result<LessSafeKey, VaultError> {
        let bytes = match fs::read(&self.key_path) {
            Ok(bytes) if bytes.len() == KEY_LEN => bytes,
            Ok(_) => self.new_key()?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => self.new_key()?,
            Err(why) => return Err(why.into()),
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| io::Error::other("bad key"))?;
        Ok(LessSafeKey::new(key))
    }

    fn new_key(&self) -> Result<Vec<u8>, VaultError> {
        let mut bytes = vec![0; KEY_LEN];
        random(&mut bytes)?;
        if self.key_path.exists() {
            fs::remove_file(&self.key_path)?;
        }
        create_privately(&self.key_path, &bytes)?;
        Ok(bytes)
    }
}

fn random(bytes: &mut [u8]) -> Result<(), VaultError> {
    SystemRandom::new().fill(bytes).map_err(|_| VaultError::Randomness)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path) -> TokenFile {
        TokenFile::new(dir.join("tokens.enc"), dir.join("tokens.key"))
    }

    #[test]
    fn tokens_are_kept_per_shop_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path()).keep("https://a.test", "token-a").unwrap();
        file(dir.path()).keep("https://b.test", "token-b").unwrap();
        let again = file(dir.path());
        assert_eq!(again.find("https://a.test").unwrap().as_deref(), Some("token-a"));
        again.forget("https://a.test").unwrap();
        assert_eq!(again.find("https://a.test").unwrap(), None);
        assert_eq!(again.find("https://b.test").unwrap().as_deref(), Some("token-b"));
    }

    #[test]
    fn neither_file_shows_the_token_and_both_are_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        file(dir.path()).keep("https://a.test", "very-secret-token").unwrap();
        for name in ["tokens.enc", "tokens.key"] {
            let path = dir.path().join(name);
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|w| w == b"secret"), "{name}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_changed_file_a_swapped_entry_or_another_key_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = file(dir.path());
        tokens.keep("https://a.test", "token-a").unwrap();
        let swapped = fs::read_to_string(tokens.path()).unwrap().replace("a.test", "b.test");
        fs::write(tokens.path(), swapped).unwrap();
        assert_eq!(tokens.find("https://b.test").unwrap(), None);

        tokens.keep("https://a.test", "token-a").unwrap();
        fs::write(dir.path().join("tokens.key"), [7; KEY_LEN]).unwrap();
        assert_eq!(tokens.find("https://a.test").unwrap(), None);
    }
}
