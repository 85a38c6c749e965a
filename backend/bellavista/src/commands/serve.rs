//! `bellavista serve`: runs targets against engines that run already.

use platform::config::Config;
use platform::lifecycle::Lifecycle;

use crate::{runner, targets};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// `all`, or names separated by commas.
    pub targets: String,
}

pub async fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let chosen = targets::select(&args.targets)?;
    let lifecycle = Lifecycle::new();
    drain_on_signal(&lifecycle)?;
    let names = args.targets;
    runner::run(config, &chosen, lifecycle, async move || {
        tracing::info!(targets = names, "ready");
        Ok(())
    })
    .await
}

/// SIGTERM and Ctrl-C begin the drain.
pub fn drain_on_signal(lifecycle: &Lifecycle) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let house = lifecycle.clone();
    lifecycle.spawn("signals", async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            () = house.draining() => {}
        }
        house.drain();
        Ok(())
    });
    Ok(())
}
