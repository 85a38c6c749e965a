//! Where the cluster's files lie and whom they belong to.
//!
//! PostgreSQL refuses to run as root. Started by root, it runs as the account
//! `postgres`, its files under `/var/lib/bellavista`, where that account can
//! reach them; the state folder then keeps a pointer. Started by anybody else,
//! everything lies in the state folder.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, User, chown, geteuid};
use tokio::process::Command;

use super::servers_in;
use crate::engines::EngineError;
use crate::engines::home::{Home, create_private_dir, read_line, write_private};
use crate::engines::process;

const SHARED_ROOT: &str = "/var/lib/bellavista";
const SERVER_ACCOUNT: &str = "postgres";
const POINTER: &str = "postgres.place";
/// A unix socket's path has some 107 bytes; the file name takes 20 of them.
const LONGEST_SOCKET_DIR: usize = 80;
const END_PLAN: &[(Signal, Duration)] =
    &[(Signal::SIGINT, Duration::from_secs(20)), (Signal::SIGQUIT, Duration::from_secs(5))];

/// The account the server runs as when we are root.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// The account for a server started by this process: `None` when we are
    /// not root and it simply runs as ourselves.
    ///
    /// # Errors
    /// When we are root and the machine has no account `postgres`.
    pub fn for_server() -> Result<Option<Self>, EngineError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let found = User::from_name(SERVER_ACCOUNT)
            .map_err(|error| EngineError::io("look up the account postgres")(error.into()))?;
        let user = found.ok_or_else(|| EngineError::Missing {
            what: "the account postgres".to_owned(),
            hint: "PostgreSQL refuses to run as root; install Debian's package postgresql, or start as another user"
                .to_owned(),
        })?;
        Ok(Some(Self { uid: user.uid, gid: user.gid }))
    }

    /// Gives a file or folder to the account.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn own(&self, path: &Path) -> Result<(), EngineError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(|error| {
            EngineError::io(format!("give {} to its account", path.display()))(error.into())
        })
    }
}

/// Files of one cluster.
#[derive(Debug, Clone)]
pub struct Place {
    base: PathBuf,
    socket_dir: PathBuf,
    account: Option<Account>,
}

impl Place {
    /// The place of a state folder's cluster, its folders made.
    ///
    /// # Errors
    /// One line when the state belongs to another account or to another folder.
    pub async fn of(home: &Home) -> Result<Self, EngineError> {
        let inside = home.root().join("postgres");
        let pointer = read_line(&home.root().join(POINTER)).map(PathBuf::from);
        let place = match Account::for_server()? {
            None if pointer.is_some() => {
                return Err(EngineError::Home(format!(
                    "the state in {} was made by root: start as root, or name another folder with BV_HOME",
                    home.root().display()
                )));
            }
            None => Self::inside(inside, home, None)?,
            // Made by another user before: the server goes on as that user.
            Some(_) if inside.join("data").is_dir() => {
                let owner = fs::metadata(inside.join("data"))
                    .map_err(EngineError::io(format!("look at {}", inside.display())))?;
                let account =
                    Account { uid: Uid::from_raw(owner.uid()), gid: Gid::from_raw(owner.gid()) };
                Self::inside(inside, home, Some(account))?
            }
            Some(account) => Self::shared(home, pointer, account).await?,
        };
        place.make_folders()?;
        Ok(place)
    }

    /// A cluster at a given folder, for throw-away clusters of tests.
    ///
    /// # Errors
    /// When folders cannot be made.
    pub fn at(base: PathBuf) -> Result<Self, EngineError> {
        let place = Self { socket_dir: base.join("s"), base, account: Account::for_server()? };
        place.make_folders()?;
        Ok(place)
    }

    fn inside(base: PathBuf, home: &Home, account: Option<Account>) -> Result<Self, EngineError> {
        create_private_dir(&base)?;
        let near = base.join("s");
        let socket_dir = if near.as_os_str().len() <= LONGEST_SOCKET_DIR {
            near
        } else {
            PathBuf::from(format!("/tmp/bv-{}-{}", geteuid(), home.place_hash()))
        };
        Ok(Self { base, socket_dir, account })
    }

