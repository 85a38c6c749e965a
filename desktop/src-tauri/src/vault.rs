//! Where refresh tokens are kept: the keychain of the operating system, or an
//! encrypted file where none answers.

mod file;

use std::{sync::mpsc, thread, time::Duration};

use desktop_bridge::TokenStore;

use crate::{config::Home, vault::file::TokenFile};

/// The name of our entries in the keychain.
const SERVICE: &str = "Bellavista Console";
/// A keychain that waits for an unlocking nobody sees counts as none.
const KEYCHAIN_WAIT: Duration = Duration::from_secs(5);

/// One refresh token per shop. Its calls block: keep them off async threads.
#[derive(Debug)]
pub struct Vault {
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// `service` tells homes apart.
    Keychain {
        service: String,
    },
    File(TokenFile),
}

/// A token could not be kept, found or removed. Never contains one.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("the keychain refused: {0}")]
    Keychain(#[from] keyring::v1::Error),
    #[error("the token file failed: {0}")]
    File(#[from] std::io::Error),
    #[error("no randomness from the operating system")]
    Randomness,
}

impl Vault {
    /// Takes the keychain when one answers, the file in `home` otherwise.
    pub fn open(home: &Home) -> Self {
        let service = home.instance_id(SERVICE);
        if keychain_answers(service.clone()) {
            return Vault { place: Place::Keychain { service } };
        }
        Vault::in_file(home)
    }

    /// Without asking for a keychain.
    pub fn in_file(home: &Home) -> Self {
        let file = TokenFile::new(home.file("tokens.enc"), home.file("tokens.key"));
        Vault { place: Place::File(file) }
    }

    /// For the person to see.
    pub fn store(&self) -> TokenStore {
        match &self.place {
            Place::Keychain { .. } => TokenStore::Keychain,
            Place::File(file) => TokenStore::File { path: file.path().display().to_string() },
        }
    }

    /// # Errors
    /// The place refuses.
    pub fn keep(&self, shop: &str, token: &str) -> Result<(), VaultError> {
        match &self.place {
            Place::Keychain { service } => Ok(entry(service, shop)?.set_password(token)?),
            Place::File(file) => file.keep(shop, token),
        }
    }

    /// # Errors
    /// The place refuses. A token that cannot be read any more is none.
    pub fn find(&self, shop: &str) -> Result<Option<String>, VaultError> {
        match &self.place {
            Place::Keychain { service } => match entry(service, shop)?.get_password() {
                Ok(token) => Ok(Some(token)),
                Err(keyring::v1::Error::NoEntry) => Ok(None),
                Err(why) => Err(why.into()),
            },
            Place::File(file) => file.find(shop),
        }
    }

    /// # Errors
    /// The place refuses. Nothing there is fine.
    pub fn forget(&self, shop: &str) -> Result<(), VaultError> {
        match &self.place {
            Place::Keychain { service } => match entry(service, shop)?.delete_credential() {
                Ok(()) | Err(keyring::v1::Error::NoEntry) => Ok(()),
                Err(why) => Err(why.into()),
            },
            Place::File(file) => file.forget(shop),
        }
    }
}

fn entry(service: &str, shop: &str) -> Result<keyring::v1::Entry, keyring::v1::Error> {
    keyring::v1::Entry::new(service, shop)
}

fn keychain_answers(service: String) -> bool {
    let (say, hear) = mpsc::channel();
    thread::spawn(move || {
        let answers = match entry(&service, "probe").and_then(|e| e.get_password()) {
            Ok(_) | Err(keyring::v1::Error::NoEntry) => true,
            Err(why) => {
                tracing::info!(%why, "no keychain here");
                false
            }
        };
        let _ = say.send(answers);
    });
    hear.recv_timeout(KEYCHAIN_WAIT).unwrap_or(false)
}
