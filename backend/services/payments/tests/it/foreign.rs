//! Gateways that are not ours: strange answers leave the outcome unknown, and
//! nothing breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use contracts::generated::bellavista::payments::v1::CaptureOutcome;
use platform::testing::house;

use crate::shop::{attempt, capture, serve, settings};

const XML: &str = "text/xml; charset=utf-8";
const SOAP: &str = "xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'";

/// Answers everything with one response and counts the charges asked for.
async fn gateway(
    status: u16,
    content_type: &'static str,
    body: String,
) -> (String, Arc<AtomicUsize>) {
    let charges = Arc::new(AtomicUsize::new(0));
    let counted = charges.clone();
    let answer = move |request: String| {
        let (body, counted) = (body.clone(), counted.clone());
        async move {
            if request.contains("<ProcessPayment") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Response::builder()
                .status(status)
                .header("content-type", content_type)
                .body(Body::from(body))
                .unwrap()
        }
    };
    let router = Router::new().route("/pay", axum::routing::post(answer));
    (format!("http://{}/pay", serve(router).await), charges)
}

async fn outcome(url: &str) -> (CaptureOutcome, String) {
    let bench = house("payments", &payments::MIGRATIONS, &settings(url, "", 2_000)).await;
    let client = payments::build(bench.ctx.clone()).unwrap().client;
    let order = bench.id();
    let answer = client.capture(capture(order, attempt(), "tok_ok")).await.unwrap();
    let calls: Option<String> =
        sqlx::query_scalar("SELECT string_agg(outcome, ' ' ORDER BY id) FROM provider_calls")
            .fetch_one(bench.pool())
            .await
            .unwrap();
    (answer.outcome(), calls.unwrap_or_default())
}

#[tokio::test]
async fn answers_that_say_nothing_certain_leave_it_unknown_after_one_charge() {
    let message = |ns: &str, inner: &str| {
        format!(
            "<s:Envelope {SOAP}><s:Body><ProcessPaymentResponse xmlns='{ns}'>{inner}</ProcessPaymentResponse></s:Body></s:Envelope>"
        )
    };
    let ours = "urn:bellavista:legacy-payment:v1";
    let good = "<transactionId>1</transactionId><status>APPROVED</status>";
    let bomb = "<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;&b;'>]><a>&c;</a>".to_owned();
    let cases = [
        (200, "text/html", "<html><body>Welcome</body></html>".to_owned()),
        (502, "text/html", "Bad Gateway".to_owned()),
        (200, "application/json", "{\"ok\":true}".to_owned()),
        (200, XML, String::new()),
        (200, XML, message("urn:other", good)),
        (200, XML, message(ours, "<transactionId>1</transactionId>")),
        (200, XML, message(ours, "<transactionId>1</transactionId><status>MAYBE</status>")),
        (500, XML, message(ours, good)),
        (200, XML, message(ours, good).replace("</s:Envelope>", "")),
        (200, XML, bomb),
        (200, XML, format!("<a>{}</a>", "x".repeat(10_000_000))),
        (200, XML, "<a>".repeat(100_000)),
        (302, XML, String::new()),
        (
            500,
            XML,
            format!(
                "<s:Envelope {SOAP}><s:Body><s:Fault><faultcode>s:Server</faultcode><faultstring>java.lang.NullPointerException</faultstring></s:Fault></s:Body></s:Envelope>"
            ),
        ),
    ];
    for (status, content_type, body) in cases {
        let shown: String = body.chars().take(80).collect();
        let (url, charges) = gateway(status, content_type, body).await;
        let (outcome, calls) = outcome(&url).await;
        assert_eq!(outcome, CaptureOutcome::Pending, "{status} {shown}");
        assert_eq!(charges.load(Ordering::Relaxed), 1, "{status} {shown}");
        assert_eq!(calls, "unknown unknown", "{status} {shown}");
    }
}

#[tokio::test]
async fn a_typed_fault_with_status_200_is_still_a_fault() {
    let fault = format!(
        "<s:Envelope {SOAP}><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>no</faultstring><detail>\
         <PaymentFault xmlns='urn:bellavista:legacy-payment:v1'><code>INVALID_REQUEST</code><message>no</message></PaymentFault>\
         </detail></s:Fault></s:Body></s:Envelope>"
    );
    let (url, charges) = gateway(200, XML, fault).await;
    let (outcome, calls) = outcome(&url).await;
    assert_eq!((outcome, calls.as_str()), (CaptureOutcome::Declined, "refused"));
    assert_eq!(charges.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_gateway_that_is_not_there_was_certainly_not_reached() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (outcome, calls) = outcome(&format!("http://{address}/pay")).await;
    assert_eq!(outcome, CaptureOutcome::NotSent);
    assert_eq!(calls, ["not_sent"; 5].join(" "));
}

#[tokio::test]
async fn a_gateway_without_references_is_matched_by_amount() {
    let list = "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body>\
        <p:GetPaymentStatusResponse xmlns:p='urn:bellavista:legacy-payment:v1'><p:transaction>\
        <p:transactionId>77</p:transactionId><p:kind>CHARGE</p:kind><p:status>APPROVED</p:status>\
        <p:amount>100.0</p:amount><p:currency>USD</p:currency></p:transaction>\
        </p:GetPaymentStatusResponse></s:Body></s:Envelope>";
    // The same answer to the charge is none, so the outcome is asked for.
    let (url, charges) = gateway(200, XML, list.to_owned()).await;
    let (outcome, calls) = outcome(&url).await;
    assert_eq!((outcome, calls.as_str()), (CaptureOutcome::Captured, "unknown listed"));
    assert_eq!(charges.load(Ordering::Relaxed), 1);
}
