//! Tokens that renew themselves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared_types::identity::{Login, Tokens};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::client::{Call, Credential, Shop};
use crate::settings::ShopArgs;

/// How long a service token is used before another one is asked for.
const SERVICE_USE: Duration = Duration::from_secs(1_800);

/// Where tokens come from.
enum Source {
    Given(String),
    Program { program: PathBuf, home: PathBuf },
    SignIn { shop: Shop, login: Login },
}

/// A credential that is renewed before it ends.
pub struct Renewing {
    source: Source,
    current: Mutex<Option<(String, Instant)>>,
}

impl Renewing {
    /// The service account `tools`.
    pub fn tools(args: &ShopArgs) -> anyhow::Result<Self> {
        let source = match &args.token {
            Some(token) => Source::Given(token.clone()),
            None => Source::Program { program: program(args)?, home: args.home.clone() },
        };
        Ok(Renewing { source, current: Mutex::default() })
    }

    /// A merchant, signed in.
    pub fn merchant(args: &ShopArgs, shop: &Shop) -> Self {
        Renewing::person(shop, &args.merchant, &args.merchant_password)
    }

    pub fn person(shop: &Shop, email: &str, password: &str) -> Self {
        let login = Login { email: email.to_owned(), password: password.to_owned() };
        Renewing { source: Source::SignIn { shop: shop.clone(), login }, current: Mutex::default() }
    }

    pub async fn get(&self) -> anyhow::Result<Credential> {
        let mut current = self.current.lock().await;
        if let Some((token, until)) = &*current
            && Instant::now() < *until
        {
            return Ok(Credential::Bearer(token.clone()));
        }
        let (token, good_for) = self.fetch().await?;
        *current = Some((token.clone(), Instant::now() + good_for));
        Ok(Credential::Bearer(token))
    }

    async fn fetch(&self) -> anyhow::Result<(String, Duration)> {
        match &self.source {
            Source::Given(token) => Ok((token.clone(), SERVICE_USE)),
            Source::Program { program, home } => {
                let output = Command::new(program)
                    .args(["token", "--service", "tools", "--ttl", "3600"])
                    .env("BV_HOME", home)
                    .output()
                    .await
                    .with_context(|| program.display().to_string())?;
                if !output.status.success() {
                    bail!("no service token: {}", String::from_utf8_lossy(&output.stderr).trim());
                }
                let token = String::from_utf8(output.stdout)?.trim().to_owned();
                Ok((token, SERVICE_USE))
            }
            Source::SignIn { shop, login } => {
                let answer = shop.patiently(&Call::post("/users/login", login)?).await?;
                let doing = format!("signing in as {}", login.email);
                let tokens: Tokens = answer.expect(&[200], &doing)?;
                Ok((tokens.access_token, Duration::from_secs(tokens.expires_in / 2)))
            }
        }
    }
}

/// The shop's program: as named, beside this one, or of the other build.
pub fn program(args: &ShopArgs) -> anyhow::Result<PathBuf> {
    if let Some(named) = &args.bellavista {
        return Ok(named.clone());
    }
    let own = std::env::current_exe()?;
    let folder = own.parent().context("this program has no folder")?;
    let beside = ["bellavista", "../debug/bellavista", "../release/bellavista"];
    let found = beside.into_iter().map(|name| folder.join(name)).find(|path| path.exists());
    found.context("a service token is needed: give --token, or --bellavista with its program")
}

/// Who a token speaks for, read without checking it: the shop does that.
pub fn subject_of(token: &str) -> anyhow::Result<String> {
    let payload = token.split('.').nth(1).context("the token is no JWT")?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    Ok(claims["sub"].as_str().context("the token has no subject")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_it_is() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"0199aaaa"}"#);
        assert_eq!(subject_of(&format!("e30.{payload}.sig")).unwrap(), "0199aaaa");
        assert!(subject_of("nonsense").is_err());
    }
}
