//! `bellavista token`: a token for a service account.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::sync::Arc;
use std::time::Duration;

use platform::Clock;
use platform::auth::{Issuer, KeyRing};
use platform::config::Config;

use crate::targets;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service account: the name of a target, or `tools`.
    #[arg(long)]
    pub service: String,
    /// Seconds until it ends.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub ttl: u64,
}

pub fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let known = args.service == "tools" || targets::TARGETS.iter().any(|t| t.name == args.service);
    anyhow::ensure!(known, "there is no service account {:?}", args.service);
    let auth = &config.ground.auth;
    anyhow::ensure!(
        auth.signing_key_file.exists(),
        "{}: no signing key yet; start the shop first",
        auth.signing_key_file.display()
    );
    let issuer =
        Issuer::new(Arc::new(KeyRing::load_or_create(&auth.signing_key_file)?), &auth.issuer);
    let token = issuer
        .service(&args.service, Clock::System.now(), Duration::from_secs(args.ttl))
        .map_err(|e| anyhow::anyhow!("{e:?}"))?;
    println!("{token}");
    Ok(())
}
