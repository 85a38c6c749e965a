//! Finding the installed PostgreSQL.

use std::fs;
use std::path::{Path, PathBuf};

use crate::engines::EngineError;
use crate::engines::home::read_line;

/// Where distributions put the server's programs, which are not on the PATH.
const ROOTS: &[&str] = &["/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt"];
const PLAIN: &[&str] = &["/usr/bin", "/usr/local/bin", "/usr/local/pgsql/bin"];

/// The programs of one major version.
#[derive(Debug, Clone)]
pub struct Binaries {
    folder: PathBuf,
    /// Major version, or 0 where the place does not tell.
    pub major: u32,
}

impl Binaries {
    /// The newest installed version.
    ///
    /// # Errors
    /// When none is installed.
    pub fn newest() -> Result<Self, EngineError> {
        installed().into_iter().max_by_key(|found| found.major).ok_or_else(|| {
            EngineError::Missing {
                what: "PostgreSQL".to_owned(),
                hint: "install it, on Debian with: apt-get install postgresql".to_owned(),
            }
        })
    }

    /// The version that made a data folder, or the newest for a new folder.
    ///
    /// # Errors
    /// When that version is not installed.
    pub fn for_data(data: &Path) -> Result<Self, EngineError> {
        let Some(version) = read_line(&data.join("PG_VERSION")) else {
            return Self::newest();
        };
        let found = installed();
        let fits = |found: &Binaries| found.major.to_string() == version || found.major == 0;
        found.into_iter().find(fits).ok_or_else(|| EngineError::Missing {
            what: format!("PostgreSQL {version}, which made {},", data.display()),
            hint: format!("install it, on Debian with: apt-get install postgresql-{version}"),
        })
    }

    /// Path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn installed() -> Vec<Binaries> {
    let complete =
        |folder: &PathBuf| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    let versioned =
        ROOTS.iter().filter_map(|root| fs::read_dir(root).ok()).flatten().flatten().filter_map(
            |entry| {
                let name = entry.file_name();
                let digits =
                    name.to_str()?.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned();
                Some(Binaries { folder: entry.path().join("bin"), major: digits.parse().ok()? })
            },
        );
    let plain = PLAIN.iter().map(|folder| Binaries { folder: PathBuf::from(folder), major: 0 });
    versioned.chain(plain).filter(|found| complete(&found.folder)).collect()
}
