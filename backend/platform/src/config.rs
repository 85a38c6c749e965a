//! Configuration: defaults < file < environment < flags.
//!
//! The complete, commented defaults are a TOML file that ships inside the
//! binary. Environment variables start with `BV_` and use `__` between levels:
//! `BV_HTTP__PORT=8080`. A wrong value stops the start and names file, key and
//! reason.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The settings of one process. Service sections are read by their services
/// through [`Config::section`].
#[derive(Clone, Debug)]
pub struct Config {
    source: Figment,
    pub ground: Ground,
}

/// What the ground itself needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    pub home: PathBuf,
    pub http: Listen,
    pub grpc: Listen,
    pub internal: Listen,
    pub database: Database,
    pub broker: Broker,
    #[serde(default)]
    pub federation: Federation,
    pub auth: Auth,
    pub log: Log,
    #[serde(default)]
    pub telemetry: Telemetry,
    pub lifecycle: LifecycleTimes,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub address: IpAddr,
    pub port: u16,
}

impl Listen {
    pub fn socket(&self) -> std::net::SocketAddr {
        (self.address, self.port).into()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `embedded` starts a private cluster; `external` uses `url`.
    pub mode: EngineMode,
    /// With `{service}` in it where roles or databases differ per service.
    pub url: String,
    pub port: u16,
    /// Connections per service.
    pub pool_size: u32,
    pub acquire_timeout_ms: u64,
}

/// Who runs an engine: `up`, or somebody else.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum EngineMode {
    Embedded,
    External,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    pub mode: EngineMode,
    /// `host:port`, comma-separated.
    pub bootstrap: String,
    pub port: u16,
    /// Further librdkafka properties (`security.protocol`, …).
    pub properties: std::collections::BTreeMap<String, String>,
    /// Folder with prebuilt engines to look in before building one.
    pub engine_cache: Option<PathBuf>,
}

/// The router that makes one graph of the services' subgraphs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federation {
    /// `embedded` is started by `up`; `external` answers at `url`.
    pub mode: EngineMode,
    /// The address that takes GraphQL requests, such as
    /// `http://router:4000/graphql`.
    pub url: String,
    /// Port of the embedded one.
    pub port: u16,
}

impl Default for Federation {
    fn default() -> Self {
        Federation { mode: EngineMode::Embedded, url: String::new(), port: 8093 }
    }
}

impl Federation {
    /// Where GraphQL requests go.
    pub fn endpoint(&self) -> String {
        match self.mode {
            EngineMode::Embedded => format!("http://127.0.0.1:{}/graphql", self.port),
            EngineMode::External => self.url.clone(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub issuer: String,
    /// Where the signing key is kept; made when missing.
    pub signing_key_file: PathBuf,
    /// Where the key for encrypted columns is kept; made when missing.
    pub column_key_file: PathBuf,
    /// When set, tokens are checked against this JWK set instead of the file.
    pub jwks_url: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `info`, or per target: `info,orders=debug`.
    pub level: String,
    /// `auto` is human-readable at a terminal, JSON lines elsewhere.
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Json,
    Text,
}

/// Where spans go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// `http://127.0.0.1:4317`; empty exports nothing.
    #[serde(default)]
    pub otlp_endpoint: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleTimes {
    pub drain_ms: u64,
}

impl LifecycleTimes {
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

/// A setting that stops the start.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(pub String);

/// Sections that belong to the ground; the others belong to services.
const GROUND: &[&str] = &[
    "home",
    "http",
    "grpc",
    "internal",
    "database",
    "broker",
    "federation",
    "auth",
    "log",
    "telemetry",
    "lifecycle",
];

impl Config {
    /// Reads `defaults` (TOML text), then `file`, then the environment, then
    /// `overrides` (TOML text made from flags).
    pub fn load(defaults: &str, file: Option<&Path>, overrides: &str) -> Result<Self, ConfigError> {
        let mut source = Figment::from(Toml::string(defaults));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError(format!("{}: no such file", file.display())));
            }
            source = source.merge(Toml::file_exact(file));
        }
        source = source.merge(environment()).merge(Toml::string(overrides));
        let ground = extract_ground(&source)?;
        let mut config = Config { source, ground };
        config.check_sections(defaults)?;
        config.anchor_paths();
        Ok(config)
    }

    /// The section of one service, complete with its defaults.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        extract_section(&self.source, name)
    }

    /// Relative paths are relative to `home`.
    fn anchor_paths(&mut self) {
        let home = self.ground.home.clone();
        let auth = &mut self.ground.auth;
        for path in [&mut auth.signing_key_file, &mut auth.column_key_file] {
            if path.is_relative() {
                *path = home.join(&*path);
            }
        }
    }

