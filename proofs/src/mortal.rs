//! A shop of our own that is killed and started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::process::{Child, Command};

use crate::client::{Call, Shop};
use crate::credentials::program;
use crate::settings::ShopArgs;

/// A start after a kill ends what the dead one left behind first.
const OPENS_WITHIN: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(100);

pub struct Mortal {
    program: PathBuf,
    pub args: ShopArgs,
    port: u16,
    shop: Shop,
    /// What its environment holds besides.
    settings: Vec<(String, String)>,
    child: Option<Child>,
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
        let mut mortal =
            Mortal { program, args, port, shop, settings, child: None, kills, openings };
        mortal.start(true).await?;
        Ok(mortal)
    }

    async fn start(&mut self, fresh: bool) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["up", "--port", &self.port.to_string()]);
        if fresh {
            command.arg("--fresh");
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
            let answer = self.shop.send(&Call::get("/products?first=1")).await;
            if answer.is_ok_and(|a| a.status.is_success()) {
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
