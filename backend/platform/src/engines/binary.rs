//! Where an engine's program comes from: cache, archive, or a build.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::Instant;

use super::home::{create_private_dir, read_line, write_private};
use super::pins::{Pin, TARGET};
use super::process::LogFile;
use super::{EngineError, Progress};

/// A build slower than this is hopeless, not slow.
const BUILD_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);
const REPORT_EVERY: Duration = Duration::from_secs(20);

/// Folders to look into.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Cache outside the clone, shared by all clones of this user; programs
    /// are kept in its folder `engines`.
    pub cache: PathBuf,
    /// Folder of archives somebody built before (`BV_ENGINE_CACHE`).
    pub archives: Option<PathBuf>,
}

/// Path of the pinned program, fetched or built when it is not cached yet.
///
/// # Errors
/// What kept the last way (the build) from working.
pub async fn resolve(
    pin: &Pin,
    sources: &Sources,
    progress: &Progress,
) -> Result<PathBuf, EngineError> {
    let folder = sources.cache.join("engines");
    create_private_dir(&folder)?;
    let program = folder.join(pin.file_name());
    if cached(&program).await? {
        return Ok(program);
    }
    let _turn = take_turn(folder.join(format!("{}.lock", pin.file_name()))).await?;
    // Another process may have been faster while we waited for our turn.
    if cached(&program).await? {
        return Ok(program);
    }
    if let Some(archives) = &sources.archives {
        match unpack(pin, archives, &program, progress).await {
            Ok(true) => return Ok(program),
            Ok(false) => {}
            Err(error) => {
                progress.say(format!("the archive of {} is of no use: {error}", pin.name))
            }
        }
    }
    build(pin, &folder, &program, progress).await?;
    Ok(program)
}

/// Whether the cache holds the program unharmed; a harmed one is removed.
async fn cached(program: &Path) -> Result<bool, EngineError> {
    let Some(expected) = read_line(&checksum_file(program)) else {
        return Ok(false);
    };
    if !program.is_file() {
        return Ok(false);
    }
    if sha256(program).await? == expected {
        return Ok(true);
    }
    fs::remove_file(program).map_err(EngineError::io(format!("remove {}", program.display())))?;
    Ok(false)
}

/// One builder at a time for each program, across processes.
async fn take_turn(path: PathBuf) -> Result<File, EngineError> {
    let doing = format!("lock {}", path.display());
    let locked = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(file)
    })
    .await;
    locked.map_err(std::io::Error::other).flatten().map_err(EngineError::io(doing))
}

/// Unpacks the archive when the folder holds one; false when it does not.
async fn unpack(
    pin: &Pin,
    archives: &Path,
    program: &Path,
    progress: &Progress,
) -> Result<bool, EngineError> {
    let name = format!("{}.xz", pin.file_name());
    let archive = archives.join(&name);
    if !archive.is_file() {
        return Ok(false);
    }
    // The pin is the authority; a folder may add archives for other machines
    // and vouch for them itself.
    let pinned = pin.archive().map(|archive| archive.sha256.clone());
    let Some(expected) = pinned.or_else(|| listed_sum(&archives.join("SHA256SUMS"), &name)) else {
        return Err(EngineError::Home(format!("no checksum is known for {name} on {TARGET}")));
    };
    if sha256(&archive).await? != expected {
        return Err(EngineError::Home(format!("{} has a wrong checksum", archive.display())));
    }
    progress.say(format!("unpacking {} {}", pin.name, pin.version));
    let beside = program.with_file_name(format!("{}.unpacking", pin.file_name()));
    let output =
        File::create(&beside).map_err(EngineError::io(format!("write {}", beside.display())))?;
    let status = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(&archive)
        .stdin(Stdio::null())
        .stdout(output)
        .status()
        .await
        .map_err(EngineError::io("run xz (Debian package xz-utils)"))?;
    if !status.success() {
        return Err(EngineError::Home(format!("xz could not unpack {}", archive.display())));
    }
    if let Some(archive) = pin.archive()
        && sha256(&beside).await? != archive.binary_sha256
    {
        return Err(EngineError::Home(format!("{name} holds a program with a wrong checksum")));
    }
    install(&beside, program).await?;
    Ok(true)
}

/// Builds the program with cargo from the package registry.
async fn build(
    pin: &Pin,
    folder: &Path,
    program: &Path,
    progress: &Progress,
) -> Result<(), EngineError> {
    progress.say(format!(
        "building {} {} ({}); once, about {} minutes on two cores",
        pin.name, pin.version, pin.purpose, pin.build_minutes
    ));
    let root = folder.join(format!("build-{}-{}", pin.name, pin.version));
    let log = LogFile::new(folder.join(format!("build-{}.log", pin.name)));
    let mut command = Command::new("cargo");
    command
        .args(["install", &pin.name, "--version", &pin.version, "--locked", "--force"])
        .args(["--bin", &pin.binary]);
    if pin.ignore_rust_version {
        command.arg("--ignore-rust-version");
    }
    if !pin.default_features {
        command.arg("--no-default-features");
    }
    if !pin.features.is_empty() {
        command.args(["--features", &pin.features.join(",")]);
    }
    // A target folder of its own that stays until the build succeeded: an
    // interrupted build goes on where it was.
    let target = root.join("target");
    let mut child = command
        .arg("--root")
        .arg(&root)
        .arg("--target-dir")
        .arg(&target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|_| EngineError::Missing {
            what: "cargo".to_owned(),
            hint: format!("it is needed to build {}; see https://rustup.rs", pin.name),
        })?;
    if let Some(output) = child.stderr.take() {
        let follow = follow_build(output, &log, pin, progress);
        if tokio::time::timeout(BUILD_LIMIT, follow).await.is_err() {
            return Err(EngineError::Failed {
                engine: "cargo",
                reason: format!("did not build {} within two hours", pin.name),
            });
        }
    }
    let status = child.wait().await.map_err(EngineError::io("wait for cargo"))?;
    if !status.success() {
        return Err(EngineError::Failed {
            engine: "cargo",
            reason: format!("could not build {} {}: {}", pin.name, pin.version, log.last_words()),
        });
    }
    install(&root.join("bin").join(&pin.binary), program).await?;
    // Only room on the disk is lost when this fails.
    let _ = fs::remove_dir_all(&root);
    Ok(())
}

