//! A real Chromium, driven through `chromedriver`: as much of the W3C WebDriver
//! protocol as the journeys need.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};

use crate::axe;

/// How long a step may wait for what it wants to see.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// The key under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The widths at which every page is looked at: a telephone's and a desk's.
const WIDTHS: [u32; 2] = [390, 1280];

/// Whether pages may run scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scripts {
    On,
    Off,
}

/// One browser window on one shop; ends with this value.
pub struct Browser {
    http: reqwest::Client,
    session: String,
    shop: String,
    scripts: Scripts,
    driver: Child,
    profile: tempfile::TempDir,
    /// Two cores carry one browser at a time.
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::const_new(());

impl Browser {
    /// Opens a fresh browser on the shop at `port`.
    ///
    /// # Errors
    /// No `chromedriver` or Chromium, or they do not start.
    pub async fn open(port: u16, scripts: Scripts) -> anyhow::Result<Self> {
        let turn = TURN.lock().await;
        let profile = tempfile::Builder::new().prefix("bv-browser-").tempdir()?;
        let (driver, base) = start_driver().await?;
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE * 2).build()?;
        let mut browser = Browser {
            http,
            session: base,
            shop: format!("http://127.0.0.1:{port}"),
            scripts,
            driver,
            profile,
            _turn: turn,
        };
        let wanted = browser.capabilities();
        let opened = browser.call(Method::POST, "/session", Some(wanted)).await;
        let opened = opened.context("opening Chromium (Debian package `chromium`)")?;
        let id = opened["sessionId"].as_str().context("a session without id")?;
        browser.session = format!("{}/session/{id}", browser.session);
        Ok(browser)
    }

