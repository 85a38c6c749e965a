//! Deque's axe-core: what a page does that keeps people out. Fetched from npm
//! once, into the user's cache.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::browser::Browser;

const VERSION: &str = "4.14.1";
/// Findings of these weights keep people out.
const GRAVE: [&str; 2] = ["serious", "critical"];

static SOURCE: OnceCell<String> = OnceCell::const_new();

/// Examines the page that is shown.
///
/// # Errors
/// There is a grave finding; names each rule with the elements it found.
pub async fn examine(browser: &Browser) -> anyhow::Result<()> {
    let source = SOURCE.get_or_try_init(source).await?;
    if browser.evaluate("typeof axe").await? != "object" {
        browser.evaluate(&format!("(() => {{ {source}; return true }})()")).await?;
    }
    let run = json!({"resultTypes": ["violations"]});
    let found = browser.settle(&format!("axe.run(document, {run})")).await?;
    let violations = found["violations"].as_array().cloned().unwrap_or_default();
    let grave: Vec<String> = violations
        .iter()
        .filter(|v| GRAVE.iter().any(|weight| v["impact"] == *weight))
        .map(described)
        .collect();
    ensure!(grave.is_empty(), "axe: {}", grave.join("\n"));
    Ok(())
}

fn described(violation: &Value) -> String {
    let nodes = violation["nodes"].as_array().cloned().unwrap_or_default();
    let where_: Vec<String> = nodes
        .iter()
        .take(5)
        .map(|node| format!("  {} – {}", node["html"], node["failureSummary"]))
        .collect();
    format!(
        "{} ({}): {}\n{}",
        violation["id"],
        violation["impact"],
        violation["help"],
        where_.join("\n")
    )
}

async fn source() -> anyhow::Result<String> {
    let tools = cache()?.join("tools");
    let file = tools.join(format!("axe-core-{VERSION}/package/axe.min.js"));
    if !file.is_file() {
        fetch(&tools).await.with_context(|| format!("axe-core {VERSION} from npm"))?;
    }
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// Unpacks the package beside its place, then moves it there: a fetch that is
/// cut off leaves nothing behind that looks whole.
async fn fetch(tools: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(tools)?;
    let work = tempfile::Builder::new().prefix("axe-").tempdir_in(tools)?;
    let pack = format!("axe-core@{VERSION}");
    run(work.path(), "npm", &["pack", "--silent", &pack]).await?;
    run(work.path(), "tar", &["xzf", &format!("axe-core-{VERSION}.tgz")]).await?;
    let place = tools.join(format!("axe-core-{VERSION}"));
    std::fs::create_dir_all(&place)?;
    match std::fs::rename(work.path().join("package"), place.join("package")) {
        // Another process was faster; its copy is the same.
        Err(_) if place.join("package/axe.min.js").is_file() => Ok(()),
        moved => Ok(moved?),
    }
}

async fn run(folder: &Path, program: &str, args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(args).current_dir(folder).output().await;
    let output = output.with_context(|| format!("{program} does not start"))?;
    ensure!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn cache() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(base.join("bellavista"))
}
