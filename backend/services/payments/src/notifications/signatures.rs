//! Whether a notification is the provider's. Pure and on its own: bytes in, one
//! pass over them.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

/// Why a notification does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNotification {
    #[error("it cannot be read: {0}")]
    Malformed(String),
    #[error("the signature is not the provider's")]
    Signature,
    #[error("its time is outside the tolerance")]
    Stale,
    #[error("it is for another account")]
    Account,
}

pub fn malformed(why: impl std::fmt::Display) -> BadNotification {
    BadNotification::Malformed(why.to_string())
}

/// More signatures than this in one header are not looked at.
const MAX_SIGNATURES: usize = 8;
/// Items of one batch, at most.
const MAX_ITEMS: usize = 200;

fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

/// `Stripe-Signature: t=<unix>,v1=<hex>[,v1=…]` over `{t}.{body}`; compared in
/// constant time, and only within `tolerance` seconds of `now`.
pub fn stripe(
    secrets: &[String],
    header: &str,
    body: &[u8],
    now: i64,
    tolerance: i64,
) -> Result<(), BadNotification> {
    let mut time = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => time = Some(text),
            Some(("v1", text)) if signatures.len() < MAX_SIGNATURES => {
                signatures.extend(hex::decode(text));
            }
            // Other schemes are not ours to verify.
            _ => {}
        }
    }
    let time = time.ok_or(BadNotification::Signature)?;
    let seconds: i64 = time.parse().map_err(|_| BadNotification::Signature)?;
    let ours = |secret: &String| {
        let keyed = mac(secret.as_bytes(), &[time.as_bytes(), b".", body]);
        keyed.is_some_and(|mac| {
            signatures.iter().any(|given| mac.clone().verify_slice(given).is_ok())
        })
    };
    if !secrets.iter().any(ours) {
        return Err(BadNotification::Signature);
    }
    match now.saturating_sub(seconds).unsigned_abs() > tolerance.unsigned_abs() {
        true => Err(BadNotification::Stale),
        false => Ok(()),
    }
}

/// The header for a body, as a provider makes it.
pub fn sign_stripe(secret: &str, body: &[u8], at: i64) -> String {
    let time = at.to_string();
    let mac = mac(secret.as_bytes(), &[time.as_bytes(), b".", body]);
    let hex = mac.map(|mac| hex::encode(mac.finalize().into_bytes())).unwrap_or_default();
    format!("t={time},v1={hex}")
}

/// One notification item of a batch.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    #[serde(default)]
    pub psp_reference: String,
    #[serde(default)]
    pub original_reference: Option<String>,
    pub merchant_account_code: String,
    #[serde(default)]
    pub merchant_reference: String,
    pub amount: ItemAmount,
    pub event_code: String,
    /// `true` or `false`, as a text.
    pub success: String,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub additional_data: BTreeMap<String, serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ItemAmount {
    pub value: i64,
    pub currency: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    notification_items: Vec<Wrapped>,
}

#[derive(Deserialize)]
struct Wrapped {
    #[serde(rename = "NotificationRequestItem")]
    item: Item,
}

impl Item {
    /// What is signed: eight fields in this order, colons and backslashes in
    /// them escaped.
    pub fn signed_text(&self) -> String {
        let value = self.amount.value.to_string();
        let fields = [
            self.psp_reference.as_str(),
            self.original_reference.as_deref().unwrap_or_default(),
            &self.merchant_account_code,
            &self.merchant_reference,
            &value,
            &self.amount.currency,
            &self.event_code,
            &self.success,
        ];
        let escaped = fields.map(|field| field.replace('\\', "\\\\").replace(':', "\\:"));
        escaped.join(":")
    }

    fn is_signed(&self, keys: &[String]) -> bool {
        let given = self.additional_data.get("hmacSignature").and_then(|v| v.as_str());
        let Some(given) = given.and_then(|text| STANDARD.decode(text).ok()) else { return false };
        let text = self.signed_text();
        keys.iter().any(|key| {
            let key = hex::decode(key).unwrap_or_default();
            let keyed = mac(&key, &[text.as_bytes()]);
            !key.is_empty() && keyed.is_some_and(|mac| mac.verify_slice(&given).is_ok())
        })
    }
}

/// The items of a batch when each one is signed and for this account.
pub fn adyen(
    keys: &[String],
    merchant_account: &str,
    body: &[u8],
) -> Result<Vec<Item>, BadNotification> {
    let batch: Batch = serde_json::from_slice(body).map_err(malformed)?;
    if batch.notification_items.is_empty() || batch.notification_items.len() > MAX_ITEMS {
        return Err(malformed("the number of items"));
    }
    let items: Vec<Item> = batch.notification_items.into_iter().map(|w| w.item).collect();
    if !items.iter().all(|item| item.is_signed(keys)) {
        return Err(BadNotification::Signature);
    }
    match items.iter().all(|item| item.merchant_account_code == merchant_account) {
        true => Ok(items),
        false => Err(BadNotification::Account),
    }
}

/// The signature of an item, as a provider makes it.
pub fn sign_adyen(key: &str, item: &Item) -> String {
    let key = hex::decode(key).unwrap_or_default();
    let mac = mac(&key, &[item.signed_text().as_bytes()]);
    mac.map(|mac| STANDARD.encode(mac.finalize().into_bytes())).unwrap_or_default()
}
