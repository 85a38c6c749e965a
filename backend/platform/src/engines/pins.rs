//! `engines.toml`: which engine programs, which versions, which checksums.

use std::collections::BTreeMap;

use figment::Figment;
use figment::providers::{Format, Toml};
use serde::Deserialize;

use super::EngineError;

const PINS: &str = include_str!("../../../engines/engines.toml");

/// The kind of machine archives are offered for, as their file names spell it.
pub const TARGET: &str = if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
    "x86_64-linux-gnu"
} else if cfg!(all(target_arch = "aarch64", target_os = "linux")) {
    "aarch64-linux-gnu"
} else {
    "unknown"
};

/// One pinned engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Name of the crate in the package registry.
    pub name: String,
    /// Exact version.
    pub version: String,
    /// Name of the program the crate installs.
    pub binary: String,
    /// One phrase for people.
    pub purpose: String,
    /// SPDX name of its licence.
    pub licence: String,
    /// Whether the crate's default features are built.
    pub default_features: bool,
    /// Further features.
    pub features: Vec<String>,
    /// Whether the declared compiler version is to be ignored.
    pub ignore_rust_version: bool,
    /// About how long a build takes on two cores, told to whoever waits.
    pub build_minutes: u32,
    /// Archives that save the build, by target.
    #[serde(default)]
    pub archives: BTreeMap<String, Archive>,
}

/// A compressed program (`.xz`) somebody built before.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// File name inside the folder of archives.
    pub file: String,
    /// SHA-256 of that file, in hex.
    pub sha256: String,
    /// SHA-256 of the program inside, in hex.
    pub binary_sha256: String,
}

impl Pin {
    /// The program's file name in the cache and, packed, among the archives: the
    /// program, its version, the target.
    pub fn file_name(&self) -> String {
        format!("{}-{}-{TARGET}", self.binary, self.version)
    }

    /// The archive for this machine, where one is pinned.
    pub fn archive(&self) -> Option<&Archive> {
        self.archives.get(TARGET)
    }
}

/// Every pinned engine by its part in the shop (`broker`).
///
/// # Errors
/// When the pins compiled into this program do not parse; a unit test keeps
/// that from being shipped.
pub fn pins() -> Result<BTreeMap<String, Pin>, EngineError> {
    Figment::from(Toml::string(PINS))
        .extract()
        .map_err(|error| EngineError::Home(format!("engines.toml cannot be read: {error}")))
}

/// The pin of one part.
///
/// # Errors
/// When there is no such part.
pub fn pin(part: &str) -> Result<Pin, EngineError> {
    pins()?.remove(part).ok_or_else(|| EngineError::Home(format!("engines.toml pins no {part}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_parses_and_every_archive_carries_checksums() {
        let pins = pins().expect("engines.toml parses");
        assert_eq!(pins["broker"].name, "nisshi");
        for pin in pins.values() {
            for archive in pin.archives.values() {
                for sum in [&archive.sha256, &archive.binary_sha256] {
                    assert_eq!(hex::decode(sum).expect("hex").len(), 32, "{}", archive.file);
                }
                assert!(archive.file.contains(&pin.version), "{}", archive.file);
                let begins = format!("{}-{}-", pin.binary, pin.version);
                assert!(
                    archive.file.starts_with(&begins),
                    "{} is looked for by name",
                    archive.file
                );
            }
        }
    }
}
