//! The Rust standard library for `wasm32-unknown-unknown`.
//!
//! Tried in this order: already in the sysroot, rustup, Debian's `rust-src`
//! built here, an archive lying in a folder that the caller names.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::repo;

const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's suite whose `rust-src` follows the current toolchain.
const SUITE: &str = "trixie-backports";
const DEBIAN: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    Rustup,
    Debian,
    Archive,
}

/// Sees to it that rustc can compile for the target.
pub fn ensure(archives: Option<&Path>, only: Option<Source>) -> Result<()> {
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?);
    if is_there(&sysroot) {
        return Ok(());
    }
    let version = rustc(&["--version"])?.split(' ').nth(1).unwrap_or_default().to_owned();
    println!("web: rustc {version} lacks the target {TARGET}");
    let ways: [(Source, &str); 3] = [
        (Source::Rustup, "rustup"),
        (Source::Debian, "Debian's rust-src"),
        (Source::Archive, "an archive"),
    ];
    let mut reasons = Vec::new();
    for (source, name) in
        ways.into_iter().filter(|(source, _)| only.is_none_or(|only| only == *source))
    {
        println!("web: trying {name}");
        let tried = match source {
            Source::Rustup => from_rustup(),
            Source::Debian => from_debian(&version, &sysroot),
            Source::Archive => from_archive(archives, &version, &sysroot),
        };
        match tried {
            Ok(()) if is_there(&sysroot) => return Ok(()),
            Ok(()) => reasons.push(format!("{name}: nothing arrived in {}", sysroot.display())),
            Err(error) => reasons.push(format!("{name}: {error:#}")),
        }
    }
    bail!("no standard library for {TARGET}:\n  {}", reasons.join("\n  "))
}

fn is_there(sysroot: &Path) -> bool {
    fs::read_dir(library(sysroot)).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

fn library(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(TARGET).join("lib")
}

fn rustc(args: &[&str]) -> Result<String> {
    let output = Command::new("rustc")
        .current_dir(repo::root())
        .args(args)
        .output()
        .context("cannot start rustc")?;
    if !output.status.success() {
        bail!("rustc {} failed", args.join(" "));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Runs a command quietly; its last words become the error.
fn quietly(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} is not installed"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    bail!("{name}: {}", words.trim().lines().last().unwrap_or("failed without a word"))
}

fn from_rustup() -> Result<()> {
    // An unreachable server may hang; `timeout` is part of coreutils.
    quietly(
        Command::new("timeout")
            .current_dir(repo::root())
            .args(["180", "rustup", "target", "add", TARGET]),
    )?;
    Ok(())
}

/// Fetches the sources with apt's own lists in a folder of ours, so that the
/// machine's package sources stay as they are, and builds them.
fn from_debian(version: &str, sysroot: &Path) -> Result<()> {
    let folder = repo::cache()?.join(format!("rust-src-{version}"));
    let sources = folder.join("unpacked/usr/src").join(format!("rustc-{version}")).join("library");
    if !sources.is_dir() {
        for sub in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        let list = folder.join("sources.list");
        let signed = if Path::new(KEYRING).is_file() {
            format!(" [signed-by={KEYRING}]")
        } else {
            String::new()
        };
        fs::write(&list, format!("deb{signed} {DEBIAN} {SUITE} main\n"))?;
        let options = [
            format!("Dir::Etc::sourcelist={}", list.display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={}", folder.join("lists").display()),
            format!("Dir::Cache={}", folder.display()),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let apt = |program: &str| {
            let mut command = Command::new(program);
            command.current_dir(&folder);
            for option in &options {
                command.args(["-o", option]);
            }
            command
        };
        quietly(apt("apt-get").arg("update"))?;
        let offered = quietly(apt("apt-cache").args(["madison", "rust-src"]))?;
        let wanted = matching_version(&offered, version)
            .with_context(|| format!("{SUITE} has no rust-src {version}"))?;
        quietly(apt("apt-get").arg("download").arg(format!("rust-src={wanted}")))?;
        let package = fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|kind| kind == "deb"))
            .context("apt-get download left no package")?;
        quietly(Command::new("dpkg").arg("-x").arg(&package).arg(folder.join("unpacked")))?;
    }
    println!("web: building the standard library from Debian's sources (half a minute)");
    build_sources(&sources, sysroot)
}

fn matching_version<'a>(madison: &'a str, version: &str) -> Option<&'a str> {
    madison.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim).find(|offered| {
        offered.strip_prefix(version).is_some_and(|rest| rest.starts_with(['+', '-', '~']))
    })
}

fn build_sources(sources: &Path, sysroot: &Path) -> Result<()> {
    let target_dir = sources.join("target");
    quietly(
        Command::new(repo::cargo())
            .current_dir(sources)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("__CARGO_DEFAULT_LIB_METADATA", "stablestd")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .env("RUSTFLAGS", "-Zforce-unstable-if-unmarked -Cembed-bitcode=yes")
            .args([
                "build",
                "--release",
                "--target",
                TARGET,
                "--manifest-path",
                "sysroot/Cargo.toml",
            ])
            .args(["--features", "panic-unwind compiler-builtins-mem", "--target-dir"])
            .arg(&target_dir),
    )?;
    let library = library(sysroot);
    fs::create_dir_all(&library)
        .with_context(|| format!("{} is not writable", library.display()))?;
    for entry in fs::read_dir(target_dir.join(TARGET).join("release/deps"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "rlib") {
            fs::copy(&path, library.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn from_archive(folder: Option<&Path>, version: &str, sysroot: &Path) -> Result<()> {
    let folder = folder.context("no folder named (--wasm-std or BV_WASM_STD)")?;
    let archive = folder.join(format!("wasm32-std-{version}.tar.xz"));
    if !archive.is_file() {
        bail!("{} does not exist", archive.display());
    }
    let into = sysroot.join("lib/rustlib");
    quietly(Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(&into))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::matching_version;

    #[test]
    fn only_the_package_of_the_very_version_is_taken() {
        let offered = "  rust-src | 1.95.0+dfsg1-1~bpo13+1 | http://x trixie-backports/main\n  \
                       rust-src | 1.95.01-1 | http://x y\n";
        assert_eq!(matching_version(offered, "1.95.0"), Some("1.95.0+dfsg1-1~bpo13+1"));
        assert_eq!(matching_version(offered, "1.9"), None);
        assert_eq!(matching_version("", "1.95.0"), None);
    }
}
