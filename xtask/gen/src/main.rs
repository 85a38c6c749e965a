//! Generates Rust from `backend/contracts/proto`, without `protoc`.
//!
//! - without options: writes the code and the descriptor set for reflection;
//! - `--check`: writes nothing, fails when a written file is stale;
//! - `--accept`: also makes the present proto files the baseline that later
//!   changes are compared with; a breaking change is refused all the same.
//!
//! The output is checked in, so that building the backend needs none of this.
#![allow(clippy::print_stdout)]

mod breaking;
mod output;

use std::{env, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    match run(env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: impl Iterator<Item = String>) -> Result<()> {
    let (mut check, mut accept) = (false, false);
    for option in options {
        match option.as_str() {
            "--check" => check = true,
            "--accept" => accept = true,
            other => bail!("unknown option {other}; there are --check and --accept"),
        }
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.ancestors().nth(2).context("the crate lies in xtask/gen")?;
    let contracts = root.join("backend/contracts");

    let wanted = output::generate(&contracts)?;
    let broken = breaking::against_baseline(&contracts, &wanted.descriptors)?;
    if !broken.is_empty() {
        bail!(
            "these changes break callers; add a new field, message or version instead:\n  {}",
            broken.join("\n  ")
        );
    }
    if check {
        let stale = output::stale(&contracts, &wanted)?;
        if !stale.is_empty() {
            bail!("stale: {}; run `cargo xtask gen` or `cargo run -p xtask-gen`", stale.join(", "));
        }
        println!("gen: in step");
        return Ok(());
    }
    for path in output::write(&contracts, &wanted)? {
        println!("gen: wrote {path}");
    }
    if accept {
        breaking::accept(&contracts, &wanted.descriptors)?;
        println!("gen: the baseline is the present state");
    }
    Ok(())
}
