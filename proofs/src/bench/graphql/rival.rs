//! Apollo's gateway from npm over the same subgraphs, as a process of the bench.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::ask::Place;

/// The same that the shop's router serves.
const SUPERGRAPH: &str = include_str!("../../../../backend/contracts/graphql/supergraph.graphql");
const START: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// It ends with this value.
pub struct Rival {
    child: Child,
    pub place: Place,
}

impl Rival {
    /// Starts the program in `folder` and waits until it answers.
    pub async fn start(folder: &Path, internal: &str) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let program = folder.join("server.mjs");
        ensure!(program.exists(), "{} is not there", program.display());
        let mut child = Command::new("node")
            .arg(&program)
            .args([internal, &port.to_string()])
            .env("NODE_ENV", "production")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("node")?;
        let mut input = child.stdin.take().context("node has no standard input")?;
        input.write_all(SUPERGRAPH.as_bytes()).await?;
        drop(input);
        let url = format!("http://127.0.0.1:{port}/");
        await_answer(&mut child, &url).await?;
        Ok(Rival { child, place: Place::behind("@apollo/gateway", &url) })
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

async fn await_answer(child: &mut Child, url: &str) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().timeout(START).build()?;
    let question = serde_json::json!({ "query": "{ __typename }" });
    let deadline = Instant::now() + START;
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("@apollo/gateway ended at once: {status}");
        }
        let answer = http.post(url).json(&question).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "@apollo/gateway did not start");
        tokio::time::sleep(PAUSE).await;
    }
}
