//! Where the repository is and which files belong to it.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// Folders that never hold sources of ours, for trees without git.
const NOT_OURS: [&str; 6] = ["target", ".git", "node_modules", "dist", ".bellavista", ".cache"];

/// The root of the checkout this program was built from.
pub fn root() -> PathBuf {
    // Asked at run time first: checkouts that share a target folder share this program.
    let built_in = || env!("CARGO_MANIFEST_DIR").into();
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(built_in, PathBuf::from);
    manifest.parent().unwrap_or(&manifest).to_path_buf()
}

/// The cargo that runs us, or the one on the path.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Every file of the repository, relative to `root`, sorted; ignored files are
/// left out. Falls back to walking the tree where git is absent.
pub fn files(root: &Path) -> Result<Vec<String>> {
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .output();
    let mut files = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty() && root.join(path).is_file())
            .map(str::to_owned)
            .collect(),
        _ => {
            let mut found = Vec::new();
            walk(root, root, &mut found)?;
            found
        }
    };
    files.sort();
    files.dedup();
    Ok(files)
}

/// All files below `from`, relative to `root`, except what builds leave behind.
pub fn walk(root: &Path, from: &Path, found: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

/// Where tools and build output live outside the clone.
pub fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(base.join("bellavista"))
}

/// The target directory that the calling cargo uses.
pub fn target_dir(root: &Path) -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(path) if !path.is_empty() => root.join(path),
        _ => root.join("target"),
    }
}
