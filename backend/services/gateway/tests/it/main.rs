//! The gateway in front of a service that says back what it was asked.

mod graph;
mod guests;
mod live;
mod remote;
mod routing;

use std::collections::HashMap;

use axum::Router;
use axum::extract::Request;
use platform::auth::{Issuer, KeyRing, PublicKeys, Verifier};
use platform::config::Config;
use platform::lifecycle::Lifecycle;
use platform::testing::{Client, TestAnswer};
use platform::{Clock, Ids};
use serde_json::{Value, json};
use shared_types::{GuestId, Role, UserId};

const SETTINGS: &str = include_str!("../../../../bellavista/default.toml");

/// A gateway with its keys; its folder goes with it.
struct House {
    public: Router,
    client: Client,
    issuer: Issuer,
    verifier: Verifier,
    lifecycle: Lifecycle,
    _home: tempfile::TempDir,
}

/// Answers with method, path, query, headers and body.
async fn echo(request: Request) -> axum::Json<Value> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let headers: HashMap<_, _> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    axum::Json(json!({
        "method": parts.method.as_str(), "path": parts.uri.path(), "query": parts.uri.query(),
        "headers": headers, "body": String::from_utf8_lossy(&body)
    }))
}

/// The catalogue is in this process, everything else is wherever `settings`
/// (TOML laid over the defaults) say.
fn house(settings: &str) -> House {
    let home = tempfile::tempdir().unwrap();
    let overrides = format!("home = {:?}\n{settings}", home.path());
    let config = Config::load(SETTINGS, None, &overrides).unwrap();
    let lifecycle = Lifecycle::new();
    let local = HashMap::from([("catalog".to_owned(), Router::new().fallback(echo))]);
    let docs = Router::new().route("/api/v1/docs", axum::routing::get(async || "documents"));
    let deps = gateway::Deps::new(config.clone(), lifecycle.clone(), local, docs).unwrap();
    let pages = Router::new().fallback(async || "a page");
    let public = gateway::public(deps.clone(), gateway::api(deps), pages);
    let auth = &config.ground.auth;
    let ring = std::sync::Arc::new(KeyRing::load_or_create(&auth.signing_key_file).unwrap());
    let verifier = Verifier::new(PublicKeys::local(&ring), &auth.issuer, Clock::System);
    let issuer = Issuer::new(ring, &auth.issuer);
    let client = Client::over(public.clone());
    House { public, client, issuer, verifier, lifecycle, _home: home }
}

impl House {
    fn user_token(&self) -> String {
        let user: UserId = Ids::random().next();
        let ttl = std::time::Duration::from_secs(900);
        let shape = |c: &mut platform::auth::Claims| c.roles = vec![Role::Customer];
        self.issuer.token(user.to_string(), Clock::System.now(), ttl, shape).unwrap()
    }

    /// A guest's token that was made so many days ago.
    fn guest_token(&self, guest: GuestId, days_ago: u64) -> String {
        let day = std::time::Duration::from_secs(86_400);
        let made = Clock::System.now().minus(day * u32::try_from(days_ago).unwrap());
        let shape = |c: &mut platform::auth::Claims| c.roles = vec![Role::Guest];
        self.issuer.token(format!("guest:{guest}"), made, day * 90, shape).unwrap()
    }

    /// The claims of a token that the gateway made.
    async fn claims(&self, token: &str) -> std::sync::Arc<platform::auth::Claims> {
        self.verifier.verify(token).await.unwrap()
    }
}

/// The token that the service behind the gateway was given.
fn bearer(answer: &TestAnswer) -> String {
    let value = answer.value();
    let header = value["headers"]["authorization"].as_str().unwrap();
    header.strip_prefix("Bearer ").unwrap().to_owned()
}
