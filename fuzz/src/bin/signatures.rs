//! Any header and body as a provider's notification: nothing falls over, nothing
//! unsigned or altered counts, and what is signed does.

#![no_main]

/// The shop's verifiers, without the shop.
#[allow(dead_code, reason = "the shop reads more of an item than is looked at here")]
#[path = "../../../backend/services/payments/src/notifications/signatures.rs"]
mod signatures;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use signatures::{BadNotification, Item, adyen, malformed, sign_adyen, sign_stripe, stripe};

const SECRET: &str = "whsec_d1f7c02b9a6e4853";
const OTHER: &str = "whsec_0000000000000000";
const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const NOW: i64 = 1_790_000_000;
const TOLERANCE: i64 = 300;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let (header, body) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    if let Ok(header) = std::str::from_utf8(header) {
        let forged = stripe(&[SECRET.to_owned()], header, body, NOW, TOLERANCE);
        assert!(forged.is_err(), "a forged header counts");
    }
    signed_bodies_count(body);
    assert!(adyen(&[KEY.to_owned()], "Shop", body).is_err(), "a forged batch counts");
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        signed_items_count(value);
    }
});

fn signed_bodies_count(body: &[u8]) {
    let (secrets, others) = ([OTHER.to_owned(), SECRET.to_owned()], [OTHER.to_owned()]);
    let header = sign_stripe(SECRET, body, NOW);
    assert_eq!(stripe(&secrets, &header, body, NOW + TOLERANCE, TOLERANCE), Ok(()));
    let late = stripe(&secrets, &header, body, NOW + TOLERANCE + 1, TOLERANCE);
    assert_eq!(late, Err(BadNotification::Stale));
    let stranger = stripe(&others, &header, body, NOW, TOLERANCE);
    assert_eq!(stranger, Err(BadNotification::Signature));
    let mut altered = body.to_vec();
    altered.push(b' ');
    let altered = stripe(&secrets, &header, &altered, NOW, TOLERANCE);
    assert_eq!(altered, Err(BadNotification::Signature));
}

fn signed_items_count(mut value: Value) {
    let Ok(item) = serde_json::from_value::<Item>(value.clone()) else { return };
    value["additionalData"] = json!({"hmacSignature": sign_adyen(KEY, &item)});
    let verdict = |value: &Value| {
        let batch = json!({"notificationItems": [{"NotificationRequestItem": value}]});
        let batch = serde_json::to_vec(&batch).map_err(malformed)?;
        adyen(&[KEY.to_owned()], &item.merchant_account_code, &batch)
    };
    assert!(verdict(&value).is_ok(), "a signed item does not count");
    value["amount"]["value"] = json!(item.amount.value.wrapping_add(1));
    let altered = verdict(&value).err();
    assert_eq!(altered, Some(BadNotification::Signature), "another amount counts");
}
