//! The demo shop: accounts for every role and a small catalogue, made through
//! the public API like any merchant would, once per state folder.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt, TryStreamExt, stream};
use platform::Clock;
use platform::auth::{Issuer, KeyRing};
use platform::config::Config;
use platform::engines::home::Home;
use reqwest::StatusCode;
use serde::Serialize;
use shared_types::Role;
use shared_types::catalog::ProductInput;
use shared_types::identity::{Login, Registration, Tokens};

use super::console::Console;

/// The password of every demo account.
pub const PASSWORD: &str = "bellavista-demo";

const CATALOGUE: &str = include_str!("../../demo/catalogue.json");
const DONE: &str = "demo-done";
const AT_ONCE: usize = 4;
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// First name, last name, address before the `@`, roles beyond a customer's.
const ACCOUNTS: &[(&str, &str, &str, &[Role])] = &[
    ("Sofia", "Shopper", "shopper", &[]),
    ("Marco", "Merchant", "merchant", &[Role::Merchant]),
    ("Olga", "Operator", "operator", &[Role::Operator]),
    ("Ada", "Admin", "admin", &[Role::Admin]),
    ("Pia", "Partner", "partner", &[Role::Partner]),
];

/// Makes what is missing of the demo shop. Done once it is not looked at again,
/// so a demo product that was deleted stays deleted.
pub async fn ensure(config: &Config, home: &Home, console: &Console) -> anyhow::Result<()> {
    let done = home.root().join(DONE);
    if done.exists() {
        return Ok(());
    }
    console.say("opening the demo accounts");
    let api = Api::new(config)?;
    let accounts = ACCOUNTS.iter().map(|account| api.ensure_account(account));
    stream::iter(accounts).buffer_unordered(AT_ONCE).try_collect::<()>().await?;

    let catalogue: Vec<ProductInput> =
        serde_json::from_str(CATALOGUE).context("demo/catalogue.json")?;
    console.say(&format!("filling the shelves with {} demo products", catalogue.len()));
    let merchant = api.sign_in(&address("merchant")).await?;
    let products = catalogue.iter().map(|product| api.ensure_product(product, &merchant));
    stream::iter(products).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    std::fs::write(&done, "").with_context(|| format!("writing {}", done.display()))
}

fn address(name: &str) -> String {
    format!("{name}@demo.bellavista.test")
}

/// The public API as the demo's maker sees it.
struct Api {
    http: reqwest::Client,
    base: String,
    service_token: String,
}

impl Api {
    fn new(config: &Config) -> anyhow::Result<Self> {
        let auth = &config.ground.auth;
        let ring = Arc::new(KeyRing::load_or_create(&auth.signing_key_file)?);
        let service_token = Issuer::new(ring, &auth.issuer)
            .service("tools", Clock::System.now(), Duration::from_secs(600))
            .map_err(|error| anyhow::anyhow!("no service token: {error:?}"))?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .context("making an HTTP client")?;
        let base = format!("http://127.0.0.1:{}/api/v1", config.ground.http.port);
        Ok(Self { http, base, service_token })
    }

    async fn ensure_account(
        &self,
        (first_name, last_name, name, roles): &(&str, &str, &str, &[Role]),
    ) -> anyhow::Result<()> {
        let registration = Registration {
            email: address(name),
            password: PASSWORD.to_owned(),
            first_name: (*first_name).to_owned(),
            last_name: (*last_name).to_owned(),
            roles: roles.to_vec(),
            ..Registration::default()
        };
        self.make("/users/register", &registration, &self.service_token)
            .await
            .with_context(|| format!("making the demo account {}", registration.email))
    }

    async fn ensure_product(&self, product: &ProductInput, merchant: &str) -> anyhow::Result<()> {
        self.make("/products", product, merchant)
            .await
            .with_context(|| format!("making the demo product {:?}", product.title))
    }

    async fn sign_in(&self, email: &str) -> anyhow::Result<String> {
        let login = Login { email: email.to_owned(), password: PASSWORD.to_owned() };
        let answer =
            self.http.post(format!("{}/users/login", self.base)).json(&login).send().await?;
        anyhow::ensure!(
            answer.status() == StatusCode::OK,
            "{email} cannot sign in: {}",
            answer.text().await.unwrap_or_default()
        );
        Ok(answer.json::<Tokens>().await?.access_token)
    }

    /// Posts something that may be there already. A service that is not ready
    /// yet is asked again.
    async fn make(&self, path: &str, body: &impl Serialize, token: &str) -> anyhow::Result<()> {
        let mut attempt = 1;
        loop {
            let request = self.http.post(format!("{}{path}", self.base));
            let answer = request.bearer_auth(token).json(body).send().await?;
            match answer.status() {
                StatusCode::CREATED | StatusCode::OK | StatusCode::CONFLICT => return Ok(()),
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
                    if attempt < ATTEMPTS =>
                {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                status => {
                    let text = answer.text().await.unwrap_or_default();
                    anyhow::bail!("{status}: {text}")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_demo_catalogue_holds_24_products_with_distinct_skus_and_artwork() {
        let catalogue: Vec<ProductInput> = serde_json::from_str(CATALOGUE).unwrap();
        assert_eq!(catalogue.len(), 24);
        let mut skus = HashSet::new();
        for product in &catalogue {
            assert!(!product.media.is_empty(), "{} has no picture", product.title);
            assert!(!product.variants.is_empty(), "{} has no variant", product.title);
            for variant in &product.variants {
                assert!(skus.insert(&variant.sku), "{} appears twice", variant.sku);
                assert!(variant.price.is_some() && variant.stock.is_some(), "{}", variant.sku);
            }
        }
    }
}