    /// A section that the defaults do not know is a spelling mistake.
    fn check_sections(&self, defaults: &str) -> Result<(), ConfigError> {
        let known: figment::value::Dict =
            Figment::from(Toml::string(defaults)).extract().map_err(describe)?;
        let given: figment::value::Dict = self.source.extract().map_err(describe)?;
        for name in given.keys() {
            if !known.contains_key(name) {
                return Err(ConfigError(format!("{name}: there is no such section or setting")));
            }
        }
        Ok(())
    }
}

fn environment() -> Env {
    // Settings of the start script and the tests share the prefix.
    Env::prefixed("BV_").split("__").ignore(&[
        "config",
        "engine_cache",
        "cache",
        "wasm_std",
        "test_cluster",
        "test_kafka",
    ])
}

fn extract_ground(source: &Figment) -> Result<Ground, ConfigError> {
    let mut ground = figment::value::Dict::new();
    let all: figment::value::Dict = source.extract().map_err(describe)?;
    for name in GROUND {
        if all.contains_key(*name) {
            let value = source.find_value(name).map_err(describe)?;
            ground.insert((*name).to_owned(), value);
        }
    }
    // Extracting each section from the source keeps the file's name in errors.
    for name in GROUND {
        match *name {
            "http" | "grpc" | "internal" => checked::<Listen>(source, name)?,
            "database" => checked::<Database>(source, name)?,
            "broker" => checked::<Broker>(source, name)?,
            "federation" if all.contains_key("federation") => {
                checked::<Federation>(source, name)?;
            }
            "auth" => checked::<Auth>(source, name)?,
            "log" => checked::<Log>(source, name)?,
            "telemetry" if all.contains_key(*name) => {
                checked::<Telemetry>(source, name)?;
            }
            "lifecycle" => checked::<LifecycleTimes>(source, name)?,
            _ => {}
        }
    }
    Figment::from(figment::providers::Serialized::defaults(ground)).extract().map_err(describe)
}

fn checked<T: DeserializeOwned>(source: &Figment, name: &str) -> Result<(), ConfigError> {
    extract_section::<T>(source, name).map(|_| ())
}

fn extract_section<T: DeserializeOwned>(source: &Figment, name: &str) -> Result<T, ConfigError> {
    source.extract_inner(name).map_err(|mut error| {
        // The section's own name is appended to the path, where it belongs in front.
        if error.path.last().is_some_and(|last| last == name) {
            error.path.rotate_right(1);
        }
        describe(error)
    })
}

/// File, key and reason in one line.
fn describe(error: figment::Error) -> ConfigError {
    let mut lines = Vec::new();
    for one in error {
        let origin = one.metadata.as_ref().map_or(String::new(), |m| {
            let place = m.source.as_ref().map_or(m.name.to_string(), ToString::to_string);
            format!("{place}: ")
        });
        let key = one.path.join(".");
        lines.push(format!("{origin}{key}: {}", one.kind));
    }
    ConfigError(lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const DEFAULTS: &str = r#"
        home = "/tmp/bv"
        [http]
        address = "127.0.0.1"
        port = 8080
        [grpc]
        address = "127.0.0.1"
        port = 8081
        [internal]
        address = "127.0.0.1"
        port = 8090
        [database]
        mode = "embedded"
        url = ""
        port = 8432
        pool_size = 8
        acquire_timeout_ms = 3000
        [broker]
        mode = "embedded"
        bootstrap = ""
        port = 8092
        [broker.properties]
        [auth]
        issuer = "bv"
        signing_key_file = "secrets/signing.key"
        column_key_file = "secrets/column.key"
        [log]
        level = "info"
        format = "auto"
        [lifecycle]
        drain_ms = 5000
        [tills]
        limit = 3
    "#;

    fn load(file: &str) -> Result<Config, ConfigError> {
        let mut handle = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        handle.write_all(file.as_bytes()).unwrap();
        Config::load(DEFAULTS, Some(handle.path()), "")
    }

    #[test]
    fn a_file_overrides_the_defaults_and_flags_override_the_file() {
        let config = load("[http]\nport = 9000").unwrap();
        assert_eq!(config.ground.http.port, 9000);
        assert!(config.ground.auth.signing_key_file.starts_with(&config.ground.home));
        let config = Config::load(DEFAULTS, None, "[http]\nport = 9100").unwrap();
        assert_eq!(config.ground.http.port, 9100);
    }

    #[test]
    fn a_wrong_setting_names_file_key_and_reason() {
        let message = load("[http]\nport = \"many\"").unwrap_err().to_string();
        for part in [".toml", "http.port", "many"] {
            assert!(message.contains(part), "{part} not in: {message}");
        }
        assert!(load("[htp]\nport = 1").unwrap_err().to_string().contains("htp"));
        assert!(load("[http]\nprot = 1").unwrap_err().to_string().contains("prot"));
        assert!(Config::load(DEFAULTS, Some(Path::new("/no/such.toml")), "").is_err());
    }
}
