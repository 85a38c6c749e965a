//! The file's customers as accounts of the shop.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use shared_types::identity::{Login, Registration, Tokens, User};
use tokio::sync::{Mutex, OnceCell, Semaphore};

use super::Stage;
use super::journal::Run;
use crate::client::{Call, Shop};
use crate::credentials::subject_of;

/// Registrations under way at once: passwords are hashed slowly on purpose.
const AT_ONCE: usize = 2;

/// Registers each customer once, when the first of their orders comes.
pub struct People {
    gate: Semaphore,
    known: Mutex<HashMap<String, Arc<OnceCell<String>>>>,
}

impl People {
    pub fn new() -> Self {
        People { gate: Semaphore::new(AT_ONCE), known: Mutex::default() }
    }

    /// The user id of a customer.
    pub async fn user_id(
        &self,
        shop: &Shop,
        stage: &Stage,
        customer: &str,
    ) -> anyhow::Result<String> {
        if let Some(id) = stage.journal.with(|facts| facts.customers.get(customer).cloned()) {
            return Ok(id);
        }
        let cell = self.known.lock().await.entry(customer.to_owned()).or_default().clone();
        let id = cell
            .get_or_try_init(|| async {
                let _turn = self.gate.acquire().await?;
                let id = register(shop, &stage.run, customer).await?;
                stage.journal.customer(customer, &id)?;
                anyhow::Ok(id)
            })
            .await?;
        Ok(id.clone())
    }
}

async fn register(shop: &Shop, run: &Run, customer: &str) -> anyhow::Result<String> {
    let body = Registration {
        email: email(run, customer),
        password: password(run, customer),
        first_name: "Customer".to_owned(),
        last_name: customer.to_owned(),
        ..Registration::default()
    };
    let answer = shop.patiently(&Call::post("/users/register", &body)?).await?;
    if answer.code() == "identity.email_taken" {
        // Registered before a kill, and not noted.
        let login = Login { email: email(run, customer), password: password(run, customer) };
        let answer = shop.patiently(&Call::post("/users/login", &login)?).await?;
        let tokens: Tokens = answer.expect(&[200], "signing a known customer in")?;
        return subject_of(&tokens.access_token);
    }
    let user: User = answer.expect(&[201], "registering a customer")?;
    Ok(user.id.to_string())
}

/// Under a domain that no mail ever reaches.
pub fn email(run: &Run, customer: &str) -> String {
    format!("customer-{customer}.{}@simulation.bellavista.test", run.id)
}

pub fn password(run: &Run, customer: &str) -> String {
    let digest = Sha256::digest(format!("{}/{customer}", run.secret));
    digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// The guest of an invoice without customer: the same one at every repetition.
pub fn guest_id(run: &Run, invoice: &str) -> uuid::Uuid {
    let digest = Sha256::digest(format!("{}/guest/{invoice}", run.id));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
