//! The state folder (`BV_HOME`): its lock, its identity, secrets, logs.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngCore;
use sha2::{Digest, Sha256};

use super::EngineError;

/// A state folder that exists and that we may write. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
    id: String,
}

/// Proof that this process alone works on a state folder; released on drop and
/// by the end of the process, however it ends.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

impl Home {
    /// Opens the state folder, creating it (mode 0700) when it is new.
    ///
    /// # Errors
    /// When the folder cannot be created or written.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        create_private_dir(path)?;
        let root = path
            .canonicalize()
            .map_err(EngineError::io(format!("use the state folder {}", path.display())))?;
        for part in ["logs", "run", "secrets"] {
            create_private_dir(&root.join(part))?;
        }
        let id = match read_line(&root.join("id")) {
            Some(id) => id,
            None => {
                let id = random_hex(8);
                write_private(&root.join("id"), &id)?;
                id
            }
        };
        Ok(Self { root, id })
    }

    /// The folder, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A random name given when the folder was made; tells a moved folder from
    /// a new one at the same place.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Short hash of the folder's place, for names outside of it.
    pub fn place_hash(&self) -> String {
        short_hash(&self.root)
    }

    /// Log file of one part.
    pub fn log(&self, part: &str) -> PathBuf {
        self.root.join("logs").join(format!("{part}.log"))
    }

    /// A file for process ids and the like, gone after `--fresh`.
    pub fn run_file(&self, name: &str) -> PathBuf {
        self.root.join("run").join(name)
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    /// One line naming the process that has it.
    pub fn lock(&self) -> Result<HomeLock, EngineError> {
        let path = self.run_file("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(EngineError::io(format!("open {}", path.display())))?;
        match try_for_a_while(&file) {
            Ok(()) => {
                let noted = file
                    .set_len(0)
                    .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
                noted.map_err(EngineError::io(format!("write {}", path.display())))?;
                Ok(HomeLock { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The id is for people only; the refusal stands without it.
                let _ = file.read_to_string(&mut holder);
                Err(EngineError::Home(format!(
                    "this shop is running already (process {}, state in {})",
                    holder.trim(),
                    self.root.display()
                )))
            }
            Err(TryLockError::Error(reason)) => {
                Err(EngineError::Io { doing: format!("lock {}", path.display()), reason })
            }
        }
    }

    /// Process id of whoever holds the lock now, if anybody.
    pub fn lock_holder(&self) -> Option<i32> {
        let path = self.run_file("lock");
        let file = File::open(&path).ok()?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => read_line(&path)?.parse().ok(),
            _ => None,
        }
    }

    /// A secret kept from an earlier start.
    pub fn secret(&self, name: &str) -> Option<String> {
        read_line(&self.root.join("secrets").join(name))
    }

    /// Keeps a secret, mode 0600, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_secret(&self, name: &str, value: &str) -> Result<(), EngineError> {
        write_private(&self.root.join("secrets").join(name), value)
    }
}

/// A child that is just being started carries its parent's locks until it
/// becomes another program, so a lock given back may look held for a moment.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

#[allow(
    clippy::disallowed_methods,
    reason = "a file lock has no timer to wait on, and no runtime runs yet"
)]
fn try_for_a_while(file: &File) -> Result<(), TryLockError> {
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            outcome => return outcome,
        }
    }
}

/// Creates a folder only its owner may enter; an existing one is left as is.
pub(crate) fn create_private_dir(path: &Path) -> Result<(), EngineError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(EngineError::io(format!("create {}", path.display())))
}

/// Writes a small file for its owner alone: beside, then renamed, so a reader
/// sees the old or the new content.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<(), EngineError> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(content.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(EngineError::io(format!("write {}", path.display())))
}

/// First line of a small file; nothing when it is absent or empty.
pub(crate) fn read_line(path: &Path) -> Option<String> {
    let content = fs::read_to_string(path).ok()?;
    let line = content.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// `bytes` random bytes as hex.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    rand::rng().fill_bytes(&mut buffer);
    hex::encode(buffer)
}

/// Ten hex digits of the SHA-256 of a path.
pub(crate) fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    hex::encode(&digest[..5])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_of_the_folder_is_told_who_has_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::open(dir.path()).expect("opens");
        assert_eq!(home.lock_holder(), None);
        let lock = home.lock().expect("free");
        let refusal = home.lock().expect_err("taken").to_string();
        assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
        assert_eq!(home.lock_holder(), i32::try_from(std::process::id()).ok());
        drop(lock);
        home.lock().expect("free again");
    }

    #[test]
    fn secrets_are_for_the_owner_alone_and_survive() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::open(dir.path()).expect("opens");
        assert_eq!(home.secret("postgres-bv_orders"), None);
        home.keep_secret("postgres-bv_orders", "s3cret").expect("kept");
        let again = Home::open(dir.path()).expect("opens");
        assert_eq!(again.secret("postgres-bv_orders").as_deref(), Some("s3cret"));
        assert_eq!(again.id(), home.id());
        let mode = fs::metadata(dir.path().join("secrets/postgres-bv_orders"))
            .expect("exists")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