/// Writes cargo's output to the log and tells now and then how far it is.
async fn follow_build(
    output: impl tokio::io::AsyncRead + Unpin,
    log: &LogFile,
    pin: &Pin,
    progress: &Progress,
) {
    use std::io::Write;
    let began = Instant::now();
    let mut last_report = began;
    let mut compiled = 0_u32;
    let mut file = log.open().ok();
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(file) = &mut file {
            // The log is a courtesy; the build does not depend on it.
            let _ = writeln!(file, "{line}");
        }
        compiled += u32::from(line.trim_start().starts_with("Compiling"));
        if last_report.elapsed() >= REPORT_EVERY {
            last_report = Instant::now();
            progress.say(format!(
                "building {}: {compiled} crates, {} s so far",
                pin.name,
                began.elapsed().as_secs()
            ));
        }
    }
}

/// Puts a finished program into the cache, its checksum first.
async fn install(from: &Path, program: &Path) -> Result<(), EngineError> {
    let doing = || format!("put {} into the cache", program.display());
    fs::set_permissions(from, fs::Permissions::from_mode(0o755))
        .map_err(EngineError::io(doing()))?;
    let sum = sha256(from).await?;
    write_private(&checksum_file(program), &sum)?;
    fs::rename(from, program).map_err(EngineError::io(doing()))
}

fn checksum_file(program: &Path) -> PathBuf {
    let mut name = program.as_os_str().to_owned();
    name.push(".sha256");
    PathBuf::from(name)
}

fn listed_sum(sums: &Path, name: &str) -> Option<String> {
    let list = fs::read_to_string(sums).ok()?;
    list.lines().find_map(|line| {
        let (sum, file) = line.split_once(char::is_whitespace)?;
        (file.trim().trim_start_matches('*') == name).then(|| sum.to_lowercase())
    })
}

/// SHA-256 of a file in hex.
async fn sha256(path: &Path) -> Result<String, EngineError> {
    let doing = format!("read {}", path.display());
    let path = path.to_owned();
    let sum = tokio::task::spawn_blocking(move || {
        let mut file = File::open(path)?;
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let mut buffer = vec![0_u8; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex::encode(context.finish())),
                read => context.update(&buffer[..read]),
            }
        }
    })
    .await;
    sum.map_err(std::io::Error::other).flatten().map_err(EngineError::io(doing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::pins::Archive;

    const PROGRAM: &str = "#!/bin/sh\necho engine\n";

    /// A folder with the archive of a small program, and its pin.
    async fn archived(folder: &Path) -> Pin {
        let mut pin = crate::engines::pins::pin("broker").unwrap();
        pin.binary = "sample".to_owned();
        let plain = folder.join(pin.file_name());
        fs::write(&plain, PROGRAM).unwrap();
        let binary_sha256 = sha256(&plain).await.unwrap();
        let packed = Command::new("xz").arg(&plain).status().await.unwrap();
        assert!(packed.success());
        let file = format!("{}.xz", pin.file_name());
        let archive = sha256(&folder.join(&file)).await.unwrap();
        pin.archives =
            [(TARGET.to_owned(), Archive { file, sha256: archive, binary_sha256 })].into();
        pin
    }

    fn sources(folder: &Path) -> Sources {
        Sources { cache: folder.join("cache"), archives: Some(folder.to_owned()) }
    }

    #[tokio::test]
    async fn a_program_is_unpacked_once_and_unpacked_anew_when_harmed() {
        let folder = tempfile::tempdir().unwrap();
        let pin = archived(folder.path()).await;
        let quiet = Progress::quiet();
        let program = resolve(&pin, &sources(folder.path()), &quiet).await.unwrap();
        let output = Command::new(&program).output().await.unwrap();
        assert_eq!(output.stdout, b"engine\n");
        let unneeded = Sources { archives: None, ..sources(folder.path()) };
        assert_eq!(resolve(&pin, &unneeded, &quiet).await.unwrap(), program);

        fs::write(&program, "harmed").unwrap();
        let mended = resolve(&pin, &sources(folder.path()), &quiet).await.unwrap();
        assert_eq!(fs::read_to_string(mended).unwrap(), PROGRAM);
    }

    #[tokio::test]
    async fn an_archive_or_a_program_with_a_wrong_checksum_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pin = archived(folder.path()).await;
        let program = folder.path().join("out");
        for part in ["archive", "program"] {
            let mut forged = pin.clone();
            let archive = forged.archives.get_mut(TARGET).unwrap();
            match part {
                "archive" => archive.sha256 = "0".repeat(64),
                _ => archive.binary_sha256 = "0".repeat(64),
            }
            let refusal = unpack(&forged, folder.path(), &program, &Progress::quiet())
                .await
                .expect_err(part)
                .to_string();
            assert!(refusal.contains("wrong checksum"), "{refusal}");
            assert!(!program.exists());
        }
    }
}
