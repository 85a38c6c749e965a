//! From flags, file and environment to one configuration.

use std::path::PathBuf;

use clap::Args;
use platform::config::{Config, ConfigError};

/// Every setting with its default and a comment.
pub const DEFAULTS: &str = include_str!("../default.toml");

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// A TOML file over the defaults.
    #[arg(long, global = true, value_name = "FILE", env = "BV_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where state lives.
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// The public port; the other ports keep their distance from it.
    #[arg(long, global = true, value_name = "N")]
    pub port: Option<u16>,
}

/// How far the other ports are from the public one.
const DISTANCES: &[(&str, u16)] = &[
    ("http", 0),
    ("grpc", 1),
    ("payment_simulator", 5),
    ("internal", 10),
    ("broker", 12),
    ("federation", 13),
    ("database", 352),
];

/// Loads and checks everything the flags name.
pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
    load_with(flags, "")
}

/// Like [`load`], with settings (TOML) of the command itself on top.
pub fn load_with(flags: &Flags, command: &str) -> Result<Config, ConfigError> {
    let overrides = overrides(flags)? + command;
    // The variable that names the file is not a setting.
    Config::load(DEFAULTS, flags.config.as_deref(), &overrides)
}

fn overrides(flags: &Flags) -> Result<String, ConfigError> {
    let mut toml = String::new();
    if let Some(home) = &flags.home {
        toml.push_str(&format!("home = {:?}\n", home.display().to_string()));
    }
    if let Some(port) = flags.port {
        for (section, distance) in DISTANCES {
            let port = port.checked_add(*distance).filter(|p| *p > 0).ok_or_else(|| {
                ConfigError(format!("--port {port}: leaves no room for the port of {section}"))
            })?;
            toml.push_str(&format!("[{section}]\nport = {port}\n"));
        }
        let grpc = port + 1;
        toml.push_str("[peers]\n");
        for peer in ["inventory", "payments", "catalog", "cart"] {
            toml.push_str(&format!("{peer} = \"http://127.0.0.1:{grpc}\"\n"));
        }
    }
    Ok(toml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_defaults_are_complete_and_right() {
        let config = load(&Flags::default()).unwrap();
        assert_eq!(config.ground.http.port, 8080);
    }

    #[test]
    fn one_port_moves_them_all() {
        let flags = Flags { port: Some(9000), ..Flags::default() };
        let ground = load(&flags).unwrap().ground;
        assert_eq!((ground.http.port, ground.grpc.port, ground.internal.port), (9000, 9001, 9010));
        assert_eq!((ground.broker.port, ground.database.port), (9012, 9352));
        assert_eq!(ground.federation.port, 9013);
        let flags = Flags { port: Some(65_400), ..Flags::default() };
        assert!(load(&flags).is_err());
    }
}
