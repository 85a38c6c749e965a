use super::*;

const BODY: &[u8] = br#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":
    {"id":"pi_1","status":"succeeded","amount":1230,"amount_received":1230,"currency":"kwd",
     "metadata":{"attempt_id":"019a0000-0000-7000-8000-000000000001"}}}}"#;

fn secrets(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn a_stripe_signature_is_for_one_body_at_one_time() {
    let header = sign_stripe("whsec_a", BODY, 1_000);
    let check = |secret: &[&str], header: &str, body: &[u8], now| {
        stripe(&secrets(secret), header, body, now, 300)
    };
    assert_eq!(check(&["whsec_a"], &header, BODY, 1_300), Ok(()));
    assert_eq!(check(&["whsec_new", "whsec_a"], &header, BODY, 1_000), Ok(()), "rotation");
    let two = format!("{header},v1=00ff,v0=aa");
    assert_eq!(check(&["whsec_a"], &two, BODY, 1_000), Ok(()), "several signatures");
    for now in [1_301, 699] {
        assert_eq!(check(&["whsec_a"], &header, BODY, now), Err(BadNotification::Stale));
    }
    let other = header.replace("t=1000", "t=1001");
    for (secret, header, body) in [
        ("whsec_b", header.as_str(), BODY),
        ("whsec_a", &other, BODY),
        ("whsec_a", &header, b"{}"),
        ("whsec_a", "", BODY),
        ("whsec_a", "t=x,v1=00", BODY),
        ("whsec_a", "v1=00", BODY),
    ] {
        let refused = check(&[secret], header, body, 1_000);
        assert_eq!(refused, Err(BadNotification::Signature), "{header}");
    }
    assert_eq!(stripe(&[], &header, BODY, 1_000, 300), Err(BadNotification::Signature));
}

#[test]
fn a_stripe_event_is_read_in_the_currencys_units() {
    let notice = stripe_event(BODY).unwrap();
    assert_eq!((notice.id.as_str(), notice.verdict), ("evt_1", Verdict::Approved));
    assert_eq!(notice.money.unwrap(), Money::new(1_230, Currency::KWD));
    assert!(matches!(notice.about, About::Attempt(_)));
    let other = br#"{"id":"evt_2","type":"customer.created","data":{"object":{}}}"#;
    assert_eq!(stripe_event(other).unwrap().about, About::Nothing);
    for odd in [&b"[]"[..], b"{", br#"{"id":"","type":"x","data":{"object":1}}"#] {
        assert!(matches!(stripe_event(odd), Err(BadNotification::Malformed(_))));
    }
}

const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";

/// The provider's own published example.
const EXAMPLE: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{
    "eventCode":"AUTHORISATION","success":"true","pspReference":"7914073381342284",
    "merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704",
    "amount":{"value":1130,"currency":"EUR"},
    "additionalData":{"hmacSignature":"coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="}}}]}"#;

#[test]
fn the_published_example_of_adyen_verifies() {
    let keys = secrets(&[KEY]);
    let items = adyen(&keys, "TestMerchant", EXAMPLE.as_bytes()).unwrap();
    assert_eq!(adyen_item(&items[0]).unwrap().about, About::Nothing, "no reference of ours");
    let other = adyen(&keys, "Another", EXAMPLE.as_bytes());
    assert_eq!(other.unwrap_err(), BadNotification::Account);
}

#[test]
fn any_changed_field_of_an_adyen_item_is_noticed() {
    let keys = secrets(&[KEY]);
    for (from, to) in [
        ("1130", "1131"),
        ("EUR", "USD"),
        ("\"true\"", "\"false\""),
        ("AUTHORISATION", "REFUND"),
        ("7914073381342284", "7914073381342285"),
        ("TestPayment-", "TestPayment:"),
        ("\"merchantReference\"", "\"originalReference\":\"x\",\"merchantReference\""),
        ("coqCmt", "coqCmu"),
        ("hmacSignature", "hmac"),
    ] {
        let changed = EXAMPLE.replacen(from, to, 1);
        let refused = adyen(&keys, "TestMerchant", changed.as_bytes());
        assert_eq!(refused.unwrap_err(), BadNotification::Signature, "{from}");
    }
    for odd in ["{}", "[]", r#"{"notificationItems":[]}"#, "<xml/>"] {
        let refused = adyen(&keys, "TestMerchant", odd.as_bytes()).unwrap_err();
        assert!(matches!(refused, BadNotification::Malformed(_)), "{odd}");
    }
    assert!(adyen(&[], "TestMerchant", EXAMPLE.as_bytes()).is_err());
    assert!(adyen(&secrets(&[""]), "TestMerchant", EXAMPLE.as_bytes()).is_err(), "no key");
}

#[test]
fn colons_and_backslashes_cannot_move_between_fields() {
    let mut item = adyen(&secrets(&[KEY]), "TestMerchant", EXAMPLE.as_bytes()).unwrap().remove(0);
    item.merchant_account_code = "a:b".into();
    item.merchant_reference = "c\\".into();
    assert!(item.signed_text().contains(":a\\:b:c\\\\:1130:"), "{}", item.signed_text());
}
