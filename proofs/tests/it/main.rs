//! Short forms of the proofs that open a shop of their own: each has to hold, and
//! has to notice what is broken on purpose.

use std::net::TcpListener;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One shop at a time is enough for a small machine.
static TURN: Mutex<()> = Mutex::new(());

/// A public port whose whole family is free right now, below the ports that the
/// system gives to clients.
fn free_ports() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = 12_000 + (std::process::id() % 80) as u16 * 100;
    let found = (0..80)
        .map(|step| 12_000 + (start - 12_000 + step * 100) % 8_000)
        .find(|base| (0..60).chain([352]).all(|distance| free(base + distance)));
    found.expect("free ports")
}

/// Runs a proof in a state folder of its own; what it printed, when it ended with
/// `code`.
fn prove(arguments: &[&str], code: i32) -> String {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let home = tempfile::Builder::new().prefix("bv-proof-").tempdir().unwrap();
    let port = free_ports().to_string();
    let ran = Command::new(env!("CARGO_BIN_EXE_proofs"))
        .arg("prove")
        .args(arguments)
        .args(["--own-port", &port, "--own-home"])
        .arg(home.path())
        .output()
        .unwrap();
    // Started by root, the shop's database lies elsewhere.
    if let Ok(place) = std::fs::read_to_string(home.path().join("postgres.place")) {
        drop(std::fs::remove_dir_all(place.trim()));
    }
    let said = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let said = said.join("\n");
    assert_eq!(ran.status.code(), Some(code), "{said}");
    said
}

#[test]
fn a_key_that_is_sent_often_over_a_kill_has_one_effect() {
    let said = prove(&["idempotency", "--keys", "40", "--sends", "5", "--kills", "1"], 0);
    assert!(said.contains("held"), "{said}");
}

#[test]
fn a_consumer_that_fails_loses_doubles_and_reorders_nothing() {
    let drill = ["--poison", "500", "--transient", "2000"];
    let said = prove(&[&["delivery", "--orders", "60"], &drill[..]].concat(), 0);
    assert!(said.contains("held"), "{said}");
}

#[test]
fn deaths_in_the_saga_and_of_its_engines_lose_and_double_nothing() {
    let steps = ["crashes", "--flows", "straight", "--steps", "5,10"];
    let rounds = ["--rounds", "1", "--victims", "postgres", "--crowd", "3", "--within", "15"];
    let said = prove(&[&steps[..], &rounds].concat(), 0);
    assert!(said.contains("none doubled"), "{said}");
}

#[test]
fn an_order_and_a_charge_too_many_are_noticed() {
    let few = ["crashes", "--steps", "none", "--flows", "pay", "--rounds", "1", "--crowd", "1"];
    let broken = ["--victims", "broker", "--within", "15", "--sabotage"];
    let said = prove(&[&few[..], &broken].concat(), 1);
    assert!(said.contains("orders that nobody placed: 1"), "{said}");
    assert!(said.contains("charges: 2"), "{said}");
}

#[test]
fn a_gateway_that_loses_answers_charges_each_paid_order_once() {
    let said = prove(&["charges", "--payments", "100", "--outage", "3", "--kills", "1"], 0);
    assert!(said.contains("held: one charge per paid order"), "{said}");
}

#[test]
fn charges_too_many_too_few_and_of_the_wrong_orders_are_noticed() {
    let few = ["charges", "--payments", "40", "--outage", "0", "--kills", "0", "--sabotage"];
    let said = prove(&few, 1);
    for found in ["was charged 2 times", "is not paid and", "is paid and 0 of"] {
        assert!(said.contains(found), "{found}: {said}");
    }
}
