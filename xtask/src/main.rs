//! Repository chores, one subcommand each.
//!
//! - `tidy` holds the architecture: arrows between crates, sizes, words, dead files.
//! - `web` builds the WebAssembly of storefront and console.
//! - `compose` makes the supergraph of the subgraphs' schemas.
//! - `gen` renews what is generated from `backend/contracts/proto`.
//!
//! `cargo test -p xtask` runs `tidy` as a test. The chores print to the
//! terminal of the person who called them; they log nothing.
//! Start reading at `tidy.rs` (the list of rules) or `web.rs` (the chain).
#![allow(clippy::print_stdout)]

mod compose;
#[cfg(test)]
mod deployment_tests;
mod repo;
mod tidy;
mod web;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Repository chores")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check architecture, sizes, words and dead files.
    Tidy,
    /// Build the WebAssembly of the storefront's islands and of the console.
    Web(web::Options),
    /// Put the subgraphs' schemas together: supergraph, public schema, documents.
    Compose(compose::Options),
    /// Renew the code generated from the proto files.
    Gen {
        /// Passed on to the generator: `--check`, `--accept`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Tidy => tidy_command(),
        Chore::Web(options) => web::run(&options),
        Chore::Compose(options) => compose::run(&options),
        Chore::Gen { rest } => generate(&rest),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tidy_command() -> Result<()> {
    let findings = tidy::check(&repo::root())?;
    if findings.is_empty() {
        println!("tidy: nothing to mend");
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("{} places to mend", findings.len())
}

/// The generator is a crate of its own, so that `tidy` does not wait for its
/// dependencies to compile.
fn generate(rest: &[String]) -> Result<()> {
    let status = Command::new(repo::cargo())
        .current_dir(repo::root())
        .args(["run", "--quiet", "-p", "xtask-gen", "--"])
        .args(rest)
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("the generator failed");
    }
    Ok(())
}
