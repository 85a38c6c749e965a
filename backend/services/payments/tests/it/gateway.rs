//! The simulator as strangers meet it.

use payments::simulator;
use platform::testing::house;
use serde_json::{Value, json};

use crate::shop::Simulator;

const NS: &str = "urn:bellavista:legacy-payment:v1";

fn envelope(body: &str) -> String {
    format!(
        "<?xml version='1.0'?><e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/' xmlns:p='{NS}'>\
         <e:Body>{body}</e:Body></e:Envelope>"
    )
}

async fn post(simulator: &Simulator, action: &str, body: String) -> (u16, String) {
    let request = simulator
        .http
        .post(simulator.url("/soap/payment"))
        .header("content-type", "text/xml; charset=utf-8")
        .header("soapaction", action)
        .body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/xml; charset=utf-8");
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_description_names_the_address_it_was_asked_at() {
    let simulator = Simulator::start().await;
    let address = simulator.url("/soap/payment");
    for query in ["?wsdl", "?WSDL", ""] {
        let text = simulator.http.get(format!("{address}{query}")).send().await.unwrap();
        assert_eq!(text.headers()["content-type"], "text/xml; charset=utf-8");
        let text = text.text().await.unwrap();
        assert!(text.contains(&format!("<soap:address location=\"{address}\"/>")), "{text}");
        assert!(text.contains(&format!("schemaLocation=\"{address}?xsd=1\"")), "{text}");
    }
    let xsd = simulator.http.get(format!("{address}?xsd=1")).send().await.unwrap();
    assert!(xsd.text().await.unwrap().contains("xs:element name=\"ProcessPayment\""));
}

#[tokio::test]
async fn three_arguments_are_enough_and_two_calls_are_two_charges() {
    let simulator = Simulator::start().await;
    let short = include_str!("../../../../../wsdl/payment/golden/ProcessPayment.short.request.xml");
    for action in ["\"urn:bellavista:legacy-payment:v1/ProcessPayment\"", "\"\""] {
        let (status, body) = post(&simulator, action, short.to_owned()).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("<status>APPROVED</status>"), "{body}");
    }
    let order = "0199aaaa-0000-7000-8000-000000000001".parse().unwrap();
    assert_eq!(simulator.count(order).await, (2, 0));
    let orders = simulator.get("/admin/ledger/orders").await;
    assert_eq!(orders["items"][0]["charges"], 2);
    assert_eq!(orders["items"][0]["chargedMinor"], 25_900);
}

#[tokio::test]
async fn wrong_messages_get_faults_as_the_profile_has_them() {
    let simulator = Simulator::start().await;
    let pay = |inner: &str| envelope(&format!("<p:ProcessPayment>{inner}</p:ProcessPayment>"));
    let good = "<p:orderId>1</p:orderId><p:amount>1.00</p:amount><p:currency>USD</p:currency>";
    let laughs = "<!DOCTYPE l [<!ENTITY a 'haha'><!ENTITY b '&a;&a;&a;'>]>";
    let must =
        envelope("").replace("<e:Body>", "<e:Header><x e:mustUnderstand='1'/></e:Header><e:Body>");
    let cases = [
        ("soap:Client", "not json".to_owned()),
        ("soap:Client", String::new()),
        ("soap:Client", format!("{laughs}{}", &pay(good)[21..])),
        ("soap:Client", pay("<p:orderId>&b;</p:orderId>")),
        ("soap:Client", pay(&"<x>".repeat(60))),
        ("soap:Client", pay(&"x".repeat(200_000))),
        ("soap:Client", envelope("<p:ChargeEverybody/>")),
        ("soap:Client", envelope("<ProcessPayment xmlns='urn:other'/>")),
        ("soap:Client", pay("")),
        ("soap:Client", pay(&good.replace("1.00", "-1.00"))),
        ("soap:Client", pay(&good.replace("1.00", "0"))),
        ("soap:Client", pay(&good.replace("1.00", "1.001"))),
        ("soap:Client", pay(&good.replace("1.00", "99999999999999999999"))),
        ("soap:Client", pay(&good.replace("USD", "XXX"))),
        ("soap:Client", pay(&good.replace(">1<", &format!(">{}<", "9".repeat(65))))),
        (
            "soap:Client",
            envelope(
                "<p:RefundPayment><p:amount>1</p:amount><p:currency>USD</p:currency></p:RefundPayment>",
            ),
        ),
        (
            "soap:VersionMismatch",
            "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'/>".to_owned(),
        ),
        ("soap:MustUnderstand", must),
    ];
    for (code, body) in cases {
        let shown: String = body.chars().take(300).collect();
        let (status, text) = post(&simulator, "\"\"", body).await;
        assert_eq!(status, 500, "{shown}");
        assert!(text.contains(&format!("<faultcode>{code}</faultcode>")), "{shown}: {text}");
    }
    let (_, text) = post(&simulator, &format!("\"{NS}/RefundPayment\""), pay(good)).await;
    assert!(text.contains("SOAPAction names another operation"), "{text}");
    let ledger = simulator.get("/admin/ledger").await;
    assert_eq!(ledger["items"], json!([]), "none of it had an effect");
    let plain = simulator.http.post(simulator.url("/soap/payment")).body(pay(good));
    assert_eq!(plain.send().await.unwrap().status(), 415);
}

