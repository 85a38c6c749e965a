//! HTTP to a gateway: no redirects, no proxies, no retries of its own, bounded
//! answers; and whether a failed request may have arrived.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, RequestBuilder};

use super::Trouble;
use crate::config::Gateway;
use crate::soap::xml::Limits;

pub struct Transport {
    client: Client,
}

/// An answer of any status.
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Transport {
    pub fn new(gateway: &Gateway) -> anyhow::Result<Self> {
        let client = Client::builder()
            .timeout(gateway.timeout())
            .connect_timeout(gateway.connect_timeout())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(gateway.concurrency)
            .pool_idle_timeout(std::time::Duration::from_secs(20))
            .build()?;
        Ok(Transport { client })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends once. Whatever fails after the connection stood counts as unknown.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Trouble> {
        let mut headers = HeaderMap::new();
        platform::trace::current().write_to(&mut headers);
        let response = request.headers(headers).send().await.map_err(trouble)?;
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let body = bounded(response).await?;
        Ok(Answer { status, content_type, body })
    }
}

async fn bounded(mut response: reqwest::Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                if body.len() + chunk.len() > Limits::ANSWER.bytes {
                    return Err(Trouble::Unknown("the answer is too large".to_owned()));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(None) => return Ok(body),
            Err(error) => return Err(Trouble::Unknown(words(&error))),
        }
    }
}

fn trouble(error: reqwest::Error) -> Trouble {
    match error.is_connect() || error.is_builder() {
        true => Trouble::not_sent(words(&error)),
        false => Trouble::Unknown(words(&error)),
    }
}

fn words(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection was lost"
    };
    kind.to_owned()
}
