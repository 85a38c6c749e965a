//! A shop of our own that is killed and started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::client::{Answer, Call, Shop};
use crate::credentials::program;
use crate::settings::ShopArgs;

/// A start after a kill ends what the dead one left behind first.
const OPENS_WITHIN: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the demo accounts are there: the demo products come after them.
fn is_furnished(answer: &Answer) -> bool {
    let page: Option<Value> = serde_json::from_slice(&answer.body).ok();
    page.is_some_and(|page| page["items"].as_array().is_some_and(|items| items.len() >= 24))
}

pub struct Mortal {
    program: PathBuf,
    pub args: ShopArgs,
    port: u16,
    shop: Shop,
    /// What its environment holds besides.
    settings: Vec<(String, String)>,
    child: Option<Child>,
    /// Each service as a process of its own.
    split: bool,
    pub kills: u32,
    /// From each start to the first answer.
    pub openings: Vec<Duration>,
}

impl Mortal {
    /// Opens a fresh shop on `port`, with its state in `home`.
    pub async fn open(args: &ShopArgs, port: u16, home: &Path) -> anyhow::Result<Self> {
        Mortal::open_with(args, port, home, &[]).await
    }

    /// The same with further settings: names of variables and their values.
    pub async fn open_with(
        args: &ShopArgs,
        port: u16,
        home: &Path,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        Mortal::prepare(args, port, home, settings, false).await?.open_fresh().await
    }

    /// Opens a fresh shop of many processes.
    pub async fn open_split(args: &ShopArgs, port: u16, home: &Path) -> anyhow::Result<Self> {
        Mortal::open_split_with(args, port, home, &[]).await
    }

    /// The same with further settings.
    pub async fn open_split_with(
        args: &ShopArgs,
        port: u16,
        home: &Path,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        Mortal::prepare(args, port, home, settings, true).await?.open_fresh().await
    }

    async fn open_fresh(mut self) -> anyhow::Result<Self> {
        self.start(true).await?;
        Ok(self)
    }

    async fn prepare(
        args: &ShopArgs,
        port: u16,
        home: &Path,
        settings: &[(&str, String)],
        split: bool,
    ) -> anyhow::Result<Self> {
        let program = program(args).context("a shop of our own needs its program")?;
        let args = args.at(port, home.to_owned());
        let shop = Shop::new(&args)?;
        let answers = shop.send(&Call::get("/products?first=1")).await.is_ok();
        ensure!(
            !answers,
            "something listens on port {port} already; choose another with --own-port"
        );
        let (kills, openings) = (0, Vec::new());
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        Ok(Mortal { program, args, port, shop, settings, child: None, split, kills, openings })
    }

    async fn start(&mut self, fresh: bool) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["up", "--port", &self.port.to_string()]);
        if fresh {
            command.arg("--fresh");
        }
        if self.split {
            command.arg("--split");
        }
        command.env("BV_HOME", &self.args.home).kill_on_drop(true);
        command.envs(self.settings.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn().with_context(|| self.program.display().to_string())?;
        loop {
            if let Some(status) = child.try_wait()? {
                let home = self.args.home.display();
                bail!("the shop ended at once ({status}); its log is in {home}/logs");
            }
            let answer = self.shop.send(&Call::get("/products?first=24")).await;
            if answer.is_ok_and(|a| a.status.is_success() && (!fresh || is_furnished(&a))) {
                break;
            }
            ensure!(began.elapsed() < OPENS_WITHIN, "the shop does not open");
            tokio::time::sleep(PAUSE).await;
        }
        self.openings.push(began.elapsed());
        self.child = Some(child);
        Ok(())
    }

    /// kill -9, then a new life with the same state.
    pub async fn kill_and_reopen(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("killing the shop")?;
            self.kills += 1;
        }
        self.start(false).await
    }

    /// The same with other further settings.
    pub async fn kill_and_reopen_with(
        &mut self,
        settings: &[(&str, String)],
    ) -> anyhow::Result<()> {
        self.settings = settings.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        self.kill_and_reopen().await
    }

    /// Waits until the shop has ended by itself.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        if let Some(child) = &mut self.child {
            child.wait().await.context("waiting for the shop's end")?;
            self.child = None;
        }
        Ok(())
    }

    /// Ends the services at once; database and event log go on alone.
    pub async fn end_services(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("ending the services")?;
        }
        Ok(())
    }

    /// Another command of the shop's program, for this shop.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--port", &self.port.to_string()]).args(arguments);
        command.env("BV_HOME", &self.args.home).stdin(Stdio::null());
        command
    }

    /// The process that keeps all others.
    pub fn process(&self) -> Option<i32> {
        self.child.as_ref()?.id().and_then(|id| i32::try_from(id).ok())
    }

    /// kill -9 for the process that serves `target`; the shop starts another.
    pub async fn kill_service(&self, target: &str) -> anyhow::Result<()> {
        let pid = self.serving(target)?;
        let mut kill = Command::new("kill");
        let killed = kill.args(["-9", &pid.to_string()]).status().await?;
        ensure!(killed.success(), "{target} could not be killed");
        Ok(())
    }

    /// Where the process that serves `target` shows its metrics.
    pub fn internal_of(&self, target: &str) -> anyhow::Result<String> {
        let environment = std::fs::read(format!("/proc/{}/environ", self.serving(target)?))?;
        let environment = String::from_utf8_lossy(&environment);
        let port = environment.split('\0').find_map(|v| v.strip_prefix("BV_INTERNAL__PORT="));
        let port: u16 = port.context("a service without its port")?.parse()?;
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// The process of this shop that serves `target`.
    fn serving(&self, target: &str) -> anyhow::Result<u32> {
        let home = self.args.home.display().to_string();
        let ours = |pid: &u32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&str> = line.split('\0').collect();
            words.windows(2).any(|pair| pair == ["serve", target])
                && words.windows(2).any(|pair| pair == ["--home", &home])
        };
        let all = std::fs::read_dir("/proc")?.flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.into_iter().find(ours).with_context(|| format!("no process serves {target}"))
    }

    /// The same without the further settings it was opened with.
    pub async fn heal_and_reopen(&mut self) -> anyhow::Result<()> {
        self.settings.clear();
        self.kill_and_reopen().await
    }

    /// Ends it in order, its engines with it.
    pub async fn close(mut self) -> anyhow::Result<()> {
        let down = Command::new(&self.program)
            .arg("down")
            .env("BV_HOME", &self.args.home)
            .stdout(Stdio::null())
            .status();
        down.await.context("stopping the shop")?;
        if let Some(mut child) = self.child.take() {
            let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await;
            ended.context("the shop does not end")??;
        }
        Ok(())
    }
}
