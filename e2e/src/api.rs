//! A plain REST client.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared_types::sse;

/// Speaks to one shop in the name of one caller.
#[derive(Clone)]
pub struct Api {
    pub base: String,
    authorization: Option<String>,
    http: reqwest::Client,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The stable code of a problem document.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// # Panics
    /// When the status is another one, with the body.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }
}

/// The answers to a subscription.
pub struct Live {
    response: reqwest::Response,
    reader: sse::Reader,
    ready: VecDeque<sse::Event>,
}

impl Live {
    /// The next answer within half a minute; none when the stream is complete.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        let event = tokio::time::timeout(Duration::from_secs(30), self.event());
        let event = event.await.context("no event came")??;
        match event.name.as_str() {
            "complete" => Ok(None),
            _ => Ok(Some(serde_json::from_str(&event.data)?)),
        }
    }

    /// The data of the next answer.
    pub async fn data(&mut self) -> anyhow::Result<Value> {
        let answer = self.next().await?.context("the stream is complete")?;
        anyhow::ensure!(answer.get("errors").is_none(), "{answer}");
        Ok(answer["data"].clone())
    }

    async fn event(&mut self) -> anyhow::Result<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let bytes = self.response.chunk().await?.context("the stream broke off")?;
            let events = self.reader.push(&bytes);
            self.ready.extend(events.map_err(|_| anyhow::anyhow!("an event is too long"))?);
        }
    }
}

pub const DEMO_PASSWORD: &str = "bellavista-demo";

impl Api {
    /// Nobody yet.
    pub fn new(port: u16) -> Self {
        let base = format!("http://127.0.0.1:{port}");
        Api { base, authorization: None, http: reqwest::Client::new() }
    }

    pub fn bearer(&self, token: &str) -> Self {
        Api { authorization: Some(format!("Bearer {token}")), ..self.clone() }
    }

    pub fn order_token(&self, token: &str) -> Self {
        Api { authorization: Some(format!("Order {token}")), ..self.clone() }
    }

    /// Signed in as one of the demo accounts: `shopper`, `merchant`, ….
    pub async fn demo(&self, who: &str) -> anyhow::Result<Self> {
        let email = format!("{who}@demo.bellavista.test");
        self.signed_in(&email, DEMO_PASSWORD).await
    }

    pub async fn signed_in(&self, email: &str, password: &str) -> anyhow::Result<Self> {
        let body = json!({"email": email, "password": password});
        let answer = self.post("/api/v1/users/login", &body).await?;
        anyhow::ensure!(answer.status == StatusCode::OK, "sign-in: {}", answer.body);
        let token = answer.json()["accessToken"].as_str().context("no token")?.to_owned();
        Ok(self.bearer(&token))
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// A POST with an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[("Idempotency-Key", key)], Some(body)).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(value) = &self.authorization {
            request = request.header("Authorization", value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.text().await? })
    }

    /// Opens a subscription of the graph.
    pub async fn subscribe(&self, query: &str, variables: Value) -> anyhow::Result<Live> {
        let body = json!({ "query": query, "variables": variables });
        let mut request = self.http.post(format!("{}/graphql", self.base)).json(&body);
        request = request.header("Accept", sse::MEDIA_TYPE);
        if let Some(value) = &self.authorization {
            request = request.header("Authorization", value);
        }
        let response = request.send().await?;
        if response.status() != StatusCode::OK {
            anyhow::bail!("{}: {}", response.status(), response.text().await?);
        }
        Ok(Live { response, reader: sse::Reader::new(1 << 20), ready: VecDeque::new() })
    }

    /// Asks until `wanted` says yes to the body, for at most 30 seconds.
    pub async fn eventually(
        &self,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        self.eventually_within(Duration::from_secs(30), path, wanted).await
    }

    /// The same with patience of one's own.
    pub async fn eventually_within(
        &self,
        patience: Duration,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = std::time::Instant::now() + patience;
        loop {
            let answer = self.get(path).await?;
            let body = answer.json();
            if answer.status.is_success() && wanted(&body) {
                return Ok(body);
            }
            let late = std::time::Instant::now() > deadline;
            anyhow::ensure!(!late, "{path} never came to be as wanted: {}", answer.body);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}
