//! The service over real PostgreSQL.

mod graph;

use std::time::Duration;

use contracts::events::users::SessionRevoked;
use platform::testing::{self, Bench, Client};
use serde_json::json;
use shared_types::Role;
use shared_types::identity::{Tokens, User};

const SETTINGS: &str = include_str!("../../../../bellavista/default.toml");

async fn house() -> (Bench, Client) {
    let bench = testing::house("identity", &identity::MIGRATIONS, SETTINGS).await;
    let service = identity::build(bench.ctx.clone()).unwrap();
    let client = bench.client(&service);
    (bench, client)
}

fn ada() -> serde_json::Value {
    json!({"email": "Ada@Example.org", "password": "a long password", "firstName": "Ada", "lastName": "L"})
}

async fn signed_in(client: &Client) -> Tokens {
    client.post("/users/register").json(&ada()).send().await.expect(201);
    let login = json!({"email": "ada@example.org", "password": "a long password"});
    client.post("/users/login").json(&login).send().await.expect(200).json()
}

#[tokio::test]
async fn who_registers_can_sign_in_and_see_themselves() {
    let (bench, client) = house().await;
    let tokens = signed_in(&client).await;
    assert_eq!((tokens.token_type.as_str(), tokens.expires_in), ("Bearer", 900));
    let caller = bench.ctx.verifier.principal(&format!("Bearer {}", tokens.access_token)).await;
    let id = caller.unwrap().user().unwrap();
    let path = format!("/users/{id}");
    let user: User = client.get(&path).bearer(&tokens.access_token).send().await.expect(200).json();
    assert_eq!((user.email.as_str(), user.roles), ("ada@example.org", vec![Role::Customer]));
    let other = bench.token_for_user(bench.id(), &[Role::Customer]);
    client.get(&path).bearer(&other).send().await.expect(404);
    let support = bench.token_for_user(bench.id(), &[Role::Support]);
    client.get(&path).bearer(&support).send().await.expect(200);
    client.get(&path).send().await.expect(401);
}

#[tokio::test]
async fn an_address_has_one_account_whatever_its_case() {
    let (_bench, client) = house().await;
    client.post("/users/register").json(&ada()).send().await.expect(201);
    let again = client.post("/users/register").json(&ada()).send().await;
    assert_eq!(again.expect_problem(409, "identity.email_taken").fields(), ["email"]);
}

#[tokio::test]
async fn a_registration_sent_often_under_one_key_makes_one_account_and_stores_no_secret() {
    let (bench, client) = house().await;
    let send = |key: &str, body: serde_json::Value| {
        client.post("/users/register").key(key).json(&body).send()
    };
    let key = "registration-of-ada";
    let answers = futures_util::future::join_all((0..4).map(|_| send(key, ada()))).await;
    assert!(answers.iter().all(|a| a.status == 201 && a.text() == answers[0].text()));
    let replayed = answers.iter().filter(|a| a.header("idempotency-replayed") == "true").count();
    assert_eq!(replayed, 3);
    let mut other = ada();
    other["password"] = json!("another long password");
    send(key, other).await.expect_problem(422, "idempotency.mismatch");
    send("a-key-of-its-own", ada()).await.expect_problem(409, "identity.email_taken");
    send("short", ada()).await.expect_problem(400, "idempotency.key_invalid");
    let kept: Vec<String> = sqlx::query_scalar("SELECT t::text FROM idempotency_records t")
        .fetch_all(bench.pool())
        .await
        .unwrap();
    let body: Vec<u8> = sqlx::query_scalar("SELECT body FROM idempotency_records")
        .fetch_one(bench.pool())
        .await
        .unwrap();
    let kept = [kept.join(" "), String::from_utf8(body).unwrap()].join(" ").to_lowercase();
    assert!(!kept.contains("ada") && !kept.contains("password"), "{kept}");
}

