//! Who comes without a token is a guest, and stays the same one.

use platform::Ids;
use platform::testing::TestAnswer;
use shared_types::GuestId;

use crate::{bearer, house};

/// The guest's token of a `Set-Cookie` line.
fn given(line: &str) -> &str {
    line.strip_prefix("bv_guest=").unwrap().split(';').next().unwrap()
}

#[tokio::test]
async fn a_guest_gets_a_cookie_once_and_is_the_same_guest_ever_after() {
    let house = house("");
    let first = house.client.get("/api/v1/products").send().await.expect(200);
    let line = first.header("set-cookie").to_owned();
    for part in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=7776000"] {
        assert!(line.contains(part), "{part} not in {line}");
    }
    assert!(!line.contains("Secure"));
    let (kept, used) = (house.claims(given(&line)).await, house.claims(&bearer(&first)).await);
    assert_eq!(kept.sub, used.sub);
    let fresh = |answer: &TestAnswer| answer.value()["headers"]["x-bv-fresh-guest"] == "1";
    assert!(fresh(&first), "nothing was known of who asked first");

    let cookie = format!("theme=dark; bv_guest={}", given(&line));
    let second =
        house.client.get("/api/v1/products").header("cookie", cookie).send().await.expect(200);
    assert_eq!(second.header("set-cookie"), "");
    assert!(!fresh(&second), "who brings the cookie is known");
    assert_eq!(bearer(&second), given(&line));
    let other = house.client.get("/api/v1/products").send().await.expect(200);
    assert_ne!(house.claims(&bearer(&other)).await.sub, kept.sub);
}

#[tokio::test]
async fn a_cookie_that_is_no_guests_makes_a_new_guest() {
    let house = house("[gateway]\nsecure_cookies = true");
    for wrong in
        ["nonsense".to_owned(), house.user_token(), house.guest_token(Ids::random().next(), 91)]
    {
        let cookie = format!("bv_guest={wrong}");
        let answer =
            house.client.get("/api/v1/products").header("cookie", cookie).send().await.expect(200);
        assert!(answer.header("set-cookie").ends_with("; Secure"), "{wrong}");
        assert_eq!(answer.value()["headers"]["x-bv-fresh-guest"], "1");
        let claims = house.claims(&bearer(&answer)).await;
        assert!(claims.sub.starts_with("guest:"), "{}", claims.sub);
    }
}

#[tokio::test]
async fn a_cookie_is_renewed_in_the_second_half_of_its_life() {
    let house = house("");
    let guest: GuestId = Ids::random().next();
    for (days_ago, renewed) in [(1, false), (60, true)] {
        let token = house.guest_token(guest, days_ago);
        let cookie = format!("bv_guest={token}");
        let answer =
            house.client.get("/api/v1/products").header("cookie", cookie).send().await.expect(200);
        assert_eq!(bearer(&answer), token);
        let line = answer.header("set-cookie");
        assert_eq!(!line.is_empty(), renewed, "after {days_ago} days");
        if renewed {
            assert_eq!(house.claims(given(line)).await.sub, format!("guest:{guest}"));
        }
    }
}

#[tokio::test]
async fn who_brings_a_token_is_who_it_says_and_a_wrong_one_goes_no_further() {
    let house = house("");
    let token = house.user_token();
    let answer = house.client.get("/api/v1/products").bearer(&token).send().await.expect(200);
    assert_eq!((bearer(&answer), answer.header("set-cookie")), (token.clone(), ""));
    let now = platform::Clock::System.now();
    let grant = house.issuer.grant("order", "7", now, std::time::Duration::from_secs(60)).unwrap();
    let answer = house.client.get("/api/v1/products").order_token(&grant).send().await.expect(200);
    assert_eq!(answer.value()["headers"]["authorization"], format!("Order {grant}"));
    for wrong in [
        "Bearer nonsense",
        "nonsense",
        "",
        &format!("Basic {token}"),
        &format!("Bearer {grant}"),
        "Bearer \u{e9}",
    ] {
        let request = house.client.get("/api/v1/products").header("authorization", wrong);
        let answer = request.send().await.expect_problem(401, "auth.invalid_token");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert_eq!(answer.header("set-cookie"), "", "{wrong:?}");
    }
}
