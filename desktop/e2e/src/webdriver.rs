//! As much of the W3C WebDriver protocol as the journeys need.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// How long a step may wait for what it wants to see.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(40);
const CALL_WAIT: Duration = Duration::from_secs(60);
/// The key under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The console's window, seen from outside.
pub struct Window {
    http: Client,
    session: String,
}

/// Polls the driver until it takes sessions.
pub(crate) async fn wait_until_ready(base: &str, until: Instant) -> Result<()> {
    let http = client()?;
    loop {
        let ready = match http.get(format!("{base}/status")).send().await {
            Ok(answer) => answer.json::<Value>().await?["value"]["ready"] == true,
            Err(_) => false,
        };
        if ready {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("WebKitWebDriver does not answer at {base}");
        }
        tokio::time::sleep(POLL).await;
    }
}

impl Window {
    /// Starts the program and takes over its window.
    pub(crate) async fn open(base: &str, program: &Path) -> Result<Self> {
        let http = client()?;
        // A browser name would make the driver look for a browser.
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "webkitgtk:browserOptions": {"binary": program, "args": []}
        }}});
        let value = call(&http, Method::POST, &format!("{base}/session"), Some(wanted))
            .await
            .with_context(|| format!("{} opens no window", program.display()))?;
        let id = value["sessionId"].as_str().context("a session without id")?;
        Ok(Window { http, session: format!("{base}/session/{id}") })
    }

    pub(crate) async fn close(&self) -> Result<()> {
        call(&self.http, Method::DELETE, &self.session, None).await.map(|_| ())
    }

    /// # Errors
    /// No such element appears in time, or it cannot be clicked.
    pub async fn click(&self, css: &str) -> Result<()> {
        let element = self.element(css).await?;
        self.post(&format!("element/{element}/click"), json!({})).await.map(|_| ())
    }

    /// Types into a field in place of what it holds.
    ///
    /// # Errors
    /// No such field appears in time, or it takes no text.
    pub async fn fill(&self, css: &str, text: &str) -> Result<()> {
        let element = self.element(css).await?;
        self.post(&format!("element/{element}/clear"), json!({})).await?;
        self.post(&format!("element/{element}/value"), json!({"text": text})).await.map(|_| ())
    }

    /// Presses keys with nothing in particular focused.
    ///
    /// # Errors
    /// The driver refuses.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.post("actions", json!({"actions": [keyboard]})).await.map(|_| ())
    }

    /// Runs `return <expression>` in the page.
    ///
    /// # Errors
    /// The expression throws.
    pub async fn evaluate(&self, expression: &str) -> Result<Value> {
        let script = json!({"script": format!("return {expression}"), "args": []});
        self.post("execute/sync", script).await
    }

    /// The text of an element; `None` while there is none.
    ///
    /// # Errors
    /// The page cannot be asked.
    pub async fn text(&self, css: &str) -> Result<Option<String>> {
        let css = serde_json::to_string(css)?;
        let value = self.evaluate(&format!("document.querySelector({css})?.textContent")).await?;
        Ok(value.as_str().map(|text| text.trim().to_owned()))
    }

    /// Waits until `expression` is true in the page.
    ///
    /// # Errors
    /// It does not become so in time; names `what` and shows the page's text.
    pub async fn until(&self, what: &str, expression: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.evaluate(expression).await? != true {
            if Instant::now() > until {
                let page = self.evaluate("document.body.innerText").await?;
                bail!("waited in vain for {what}; the window shows:\n{page}");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits for two frames: what was there before the call is on the display then.
    pub(crate) async fn painted(&self) -> Result<()> {
        let script = "const done = arguments[0]; \
                      const frames = n => n ? requestAnimationFrame(() => frames(n - 1)) : done(); \
                      document.fonts.ready.then(() => frames(3));";
        self.post("execute/async", json!({"script": script, "args": []})).await.map(|_| ())
    }

    async fn element(&self, css: &str) -> Result<String> {
        let quoted = serde_json::to_string(css)?;
        self.until(css, &format!("document.querySelector({quoted}) !== null")).await?;
        let found = self.post("element", json!({"using": "css selector", "value": css})).await?;
        Ok(found[ELEMENT].as_str().context("an element without id")?.to_owned())
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        call(&self.http, Method::POST, &format!("{}/{path}", self.session), Some(body)).await
    }
}

fn client() -> Result<Client> {
    // The console's choice; it fails only when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Client::builder().timeout(CALL_WAIT).no_proxy().build()?)
}

async fn call(http: &Client, method: Method, url: &str, body: Option<Value>) -> Result<Value> {
    let mut request = http.request(method, url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await?;
    let (status, mut body) = (answer.status(), answer.json::<Value>().await?);
    if !status.is_success() {
        let (error, message) = (&body["value"]["error"], &body["value"]["message"]);
        bail!("the driver refuses {url}: {error}: {message}");
    }
    Ok(body["value"].take())
}