#[tokio::test]
async fn soap_and_rest_share_one_ledger() {
    let simulator = Simulator::start().await;
    let rest =
        |path: &str, body: Value| simulator.http.post(simulator.url(path)).json(&body).send();
    let body = json!({"orderId": "o-1", "amount": 12.5, "currency": "USD", "attemptId": "a-1"});
    let charge: Value = rest("/rest/payments", body).await.unwrap().json().await.unwrap();
    assert_eq!(charge["status"], "APPROVED");
    let (_, listed) = post(
        &simulator,
        "\"\"",
        envelope("<p:GetPaymentStatus><p:orderId>o-1</p:orderId></p:GetPaymentStatus>"),
    )
    .await;
    assert!(listed.contains("<attemptId>a-1</attemptId>"), "{listed}");
    let refund = |amount: &str| {
        envelope(&format!(
            "<p:RefundPayment><p:orderId>o-1</p:orderId><p:amount>{amount}</p:amount><p:currency>USD</p:currency></p:RefundPayment>"
        ))
    };
    assert_eq!(post(&simulator, "\"\"", refund("10.00")).await.0, 200);
    let (status, text) = post(&simulator, "\"\"", refund("2.51")).await;
    assert!(status == 500 && text.contains("REFUND_EXCEEDS_CHARGE"), "{text}");
    let body = json!({"transactionId": charge["transactionId"], "amount": 2.5, "currency": "USD"});
    assert_eq!(rest("/rest/payments/refunds", body.clone()).await.unwrap().status(), 200);
    assert_eq!(rest("/rest/payments/refunds", body).await.unwrap().status(), 422);
    let status = simulator.get("/rest/payments/o-1").await;
    assert_eq!(status["transactions"].as_array().unwrap().len(), 3);
    let bad = rest("/rest/payments", json!({"orderId": ""})).await.unwrap();
    assert_eq!(bad.status(), 400);
    let bad = json!({"orderId": "", "amount": 1, "currency": "USD"});
    assert_eq!(rest("/rest/payments", bad).await.unwrap().status(), 422);
    assert_eq!(simulator.get("/rest/payments/unknown").await["transactions"], json!([]));
}

#[tokio::test]
async fn controls_are_checked_and_can_be_put_back() {
    let simulator = Simulator::start().await;
    let before = simulator.get("/admin/controls").await;
    let put = |body: Value| simulator.http.put(simulator.url("/admin/controls")).json(&body).send();
    let too_many = json!({"slowMs": 1, "declinePercent": 60, "faultPercent": 41});
    assert_eq!(put(too_many).await.unwrap().status(), 422);
    assert_eq!(put(json!({"slowMs": 1, "outrage": true})).await.unwrap().status(), 422);
    assert_eq!(simulator.get("/admin/controls").await, before);
    simulator.control("latencyMs", json!(5)).await;
    simulator.http.post(simulator.url("/admin/reset")).send().await.unwrap();
    assert_eq!(simulator.get("/admin/controls").await, before);
}

#[tokio::test]
async fn it_listens_on_the_loopback_interface_or_not_at_all() {
    for (address, fine) in
        [("127.0.0.1", true), ("::1", true), ("0.0.0.0", false), ("10.0.0.1", false)]
    {
        let text = format!(
            "[payment_simulator]\naddress = \"{address}\"\nport = 1\nslow_ms = 1\nlatency_ms = 0\n\
             decline_percent = 0\nfault_percent = 0\nlost_before_percent = 0\nlost_after_percent = 0\n"
        );
        let bench = house("payment_simulator", &simulator::MIGRATIONS, &text).await;
        assert_eq!(simulator::build(bench.ctx.clone()).is_ok(), fine, "{address}");
    }
}

#[tokio::test]
async fn the_shipped_defaults_are_complete_and_lead_to_each_other() {
    let defaults = include_str!("../../../../bellavista/default.toml");
    let bench = house("payment_simulator", &simulator::MIGRATIONS, defaults).await;
    let built = simulator::build(bench.ctx.clone()).unwrap();
    assert_eq!(built.address.to_string(), "127.0.0.1:8085");
    payments::build(bench.ctx.clone()).unwrap();
}
