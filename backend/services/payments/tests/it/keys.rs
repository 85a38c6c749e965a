//! Tokens at rest: sealed with a named key, sealed anew after a rotation, and
//! readable without the old key then.

use std::time::Duration;

use contracts::generated::bellavista::payments::v1::CaptureOutcome;
use payments::TokenKeys;

use crate::shop::Shop;

#[tokio::test]
async fn after_a_rotation_open_tokens_get_the_new_key_and_the_old_one_can_go() {
    let folder = std::env::temp_dir().join(format!("bv-keys-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("tokens.keys");
    let head = format!("token_keys_file = \"{}\"\n---", file.display());
    let mut shop = Shop::open_more(&head).await;
    let order = shop.order();
    let (id, answer) = shop.pay_once(order, "tok_lost_before").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Pending);
    let sealed = "SELECT token_key || ' ' || encode(token_sealed, 'hex') FROM payment_attempts";
    let before = shop.text(sealed).await;
    assert!(before.starts_with("k1 ") && !before.contains(&hex("tok_lost_before")), "{before}");
    let keys = TokenKeys::of(&shop.bench.ctx.config).unwrap().unwrap();
    assert_eq!(keys.rotate().unwrap(), "k2");
    let used = keys.used(shop.bench.pool()).await.unwrap();
    let used: Vec<_> = used.iter().map(|k| (k.id.as_str(), k.current, k.tokens)).collect();
    assert_eq!(used, [("k2", true, 0), ("k1", false, 1)]);
    assert!(keys.prune(shop.bench.pool(), Duration::from_secs(60)).await.is_err(), "too early");
    assert!(keys.prune(shop.bench.pool(), Duration::ZERO).await.unwrap().is_empty(), "in use");
    // A start notices the new key and seals anew.
    shop.restart().await;
    for _ in 0..500 {
        if shop.text(sealed).await.starts_with("k2 ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(shop.text(sealed).await.starts_with("k2 "));
    assert_eq!(keys.prune(shop.bench.pool(), Duration::ZERO).await.unwrap(), ["k1"]);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("k1 "));
    shop.restart().await;
    shop.pass(31).await;
    assert_eq!(shop.decided(id).await.outcome(), CaptureOutcome::Captured, "it could be read");
    assert_eq!(shop.simulator.count(order).await, (1, 0));
    std::fs::remove_dir_all(&folder).unwrap();
}

fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}
