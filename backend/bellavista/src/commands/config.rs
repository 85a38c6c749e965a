//! `bellavista config`: what the settings are, and whether they are right.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use platform::config::Config;

use crate::settings;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Exit 0 when file, environment and flags make a configuration.
    Check,
    /// Print the defaults with their comments: a file to start from.
    Print,
}

/// Loading has checked the settings already; a wrong one ended the process.
pub fn run(command: Command, config: &Config) -> anyhow::Result<()> {
    match command {
        Command::Check => println!("configuration is right; home {}", config.ground.home.display()),
        Command::Print => print!("{}", settings::DEFAULTS),
    }
    Ok(())
}
