//! `bellavista down`: stops the shop of a state folder, and what a killed one
//! left behind.

#![expect(clippy::print_stdout, reason = "it tells what it did")]

use std::time::Duration;

use nix::sys::signal::Signal;
use platform::config::Config;
use platform::engines::home::Home;
use platform::engines::{broker, postgres, process, router};

/// Longer than a drain and both engines may take together.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn down(config: &Config) -> anyhow::Result<()> {
    let home = Home::open(&config.ground.home)?;
    let holder = home.lock_holder();
    if let Some(pid) = holder {
        println!("stopping the shop (process {pid})");
        process::end(pid, &[(Signal::SIGTERM, PATIENCE)]).await;
    }
    // Alone with the folder from here on: nobody starts while we clear up.
    let _lock = home.lock()?;
    router::stop_leftovers(&home).await;
    broker::stop_leftovers(&home).await;
    postgres::stop_leftovers(&home).await?;
    println!("{}", if holder.is_some() { "stopped" } else { "nothing was running" });
    Ok(())
}