#[tokio::test]
async fn every_bad_field_is_named() {
    let (_bench, client) = house().await;
    let answer = client.post("/users/register").json(&json!({"email": "nobody"})).send().await;
    let answer = answer.expect_problem(422, "request.invalid");
    assert_eq!(answer.fields(), ["email", "password", "firstName", "lastName"]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_alike() {
    let (_bench, client) = house().await;
    client.post("/users/register").json(&ada()).send().await.expect(201);
    let wrong = json!({"email": "ada@example.org", "password": "not this one"});
    let unknown = json!({"email": "bob@example.org", "password": "not this one"});
    let mut bodies = Vec::new();
    for login in [wrong, unknown] {
        let answer = client.post("/users/login").json(&login).send().await;
        let mut body = answer.expect_problem(401, "identity.wrong_credentials").value();
        body["instance"] = json!("");
        bodies.push(body);
    }
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_forgotten_after_the_window() {
    let (bench, client) = house().await;
    client.post("/users/register").json(&ada()).send().await.expect(201);
    let wrong = json!({"email": "ada@example.org", "password": "not this one"});
    for _ in 0..10 {
        client.post("/users/login").json(&wrong).send().await.expect(401);
    }
    let right = json!({"email": "ada@example.org", "password": "a long password"});
    let answer = client.post("/users/login").json(&right).send().await;
    let answer = answer.expect_problem(429, "identity.throttled");
    assert_eq!(answer.header("retry-after"), "900");
    bench.advance(Duration::from_secs(901));
    client.post("/users/login").json(&right).send().await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_the_session() {
    let (bench, client) = house().await;
    let first = signed_in(&client).await;
    let send =
        |token: &str| client.post("/users/refresh").json(&json!({"refreshToken": token})).send();
    let second: Tokens = send(&first.refresh_token).await.expect(200).json();
    send(&first.refresh_token).await.expect_problem(401, "identity.session_ended");
    send(&second.refresh_token).await.expect_problem(401, "identity.session_ended");
    let told = testing::outbox_of::<SessionRevoked>(bench.pool()).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].reason, "refresh_reuse");
}

#[tokio::test]
async fn signing_out_ends_the_session_once() {
    let (bench, client) = house().await;
    let tokens = signed_in(&client).await;
    let body = json!({"refreshToken": tokens.refresh_token});
    for _ in 0..2 {
        client.post("/users/logout").json(&body).send().await.expect(204);
    }
    client.post("/users/refresh").json(&body).send().await.expect(401);
    assert_eq!(testing::outbox_of::<SessionRevoked>(bench.pool()).await.len(), 1);
}

#[tokio::test]
async fn only_administrators_and_services_give_roles() {
    let (bench, client) = house().await;
    let mut input = ada();
    input["roles"] = json!(["MERCHANT"]);
    client.post("/users/register").json(&input).send().await.expect(403);
    let merchant = bench.token_for_user(bench.id(), &[Role::Merchant]);
    client.post("/users/register").bearer(&merchant).json(&input).send().await.expect(403);
    let tools = bench.service_token("tools");
    let user: User =
        client.post("/users/register").bearer(&tools).json(&input).send().await.expect(201).json();
    assert_eq!(user.roles, [Role::Merchant]);
}

#[tokio::test]
async fn nothing_personal_is_stored_or_published_in_clear() {
    let (bench, client) = house().await;
    client.post("/users/register").json(&ada()).send().await.expect(201);
    let row: String =
        sqlx::query_scalar("SELECT users::text FROM users").fetch_one(bench.pool()).await.unwrap();
    let outbox = format!("{:?}", testing::outbox(bench.pool()).await);
    for text in [row, outbox] {
        assert!(!text.to_lowercase().contains("example.org"), "{text}");
        assert!(!text.contains("Ada"), "{text}");
    }
}

#[tokio::test]
async fn the_public_key_is_published() {
    let (_bench, client) = house().await;
    let answer = client.get("//.well-known/jwks.json").send().await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    assert_eq!(answer.value()["keys"][0]["crv"], "Ed25519");
}