    fn capabilities(&self) -> Value {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            // A click waits for no smooth scrolling.
            "--force-prefers-reduced-motion",
            "--hide-scrollbars",
            "--window-size=1280,900",
            &profile,
        ];
        let mut options = json!({"args": args});
        if self.scripts == Scripts::Off {
            options["prefs"] = json!({"profile.managed_default_content_settings.javascript": 2});
        }
        json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"}
        }}})
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (status, mut body) = (answer.status(), answer.json::<Value>().await?);
        if !status.is_success() {
            bail!("{path}: {}: {}", body["value"]["error"], body["value"]["message"]);
        }
        Ok(body["value"].take())
    }

    async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Goes to a path of the shop.
    pub async fn goto(&self, path: &str) -> anyhow::Result<()> {
        self.post("/url", json!({"url": format!("{}{path}", self.shop)})).await.map(drop)
    }

    /// The path that is shown, with its query.
    pub async fn path(&self) -> anyhow::Result<String> {
        let url = self.call(Method::GET, "/url", None).await?;
        let url = url.as_str().unwrap_or_default();
        Ok(url.strip_prefix(&self.shop).unwrap_or(url).to_owned())
    }

    /// Asks the driver, not the page: it answers with scripts off as well.
    ///
    /// # Errors
    /// The expression throws.
    pub async fn evaluate(&self, expression: &str) -> anyhow::Result<Value> {
        self.post("/execute/sync", json!({"script": format!("return {expression}"), "args": []}))
            .await
    }

    /// The value to which a promise settles.
    ///
    /// # Errors
    /// It is rejected.
    pub async fn settle(&self, promise: &str) -> anyhow::Result<Value> {
        let script = format!(
            "const done = arguments[0]; Promise.resolve({promise}).then(\
             value => done({{value}}), error => done({{error: String(error)}}));"
        );
        let mut answer = self.post("/execute/async", json!({"script": script, "args": []})).await?;
        ensure!(answer.get("error").is_none(), "{promise}: {answer}");
        Ok(answer["value"].take())
    }

    /// Waits until `expression` is true.
    ///
    /// # Errors
    /// It does not become so in time; shows what the page says.
    pub async fn until(&self, what: &str, expression: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        // Between two pages there is nothing to ask: a failure is no answer yet.
        while self.evaluate(expression).await.ok() != Some(Value::Bool(true)) {
            if Instant::now() > deadline {
                return Err(self.in_vain(what).await);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn in_vain(&self, what: &str) -> anyhow::Error {
        let page = self.evaluate("document.body.innerText").await.unwrap_or_default();
        let path = self.path().await.unwrap_or_default();
        let text = page.as_str().unwrap_or_default();
        anyhow::anyhow!("waited in vain for {what} at {path}:\n{text}")
    }

    /// Waits for an element.
    ///
    /// # Errors
    /// None comes in time.
    pub async fn see(&self, css: &str) -> anyhow::Result<()> {
        let quoted = Value::from(css);
        self.until(css, &format!("document.querySelector({quoted}) !== null")).await
    }

    /// # Errors
    /// The text is not on the page in time.
    pub async fn says(&self, text: &str) -> anyhow::Result<()> {
        let quoted = Value::from(text);
        self.until(text, &format!("document.body.innerText.includes({quoted})")).await
    }

    async fn element(&self, css: &str) -> anyhow::Result<String> {
        self.see(css).await?;
        let found = self.post("/element", json!({"using": "css selector", "value": css})).await?;
        Ok(found[ELEMENT].as_str().context("an element without id")?.to_owned())
    }

    /// Clicks as a person would: what is covered cannot be clicked.
    pub async fn click(&self, css: &str) -> anyhow::Result<()> {
        let element = self.element(css).await?;
        let clicked = self.post(&format!("/element/{element}/click"), json!({})).await;
        // An order's page loads itself anew as long as something is open, and takes
        // the element along that was just found. Nothing was clicked then.
        if clicked.as_ref().is_err_and(|e| format!("{e:#}").contains("stale element")) {
            let element = self.element(css).await?;
            self.post(&format!("/element/{element}/click"), json!({})).await?;
            return Ok(());
        }
        clicked.context(css.to_owned()).map(drop)
    }

    /// Clicks what leads to another page and waits until that is there: what the old
    /// one shows must not be taken for it.
    pub async fn follow(&self, css: &str) -> anyhow::Result<()> {
        self.evaluate("document.documentElement.dataset.left = 'yes'").await?;
        self.click(css).await?;
        let there = "document.readyState === 'complete' && !document.documentElement.dataset.left";
        self.until("another page", there).await
    }

    /// Types into a field in place of what it holds.
    pub async fn fill(&self, css: &str, text: &str) -> anyhow::Result<()> {
        let element = self.element(css).await?;
        self.post(&format!("/element/{element}/clear"), json!({})).await.context(css.to_owned())?;
        self.post(&format!("/element/{element}/value"), json!({"text": text})).await.map(drop)
    }

    /// What a field holds.
    pub async fn value(&self, css: &str) -> anyhow::Result<String> {
        let value =
            self.evaluate(&format!("document.querySelector({}).value", Value::from(css))).await?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Looks at the page as it is: no error in the console, nothing that keeps
    /// people out, nothing wider than the window; leaves a picture of it at
    /// every width.
    pub async fn look(&self, name: &str) -> anyhow::Result<()> {
        for width in WIDTHS {
            self.resize(width).await?;
            self.see("main").await?;
            let mode = if self.scripts == Scripts::Off { "-no-scripts" } else { "" };
            self.picture(&format!("storefront-{name}{mode}-{width}")).await?;
            let widest = self.evaluate("document.documentElement.scrollWidth").await?;
            ensure!(widest.as_u64() <= Some(width.into()), "{name} is {widest} wide in {width}");
            if self.scripts == Scripts::On {
                axe::examine(self).await.with_context(|| format!("{name} at {width}"))?;
            }
        }
        self.check_console().await.with_context(|| name.to_owned())
    }

    async fn cdp(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    async fn resize(&self, width: u32) -> anyhow::Result<()> {
        let height = if width < 600 { 844 } else { 900 };
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await.map(drop)
    }

    /// The whole page, however long, as `<target>/screenshots/<name>.png`.
    async fn picture(&self, name: &str) -> anyhow::Result<()> {
        let size = self.cdp("Page.getLayoutMetrics", json!({})).await?;
        let (width, height) = (&size["cssContentSize"]["width"], &size["cssContentSize"]["height"]);
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let wanted = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.cdp("Page.captureScreenshot", wanted).await?;
        let data = picture["data"].as_str().context("no picture")?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(data)?;
        let folder = artefacts()?;
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join(format!("{name}.png")), bytes)?)
    }

    /// Errors in the console since the last look. What the shop refused by the
    /// page itself (a form sent back, a page that is not there) is no error.
    async fn check_console(&self) -> anyhow::Result<()> {
        let log = self.post("/se/log", json!({"type": "browser"})).await?;
        let of_page = |entry: &Value| {
            let message = entry["message"].as_str().unwrap_or_default();
            let refused = ["status of 404", "status of 422"].iter().any(|s| message.contains(s));
            let asset = ["/assets/", "/artwork/", "/favicon", ".json", "/live-token"];
            entry["source"] == "network" && refused && !asset.iter().any(|a| message.contains(a))
        };
        let entries = log.as_array().cloned().unwrap_or_default();
        let errors: Vec<_> =
            entries.iter().filter(|e| e["level"] == "SEVERE" && !of_page(e)).collect();
        ensure!(errors.is_empty(), "the console says: {errors:#?}");
        Ok(())
    }

    /// Ends browser and driver in good order.
    pub async fn close(mut self) -> anyhow::Result<()> {
        self.call(Method::DELETE, "", None).await?;
        if let Some(group) = self.driver.id() {
            end(group);
        }
        self.driver.wait().await?;
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A journey that failed leaves its browser running; both go together.
        if let Some(group) = self.driver.id() {
            end(group);
        }
    }
}

fn end(group: u32) {
    use nix::sys::signal::{Signal, killpg};
    if let Ok(group) = i32::try_from(group) {
        // One that ended already needs no signal.
        let _ = killpg(nix::unistd::Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// Starts `chromedriver` on a port of its own choice; its address.
async fn start_driver() -> anyhow::Result<(Child, String)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("chromedriver does not start; install the Debian package `chromium-driver`")?;
    let out = driver.stdout.take().context("no output of chromedriver")?;
    let mut lines = BufReader::new(out).lines();
    let port = async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return Ok(port.trim_end_matches('.').trim().to_owned());
            }
        }
        bail!("chromedriver ended before it listened")
    };
    let port = tokio::time::timeout(PATIENCE, port).await.context("chromedriver is silent")??;
    // It goes on talking; a full pipe would stop it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((driver, format!("http://127.0.0.1:{port}")))
}

/// Where pictures go: beside the build's profile folder.
fn artefacts() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).map(Path::to_owned);
    Ok(target.context("no target folder")?.join("screenshots"))
}
