//! What the console takes from its surroundings: the only place that reads the
//! environment.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ring::digest;

/// Names another settings folder than the system's, above all for tests.
pub const HOME_VARIABLE: &str = "BV_CONSOLE_HOME";

#[cfg(target_os = "linux")]
const DMABUF_VARIABLE: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";

/// Starts this very program again with WebKit's DMA-BUF renderer switched off:
/// with it, windows stay blank on many Linux graphics drivers, and WebKit reads
/// the switch only from the environment it was started with. The process id
/// stays. Returns only when there is nothing to do, or why it could not be done.
#[cfg(target_os = "linux")]
pub fn restart_without_dmabuf() -> Option<String> {
    use std::os::unix::process::CommandExt;
    if std::env::var_os(DMABUF_VARIABLE).is_some() {
        return None;
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(why) => return Some(format!("cannot find its own program file: {why}")),
    };
    let why = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(DMABUF_VARIABLE, "1")
        .exec();
    Some(format!("cannot restart itself with {DMABUF_VARIABLE}=1: {why}"))
}

/// The folder of settings, closed to other people.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
    /// Whether it is another one than the system's.
    moved: bool,
}

/// The settings folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("there is no settings folder for this user: set {HOME_VARIABLE}")]
    Nowhere,
    #[error("the settings folder {path} cannot be used: {source}")]
    Unusable { path: PathBuf, source: io::Error },
}

impl Home {
    /// Makes the folder when it is missing.
    ///
    /// # Errors
    /// There is none, or it cannot be made or closed to others.
    pub fn open(identifier: &str) -> Result<Self, HomeError> {
        match std::env::var_os(HOME_VARIABLE).filter(|dir| !dir.is_empty()) {
            Some(dir) => Home::at(PathBuf::from(dir), true),
            None => Home::at(system_folder().ok_or(HomeError::Nowhere)?.join(identifier), false),
        }
    }

    /// A home in a folder of one's own choice.
    ///
    /// # Errors
    /// As [`Home::open`].
    pub fn at(dir: PathBuf, moved: bool) -> Result<Self, HomeError> {
        let unusable = |source| HomeError::Unusable { path: dir.clone(), source };
        fs::create_dir_all(&dir).map_err(unusable)?;
        close_to_others(&dir).map_err(unusable)?;
        let dir = fs::canonicalize(&dir).map_err(unusable)?;
        Ok(Home { dir, moved })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// One instance may run per home, so two homes need two names.
    pub fn instance_id(&self, identifier: &str) -> String {
        if !self.moved {
            return identifier.to_owned();
        }
        let hash = digest::digest(&digest::SHA256, self.dir.to_string_lossy().as_bytes());
        let short: String = hash.as_ref().iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("{identifier}.h{short}")
    }
}

#[cfg(target_os = "linux")]
fn system_folder() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    named.or_else(|| Some(std::env::home_dir()?.join(".config")))
}

#[cfg(target_os = "macos")]
fn system_folder() -> Option<PathBuf> {
    Some(std::env::home_dir()?.join("Library/Application Support"))
}

#[cfg(windows)]
fn system_folder() -> Option<PathBuf> {
    std::env::var_os("APPDATA").map(PathBuf::from)
}

/// Writes all or nothing, readable by this user only.
pub fn write_privately(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    create_privately(&draft, bytes)?;
    fs::rename(&draft, path)
}

/// Makes a file that must not be there yet, readable by this user only.
pub fn create_privately(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn close_to_others(_dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(_dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
