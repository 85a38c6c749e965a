//! The shop as a client on its public port sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use reqwest::{Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_types::Problem;

use crate::settings::ShopArgs;

const PREFIX: &str = "/api/v1";
const TIMEOUT: Duration = Duration::from_secs(35);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What `Retry-After` asks for is honoured up to this.
const LONGEST_OBEDIENCE: Duration = Duration::from_secs(15);

/// Who a request speaks for.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nobody: the gateway makes a fresh guest of each such request.
    Nobody,
    Bearer(String),
    /// A token for one order.
    Order(String),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    credential: Credential,
    key: Option<String>,
    body: Option<Vec<u8>>,
}

impl Call {
    /// `path` below `/api/v1`.
    pub fn get(path: impl Into<String>) -> Self {
        Call::new(Method::GET, path.into())
    }

    pub fn post<T: Serialize>(path: impl Into<String>, body: &T) -> anyhow::Result<Self> {
        let body = serde_json::to_vec(body)?;
        Ok(Call { body: Some(body), ..Call::new(Method::POST, path.into()) })
    }

    fn new(method: Method, path: String) -> Self {
        Call { method, path, credential: Credential::Nobody, key: None, body: None }
    }

    pub fn by(self, credential: Credential) -> Self {
        Call { credential, ..self }
    }

    /// The `Idempotency-Key`.
    pub fn key(self, key: impl Into<String>) -> Self {
        Call { key: Some(key.into()), ..self }
    }
}

/// What the shop answered, whatever it was.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    /// It was remembered, not worked out: `Idempotency-Replayed`.
    pub replayed: bool,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("unexpected answer: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The stable code of a refusal; empty when the answer is none.
    pub fn code(&self) -> String {
        serde_json::from_slice::<Problem>(&self.body).map(|p| p.code).unwrap_or_default()
    }

    /// The answer as one line for people.
    pub fn complaint(&self) -> String {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => {
                let fields: Vec<_> =
                    problem.errors.iter().map(|e| format!("{} {}", e.field, e.message)).collect();
                let detail = [problem.detail, fields.join(", ")].join(" ");
                format!("{} {}: {}", self.status.as_u16(), problem.code, detail.trim())
            }
            Err(_) => self.status.to_string(),
        }
    }

    /// The body when the status is as wanted; otherwise the complaint.
    pub fn expect<T: DeserializeOwned>(&self, wanted: &[u16], doing: &str) -> anyhow::Result<T> {
        if wanted.contains(&self.status.as_u16()) {
            return self.json();
        }
        bail!("{doing}: {}", self.complaint())
    }
}

/// A connection pool to one shop.
#[derive(Clone)]
pub struct Shop {
    http: reqwest::Client,
    origin: String,
    patience: Duration,
    away: Arc<AtomicBool>,
    bar: ProgressBar,
}

impl Shop {
    pub fn new(args: &ShopArgs) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(4_096)
            .build()?;
        Ok(Shop {
            http,
            origin: args.url.trim_end_matches('/').to_owned(),
            patience: Duration::from_secs(args.patience),
            away: Arc::default(),
            bar: ProgressBar::hidden(),
        })
    }

    /// The same shop; what has to be said is said above `bar`.
    pub fn with_bar(&self, bar: &ProgressBar) -> Self {
        Shop { bar: bar.clone(), ..self.clone() }
    }

    /// Sends once.
    pub async fn send(&self, call: &Call) -> Result<Answer, reqwest::Error> {
        let url = if call.path.starts_with("/.") {
            format!("{}{}", self.origin, call.path)
        } else {
            format!("{}{PREFIX}{}", self.origin, call.path)
        };
        let mut request = self.http.request(call.method.clone(), url);
        request = match &call.credential {
            Credential::Nobody => request,
            Credential::Bearer(token) => request.bearer_auth(token),
            Credential::Order(token) => {
                request.header(header::AUTHORIZATION, format!("Order {token}"))
            }
        };
        if let Some(key) = &call.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &call.body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let replayed = response.headers().contains_key("idempotency-replayed");
        let body = response.bytes().await?.to_vec();
        Ok(Answer { status, retry_after, replayed, body })
    }

    /// Sends until there is an answer that counts: a shop that is away, busy or
    /// broken is asked again until patience ends. Only for requests that may be
    /// repeated: reads, and those with an idempotency key or a natural one.
    pub async fn patiently(&self, call: &Call) -> anyhow::Result<Answer> {
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let (trouble, wait) = match self.send(call).await {
                Ok(answer) => match wait_of(&answer, pause) {
                    None => {
                        self.heard();
                        return Ok(answer);
                    }
                    Some(wait) => (answer.complaint(), wait),
                },
                Err(error) => {
                    self.missed();
                    (root_cause(&error), pause)
                }
            };
            if started.elapsed() + wait > self.patience {
                bail!(
                    "{} {} was not answered within {} s: {trouble}",
                    call.method,
                    call.path,
                    self.patience.as_secs()
                );
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn missed(&self) {
        if !self.away.swap(true, Ordering::Relaxed) {
            let seconds = self.patience.as_secs();
            self.say(&format!("the shop at {} is away; waiting up to {seconds} s", self.origin));
        }
    }

    fn heard(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            self.say("the shop is back");
        }
    }

    /// A line for people, above the progress bar if there is one.
    pub fn say(&self, line: &str) {
        if self.bar.is_hidden() { eprintln!("{line}") } else { self.bar.println(line) }
    }

    /// Names this shop's state: another after `up --fresh`.
    pub async fn identity(&self) -> anyhow::Result<String> {
        let answer = self.patiently(&Call::get("/.well-known/jwks.json")).await?;
        let keys: serde_json::Value = answer.expect(&[200], "reading the shop's keys")?;
        let kid = keys["keys"][0]["kid"].as_str().context("the shop shows no signing key")?;
        Ok(kid.to_owned())
    }
}

/// How long to wait before asking again; none when the answer counts.
fn wait_of(answer: &Answer, pause: Duration) -> Option<Duration> {
    let again = match answer.status.as_u16() {
        429 | 500 | 502 | 503 | 504 => true,
        409 => answer.retry_after.is_some(),
        _ => false,
    };
    again.then(|| answer.retry_after.unwrap_or(pause).clamp(pause, LONGEST_OBEDIENCE))
}

/// The innermost reason: "connection refused" rather than "error sending request".
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: retry_after.map(Duration::from_secs),
            replayed: false,
            body: Vec::new(),
        }
    }

    #[test]
    fn refusals_count_and_trouble_is_waited_out() {
        let wait = |status, after| wait_of(&answer(status, after), FIRST_PAUSE);
        for counts in [200, 201, 202, 400, 402, 404, 422] {
            assert_eq!(wait(counts, None), None, "{counts}");
        }
        assert_eq!(wait(409, None), None, "sold out is an answer");
        assert_eq!(wait(409, Some(1)), Some(Duration::from_secs(1)), "in flight is not");
        assert_eq!(wait(429, Some(3)), Some(Duration::from_secs(3)));
        assert_eq!(wait(503, None), Some(FIRST_PAUSE));
        assert_eq!(wait(503, Some(900)), Some(LONGEST_OBEDIENCE), "but not for ever");
    }

    #[test]
    fn a_complaint_names_code_and_fields() {
        let body = br#"{"type":"about:blank","title":"Invalid","status":422,"code":"input.invalid",
            "errors":[{"field":"email","code":"required","message":"is required"}]}"#;
        let answer = Answer { body: body.to_vec(), ..answer(422, None) };
        assert_eq!(answer.complaint(), "422 input.invalid: email is required");
    }
}