    async fn shared(
        home: &Home,
        pointer: Option<PathBuf>,
        account: Account,
    ) -> Result<Self, EngineError> {
        let base = pointer.unwrap_or_else(|| Path::new(SHARED_ROOT).join(home.place_hash()));
        let owner_file = base.join("owner");
        let mut owner = fs::read_to_string(&owner_file).unwrap_or_default();
        let (id, path) = owner.trim().split_once('\n').unwrap_or_default();
        if !id.is_empty() && id != home.id() {
            set_orphan_aside(&base).await?;
            owner.clear();
        } else if !path.is_empty()
            && Path::new(path) != home.root()
            && is_home(Path::new(path), home.id())
        {
            return Err(EngineError::Home(format!(
                "{} is a copy of {path}, which owns the database in {}: remove the copy, or name another folder with BV_HOME",
                home.root().display(),
                base.display()
            )));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&base)
            .map_err(EngineError::io(format!("create {}", base.display())))?;
        let wanted = format!("{}\n{}\n", home.id(), home.root().display());
        if owner != wanted {
            write_private(&owner_file, &wanted)?;
        }
        if read_line(&home.root().join(POINTER)).is_none() {
            write_private(&home.root().join(POINTER), &base.display().to_string())?;
        }
        Ok(Self { socket_dir: base.join("s"), base, account: Some(account) })
    }

    /// The data folder; absent until the cluster is made.
    pub fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    /// Folder of the unix socket.
    pub fn socket_dir(&self) -> PathBuf {
        self.socket_dir.clone()
    }

    /// An empty folder to make a cluster in; what an interrupted attempt left
    /// is removed.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn prepare_unfinished(&self) -> Result<PathBuf, EngineError> {
        let path = self.base.join("data.unfinished");
        if path.exists() {
            fs::remove_dir_all(&path)
                .map_err(EngineError::io(format!("remove {}", path.display())))?;
        }
        self.make_folder(&path)?;
        Ok(path)
    }

    /// Writes a file the server's account may read, and nobody else.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn write_for_server(&self, name: &str, content: &str) -> Result<PathBuf, EngineError> {
        let path = self.base.join(name);
        let written = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(EngineError::io(format!("write {}", path.display())))?;
        if let Some(account) = &self.account {
            account.own(&path)?;
        }
        Ok(path)
    }

    /// A command that runs as the server's account, with a bare environment:
    /// `PG…` variables of whoever starts the shop are not for its server.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/");
        if let Some(account) = &self.account {
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        command
    }

    /// Removes lock files of a server that is known to be gone. Left alone
    /// they would stop a start when their process id has been given anew.
    pub fn clear_locks(&self) {
        let sockets = fs::read_dir(&self.socket_dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        for path in sockets.chain([self.data().join("postmaster.pid")]) {
            // Absent is what we want.
            let _ = fs::remove_file(path);
        }
    }

    /// Removes the cluster's files and the pointer to them.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn remove(&self, home: &Home) -> Result<(), EngineError> {
        for path in [&self.socket_dir, &self.base] {
            if path.exists() {
                fs::remove_dir_all(path)
                    .map_err(EngineError::io(format!("remove {}", path.display())))?;
            }
        }
        // Absent for state that lies inside the folder.
        let _ = fs::remove_file(home.root().join(POINTER));
        Ok(())
    }

    fn make_folders(&self) -> Result<(), EngineError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&self.base)
            .map_err(EngineError::io(format!("create {}", self.base.display())))?;
        self.make_folder(&self.socket_dir)
    }

    fn make_folder(&self, path: &Path) -> Result<(), EngineError> {
        create_private_dir(path)?;
        // In a shared temporary folder somebody else may have been first.
        let owner = fs::metadata(path)
            .map_err(EngineError::io(format!("look at {}", path.display())))?
            .uid();
        match &self.account {
            Some(account) => account.own(path),
            None if owner == geteuid().as_raw() => Ok(()),
            None => Err(EngineError::Home(format!("{} belongs to somebody else", path.display()))),
        }
    }
}

/// Ends every server process that works in `data`: the server in order first,
/// then helpers a killed server left behind.
pub async fn end_leftovers(data: &Path) {
    let server = read_line(&data.join("postmaster.pid")).and_then(|pid| pid.parse::<i32>().ok());
    let running = servers_in(data);
    if let Some(server) = server.filter(|server| running.contains(server)) {
        tracing::warn!(server, "ending a PostgreSQL server left behind");
        process::end(server, END_PLAN).await;
    }
    for pid in servers_in(data) {
        process::end(pid, &[(Signal::SIGQUIT, Duration::from_secs(5))]).await;
    }
}

/// The data belongs to a state folder that was removed: keep it aside, one
/// generation, in case that was a mistake.
async fn set_orphan_aside(base: &Path) -> Result<(), EngineError> {
    end_leftovers(&base.join("data")).await;
    let aside = base.with_extension("orphan");
    if aside.exists() {
        fs::remove_dir_all(&aside)
            .map_err(EngineError::io(format!("remove {}", aside.display())))?;
    }
    tracing::warn!(kept = %aside.display(), "the state folder was made anew; its former database is kept aside");
    fs::rename(base, &aside).map_err(EngineError::io(format!("move {} aside", base.display())))
}

fn is_home(path: &Path, id: &str) -> bool {
    read_line(&path.join("id")).as_deref() == Some(id)
}
