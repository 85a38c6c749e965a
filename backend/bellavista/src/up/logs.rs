//! `bellavista logs`: follows the log of one part.

use std::process::Command;

use anyhow::Context as _;
use platform::config::Config;
use platform::engines::home::Home;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// `bellavista`, `postgres`, `broker` or `router`.
    #[arg(default_value = "bellavista", value_parser = ["bellavista", "postgres", "broker", "router"])]
    part: String,
    /// Print the last lines and end.
    #[arg(long)]
    no_follow: bool,
    /// How many lines of the past.
    #[arg(short, long, default_value_t = 50)]
    lines: u32,
}

pub fn logs(args: &Args, config: &Config) -> anyhow::Result<()> {
    let path = Home::open(&config.ground.home)?.log(&args.part);
    anyhow::ensure!(path.exists(), "{} has no log yet; start the shop first", args.part);
    let mut tail = Command::new("tail");
    tail.arg("-n").arg(args.lines.to_string());
    if !args.no_follow {
        tail.arg("-F");
    }
    let status = tail.arg(&path).status().context("running tail")?;
    anyhow::ensure!(status.success(), "tail ended with {status}");
    Ok(())
}
