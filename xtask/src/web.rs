//! The WebAssembly chain: cargo → wasm-bindgen of the locked version → wasm-opt.
//!
//! Everything it needs it fetches from package registries into a cache outside
//! the clone, saying what it does. A product whose inputs have not changed is
//! not built again: the fingerprint of its inputs lies beside it.

mod product;
mod stdlib;
mod tools;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::repo;

#[derive(Args)]
pub struct Options {
    /// What to build; everything that exists when left out.
    #[arg(value_enum)]
    pub what: Option<Target>,
    /// Skip wasm-opt and optimisation: faster builds for working on a page.
    #[arg(long)]
    pub debug: bool,
    /// Folder with `wasm32-std-<rustc version>.tar.xz`, the last resort for
    /// machines that reach neither rustup's server nor Debian's.
    #[arg(long, env = "BV_WASM_STD")]
    pub wasm_std: Option<PathBuf>,
    /// Fetch the tools and stop.
    #[arg(long)]
    pub tools_only: bool,
    /// Try one way of getting the standard library only.
    #[arg(long, value_enum, hide = true)]
    pub std_from: Option<stdlib::Source>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    Storefront,
    Desktop,
}

/// Builds what `options` asks for.
pub fn run(options: &Options) -> Result<()> {
    let root = repo::root();
    let mut products = Vec::new();
    if options.what != Some(Target::Desktop) {
        products.extend(product::islands(&root)?);
    }
    if options.what != Some(Target::Storefront) {
        products.extend(product::console(&root));
    }
    if products.is_empty() {
        bail!(
            "nothing to build: neither web-ui/islands/*/Cargo.toml nor desktop/ui/Cargo.toml exists"
        );
    }

    let stale = products
        .into_iter()
        .map(|product| Ok((product.fingerprint(&root, options.debug)?, product)))
        .collect::<Result<Vec<_>>>()?;
    if !options.tools_only && stale.iter().all(|(print, product)| product.is_fresh(print)) {
        for (_, product) in &stale {
            println!("web: {} is up to date", product.crate_name());
            product.report()?;
        }
        return Ok(());
    }

    stdlib::ensure(options.wasm_std.as_deref(), options.std_from)?;
    for (print, product) in &stale {
        let version = tools::locked_version(&product.workspace.join("Cargo.lock"))
            .or_else(|_| tools::locked_version(&root.join("Cargo.lock")))?;
        let bindgen = tools::wasm_bindgen(&version)?;
        let optimiser = if options.debug { None } else { Some(tools::wasm_opt()?) };
        if options.tools_only {
            continue;
        }
        if product.is_fresh(print) {
            println!("web: {} is up to date", product.crate_name());
        } else {
            product.build(&root, &bindgen, optimiser.as_ref())?;
            product.mark_fresh(print)?;
        }
        product.report()?;
    }
    Ok(())
}
