//! The programs of the chain, fetched into the cache when they are missing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::repo;

/// The npm package `binaryen`, which holds `wasm-opt`.
const BINARYEN: &str = "132.0.0";

/// The `wasm-bindgen` version of a lock file: crate and program must agree.
pub fn locked_version(lock: &Path) -> Result<String> {
    let text =
        fs::read_to_string(lock).with_context(|| format!("cannot read {}", lock.display()))?;
    version_in_lock(&text).with_context(|| format!("no wasm-bindgen in {}", lock.display()))
}

fn version_in_lock(text: &str) -> Option<String> {
    let mut lines = text.lines();
    lines.find(|line| *line == "name = \"wasm-bindgen\"")?;
    let version = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')?;
    Some(version.to_owned())
}

/// Path of a `wasm-bindgen` program of exactly `version`; installs it once.
pub fn wasm_bindgen(version: &str) -> Result<PathBuf> {
    let tools = repo::cache()?.join("tools");
    let ours = tools.join("bin/wasm-bindgen");
    for candidate in [ours.clone(), PathBuf::from("wasm-bindgen")] {
        if speaks(&candidate, version) {
            return Ok(candidate);
        }
    }
    println!(
        "web: installing wasm-bindgen {version} into {} (a few minutes, once)",
        tools.display()
    );
    let install = |locked: bool| -> Result<bool> {
        let mut command = Command::new(repo::cargo());
        command.args([
            "install",
            "wasm-bindgen-cli",
            "--force",
            "--quiet",
            "--version",
            version,
            "--root",
        ]);
        command.arg(&tools);
        // Shared with our own code it would be built with our settings.
        command.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
        if locked {
            command.arg("--locked");
        }
        Ok(command.stdin(Stdio::null()).status().context("cannot start cargo")?.success())
    };
    // A mirror may lag behind the lock file that the program was published with.
    if !install(true)? {
        println!("web: its own lock file cannot be met here, resolving again");
        if !install(false)? {
            bail!("cargo install wasm-bindgen-cli {version} failed; its message stands above");
        }
    }
    if !speaks(&ours, version) {
        bail!("{} does not answer as version {version}", ours.display());
    }
    Ok(ours)
}

fn speaks(program: &Path, version: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).trim() == format!("wasm-bindgen {version}")
    })
}

/// How to start `wasm-opt`.
pub struct Optimiser {
    program: PathBuf,
    script: PathBuf,
}

impl Optimiser {
    /// `-Oz` with the features that rustc's output uses.
    pub fn shrink(&self, wasm: &Path) -> Result<()> {
        let small = wasm.with_extension("opt");
        let status = Command::new(&self.program)
            .arg(&self.script)
            .args([
                "-Oz",
                "--enable-bulk-memory",
                "--enable-nontrapping-float-to-int",
                "--enable-sign-ext",
            ])
            .args(["--enable-mutable-globals", "--enable-reference-types", "--enable-multivalue"])
            .args(["--strip-debug", "--strip-producers"])
            .arg(wasm)
            .arg("-o")
            .arg(&small)
            .status()
            .context("cannot start wasm-opt")?;
        if !status.success() {
            bail!("wasm-opt failed on {}", wasm.display());
        }
        fs::rename(&small, wasm).context("cannot replace the module")
    }
}

/// `wasm-opt` of the pinned npm package; installs it once.
pub fn wasm_opt() -> Result<Optimiser> {
    let folder = repo::cache()?.join("tools").join(format!("binaryen-{BINARYEN}"));
    let script = folder.join("node_modules/binaryen/bin/wasm-opt");
    let node = PathBuf::from("node");
    if !script.is_file() {
        if Command::new("npm").arg("--version").output().is_err() {
            bail!(
                "npm is missing, and wasm-opt comes from npm: install it (Debian: apt-get install npm), \
                 or build with --debug, which does not optimise"
            );
        }
        println!("web: installing binaryen {BINARYEN} into {}", folder.display());
        fs::create_dir_all(&folder)?;
        let status = Command::new("npm")
            .args([
                "install",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--loglevel=error",
                "--prefix",
            ])
            .arg(&folder)
            .arg(format!("binaryen@{BINARYEN}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("cannot start npm")?;
        if !status.success() || !script.is_file() {
            bail!("npm could not install binaryen {BINARYEN}; its message stands above");
        }
    }
    Ok(Optimiser { program: node, script })
}

#[cfg(test)]
mod tests {
    use super::version_in_lock;

    #[test]
    fn the_version_is_read_from_the_lock_file_and_not_from_its_neighbours() {
        let lock = "[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"9\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(version_in_lock(lock).as_deref(), Some("0.2.130"));
        assert_eq!(version_in_lock("[[package]]\nname = \"x\"\n"), None);
    }
}
