//! `up -d`: the shop in a session of its own, this process waits until it is
//! open.

use std::fs::File;
use std::process::Stdio;

use anyhow::Context as _;
use platform::engines::home::Home;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::Args;
use super::console::OPEN;
use crate::settings::Flags;

/// Starts the shop in the background and relays what it says until it is open.
pub async fn run(args: &Args, flags: &Flags, home: &Home) -> anyhow::Result<()> {
    // The clear refusal first; the child takes the lock for good.
    drop(home.lock()?);
    let last_words = home.log("up");
    let errors = File::create(&last_words).context("writing the start's log")?;
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(program);
    if let Some(config) = &flags.config {
        command.arg("--config").arg(config);
    }
    if let Some(home) = &flags.home {
        command.arg("--home").arg(home);
    }
    if let Some(port) = flags.port {
        command.args(["--port", &port.to_string()]);
    }
    command.args(["up", "--detached"]);
    for (wanted, flag) in
        [(args.fresh, "--fresh"), (args.no_demo, "--no-demo"), (args.split, "--split")]
    {
        if wanted {
            command.arg(flag);
        }
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .kill_on_drop(false)
        .spawn()
        .context("starting the shop in the background")?;
    let output = child.stdout.take().context("no output of the shop in the background")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        if line == OPEN {
            return Ok(());
        }
        relay(&line);
    }
    child.wait().await?;
    let words = std::fs::read_to_string(&last_words).unwrap_or_default();
    let line = words.lines().last().unwrap_or("it said nothing").trim_start_matches("bellavista: ");
    anyhow::bail!("{line}")
}

/// Leaves the terminal: no hang-up and no Ctrl-C from there reaches us.
pub fn leave_terminal() -> anyhow::Result<()> {
    nix::unistd::setsid().context("leaving the terminal")?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is said to the caller")]
fn relay(line: &str) {
    println!("{line}");
}
