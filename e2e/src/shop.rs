//! Starting and ending a shop.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a first start may take, migrations and demo data included.
const OPEN_WITHIN: Duration = Duration::from_secs(120);

/// A running shop. [`Shop::shared`] is one for all tests of a process.
pub struct Shop {
    /// The public port; the others keep their distance from it.
    pub port: u16,
    home: PathBuf,
    /// Ends the shop when its standard input closes, which the end of this
    /// process does, however it ends.
    keeper: Child,
}

static SHARED: OnceLock<(u16, PathBuf)> = OnceLock::new();
static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Runs the shop as its own process group and interrupts it when standard input
/// ends. `$0` is the program, the rest its arguments.
const KEEPER: &str = r#"
set -m
"$0" "$@" &
shop=$!
cat >/dev/null
kill -INT $shop 2>/dev/null
for _ in $(seq 150); do kill -0 $shop 2>/dev/null || break; sleep 0.1; done
kill -KILL -$shop 2>/dev/null
# Started by root, the database lies elsewhere.
place=$(cat "$BV_HOME/postgres.place" 2>/dev/null) && rm -rf "$place"
rm -rf "$BV_HOME"
"#;

impl Shop {
    /// The port of the shop that all tests of this process share; started when
    /// first asked for.
    pub async fn shared() -> anyhow::Result<u16> {
        Ok(Self::shared_shop().await?.0)
    }

    /// The state folder of the shared shop, for its commands.
    pub async fn shared_home() -> anyhow::Result<PathBuf> {
        Ok(Self::shared_shop().await?.1)
    }

    async fn shared_shop() -> anyhow::Result<(u16, PathBuf)> {
        let _one_at_a_time = STARTING.lock().await;
        if let Some(known) = SHARED.get() {
            return Ok(known.clone());
        }
        let home = tempfile::Builder::new().prefix("bv-e2e-").tempdir()?.keep();
        let shop = Shop::start(&home, free_ports()?).await?;
        let known = (shop.port, home);
        // Lives until the process ends; the keeper then ends the shop.
        std::mem::forget(shop);
        let _ = SHARED.set(known.clone());
        Ok(known)
    }

    /// Starts a shop with its state in `home`.
    pub async fn start(home: &Path, port: u16) -> anyhow::Result<Shop> {
        Shop::start_with(home, port, &[], &[]).await
    }

    /// The same with further flags of `up` and settings in the environment.
    pub async fn start_with(
        home: &Path,
        port: u16,
        flags: &[&str],
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Shop> {
        let program = program()?;
        let log = std::fs::File::create(home.join("e2e.log")).context("the shop's log")?;
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", KEEPER])
            .arg(&program)
            .args(["up", "--port", &port.to_string()])
            .args(flags)
            .envs(settings.iter().copied())
            .env("BV_HOME", home)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        let keeper = keeper.spawn().context("starting the shop")?;
        let mut shop = Shop { port, home: home.to_owned(), keeper };
        shop.wait_open().await?;
        Ok(shop)
    }

    async fn wait_open(&mut self) -> anyhow::Result<()> {
        let ready = format!("http://127.0.0.1:{}/readyz", self.port + 10);
        let page = format!("http://127.0.0.1:{}/api/v1/products", self.port);
        let deadline = Instant::now() + OPEN_WITHIN;
        loop {
            let open = ok(&ready).await && demo_is_there(&page).await;
            if open {
                return Ok(());
            }
            if self.keeper.try_wait()?.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.home.join("e2e.log")).unwrap_or_default();
                anyhow::bail!("the shop did not open:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Kills the shop and all its children at once, as a power cut would.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        use nix::sys::signal::{Signal, kill};
        use nix::unistd::Pid;
        let keeper = self.keeper.id().context("the keeper is gone")?;
        for pid in descendants(keeper) {
            // One that ended meanwhile needs no signal.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        // The keeper would clear the state folder; it goes first.
        self.keeper.kill().await?;
        Ok(())
    }

    /// Ids of the processes that serve `target` on their own (`up --split`).
    pub fn serving(&self, target: &str) -> Vec<i32> {
        let below = descendants(self.keeper.id().unwrap_or(0));
        let serves = |pid: &i32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&str> = line.split('\0').collect();
            words.windows(2).any(|pair| pair == ["serve", target])
        };
        below.into_iter().filter(serves).collect()
    }

    /// Ids of the child engines whose program's name begins with `name`.
    pub fn engines(&self, name: &str) -> Vec<i32> {
        let is_one = |pid: &i32| {
            let own = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            own.starts_with(name)
        };
        descendants(self.keeper.id().unwrap_or(0)).into_iter().filter(is_one).collect()
    }

    pub fn home(&self) -> &Path {
        &self.home
    }
}

async fn ok(url: &str) -> bool {
    matches!(reqwest::get(url).await, Ok(answer) if answer.status().is_success())
}

async fn demo_is_there(url: &str) -> bool {
    let Ok(answer) = reqwest::get(url).await else { return false };
    let Ok(page) = answer.json::<serde_json::Value>().await else { return false };
    page["items"].as_array().is_some_and(|items| items.len() >= 24)
}

/// Every process below `root`, itself excluded, deepest last.
fn descendants(root: u32) -> Vec<i32> {
    let mut found = vec![i32::try_from(root).unwrap_or(0)];
    let mut index = 0;
    while index < found.len() {
        // Any thread may have started a child.
        let threads = std::fs::read_dir(format!("/proc/{}/task", found[index]));
        for thread in threads.into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(thread.path().join("children"));
            let children = children.unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        index += 1;
    }
    found.split_off(1)
}

/// The built binary, beside the test's own.
pub fn program() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let debug = test.parent().and_then(Path::parent).context("no target folder")?;
    let program = debug.join("bellavista");
    anyhow::ensure!(
        program.is_file(),
        "{} is not built; run `cargo build -p bellavista`",
        program.display()
    );
    Ok(program)
}

/// Families of ports, below those that the system gives to clients. None reaches
/// into the next, not even with a process for each service.
const FAMILIES: u16 = 25;
const FAMILY: u16 = 400;
const FIRST_FAMILY: u16 = 20_000;

/// A public port whose whole family is free right now and was given to no other
/// test of this process, whose shop may not listen yet.
pub fn free_ports() -> anyhow::Result<u16> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = (std::process::id() % u32::from(FAMILIES)) as u16;
    (0..FAMILIES)
        .map(|_| (start + GIVEN.fetch_add(1, Ordering::Relaxed)) % FAMILIES)
        .map(|family| FIRST_FAMILY + family * FAMILY)
        .find(|base| (0..60).chain([352]).all(|distance| free(base + distance)))
        .context("no free ports")
}

/// The lines a program prints, for tests of commands.
pub async fn lines_of(program: &Path, args: &[&str], home: &Path) -> anyhow::Result<Vec<String>> {
    let mut child = Command::new(program)
        .args(args)
        .env("BV_HOME", home)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let out = child.stdout.take().context("no output")?;
    let mut lines = BufReader::new(out).lines();
    let mut all = Vec::new();
    while let Some(line) = lines.next_line().await? {
        all.push(line);
    }
    anyhow::ensure!(child.wait().await?.success(), "{args:?} failed: {all:?}");
    Ok(all)
}
