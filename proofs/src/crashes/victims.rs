//! The processes of a shop: finding them, killing them, and waiting until others
//! have taken their places.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Scene;
use crate::client::Call;
use crate::mortal::Mortal;

const BACK_WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Victim {
    /// The process of all services, or of gateway and engines with --split.
    Shop,
    /// Every process at once, as a power cut does.
    Power,
    Postgres,
    Broker,
    // With --split, one process of the service:
    Orders,
    Inventory,
    Payments,
    Catalog,
    Identity,
    Cart,
    Notifications,
    Operations,
}

impl Victim {
    pub const TOGETHER: [Victim; 4] =
        [Victim::Shop, Victim::Postgres, Victim::Broker, Victim::Power];
    pub const SPLIT: [Victim; 11] = [
        Victim::Orders,
        Victim::Inventory,
        Victim::Payments,
        Victim::Postgres,
        Victim::Broker,
        Victim::Catalog,
        Victim::Identity,
        Victim::Cart,
        Victim::Notifications,
        Victim::Operations,
        Victim::Power,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Victim::Shop => "shop",
            Victim::Power => "everything",
            Victim::Postgres => "PostgreSQL",
            Victim::Broker => "event log",
            Victim::Orders => "orders",
            Victim::Inventory => "inventory",
            Victim::Payments => "payments",
            Victim::Catalog => "catalog",
            Victim::Identity => "identity",
            Victim::Cart => "cart",
            Victim::Notifications => "notifications",
            Victim::Operations => "operations",
        }
    }

    pub fn needs_split(self) -> bool {
        !Victim::TOGETHER.contains(&self)
    }

    /// Its processes below `root` that are started and killed as one.
    fn processes(self, root: i32) -> BTreeSet<i32> {
        let below = descendants(root);
        let named = |pid: &i32, wanted: &str| {
            read(*pid, "comm").is_some_and(|name| name.trim().starts_with(wanted))
        };
        let chosen: Vec<i32> = match self {
            Victim::Shop => vec![root],
            Victim::Power => [root].into_iter().chain(below).collect(),
            // Its other processes are its children.
            Victim::Postgres => below
                .into_iter()
                .filter(|pid| {
                    named(pid, "postgres") && !parent(*pid).is_some_and(|p| named(&p, "postgres"))
                })
                .collect(),
            Victim::Broker => below.into_iter().filter(|pid| named(pid, "nisshi")).collect(),
            service => below.into_iter().filter(|pid| serves(*pid, service.name())).collect(),
        };
        chosen.into_iter().collect()
    }

    /// kill -9 of one of them; gives the moment when all are there again.
    pub async fn die(self, scene: &Scene, mortal: &mut Mortal) -> anyhow::Result<Instant> {
        let root = mortal.process().context("the shop does not run")?;
        let before = self.processes(root);
        match self {
            Victim::Shop => mortal.kill_and_reopen().await?,
            Victim::Power => {
                before.iter().for_each(|pid| end(*pid));
                mortal.kill_and_reopen().await?;
            }
            _ => {
                let killed = before.first().with_context(|| format!("no {}", self.name()))?;
                end(*killed);
                self.replaced(scene, root, &before, *killed).await?;
            }
        }
        Ok(Instant::now())
    }

    /// Waits until there are as many as before, the killed one not among them,
    /// and they and the shop say that they are ready.
    async fn replaced(
        self,
        scene: &Scene,
        root: i32,
        before: &BTreeSet<i32>,
        killed: i32,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let now = self.processes(root);
            let ready = now.len() == before.len() && !now.contains(&killed);
            if ready && self.serve_again(scene, &now).await {
                return Ok(());
            }
            ensure!(began.elapsed() < BACK_WITHIN, "{} does not come back", self.name());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn serve_again(self, scene: &Scene, now: &BTreeSet<i32>) -> bool {
        let mut doors = vec![scene.internal.clone()];
        for pid in now.iter().filter(|_| self.needs_split()) {
            let Some(port) = setting(*pid, "BV_INTERNAL__PORT") else { return false };
            doors.push(format!("http://127.0.0.1:{port}"));
        }
        for door in doors {
            let answer = scene.http.get(format!("{door}/readyz")).send().await;
            if !answer.is_ok_and(|a| a.status().is_success()) {
                return false;
            }
        }
        let page = scene.shop.send(&Call::get("/products?first=1")).await;
        page.is_ok_and(|page| page.status.is_success())
    }
}

fn end(pid: i32) {
    // One that ended meanwhile needs no signal.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

fn read(pid: i32, file: &str) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn serves(pid: i32, target: &str) -> bool {
    let line = read(pid, "cmdline").unwrap_or_default();
    let words: Vec<&str> = line.split('\0').collect();
    words.windows(2).any(|pair| pair == ["serve", target])
}

/// A variable of a process's environment.
fn setting(pid: i32, name: &str) -> Option<String> {
    let all = read(pid, "environ")?;
    let found = all.split('\0').find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.map(str::to_owned)
}

fn parent(pid: i32) -> Option<i32> {
    let stat = read(pid, "stat")?;
    stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Every process below `root`, itself excluded.
fn descendants(root: i32) -> Vec<i32> {
    let mut found = vec![root];
    let mut index = 0;
    while let Some(pid) = found.get(index) {
        // Any thread may have started a child.
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(thread.path().join("children"));
            let children = children.unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        index += 1;
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_below_us_with_its_environment() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("BV_INTERNAL__PORT", "1234")
            .spawn()
            .unwrap();
        let (own, pid) = (std::process::id() as i32, child.id() as i32);
        assert!(descendants(own).contains(&pid));
        assert_eq!(parent(pid), Some(own));
        // Until it has become another program it has our environment.
        while read(pid, "comm").is_none_or(|name| name.trim() != "sleep") {
            std::thread::yield_now();
        }
        assert_eq!(setting(pid, "BV_INTERNAL__PORT").as_deref(), Some("1234"));
        assert!(!serves(pid, "orders"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
