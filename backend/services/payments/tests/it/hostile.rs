//! Gateways that break off, dawdle, overdo it, mix things up or tell what they
//! were told in confidence: each ends in a defined state after one charge.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use contracts::clients::PaymentsClient;
use contracts::generated::bellavista::payments::v1::{CaptureOutcome, GetAttemptRequest};
use platform::testing::{Bench, house};
use shared_types::{AttemptId, OrderId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::shop::{Shop, attempt, capture, serve, settings};

const SOAP: &str = "xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'";
const PAY: &str = "urn:bellavista:legacy-payment:v1";

fn envelope(body: &str) -> String {
    format!("<s:Envelope {SOAP}><s:Body>{body}</s:Body></s:Envelope>")
}

fn approved(transaction_id: &str) -> String {
    envelope(&format!(
        "<ProcessPaymentResponse xmlns='{PAY}'><transactionId>{transaction_id}</transactionId>\
         <status>APPROVED</status></ProcessPaymentResponse>"
    ))
}

fn listed(transactions: &str) -> String {
    envelope(&format!(
        "<GetPaymentStatusResponse xmlns='{PAY}'>{transactions}</GetPaymentStatusResponse>"
    ))
}

/// The service in front of one gateway.
struct Desk {
    bench: Bench,
    client: Arc<dyn PaymentsClient>,
}

impl Desk {
    async fn at(url: &str, timeout_ms: u64) -> Self {
        let bench = house("payments", &payments::MIGRATIONS, &settings(url, "", timeout_ms)).await;
        let built = payments::build(bench.ctx.clone()).unwrap();
        let lifecycle = bench.ctx.lifecycle.clone();
        let mut service = built.service;
        for (name, task) in service.tasks.drain(..) {
            lifecycle.spawn(name, task);
        }
        Desk { bench, client: built.client }
    }

    async fn pay(&self, id: AttemptId, token: &str) -> CaptureOutcome {
        let order: OrderId = self.bench.id();
        self.client.capture(capture(order, id, token)).await.unwrap().outcome()
    }

    async fn known(&self, id: AttemptId) -> CaptureOutcome {
        let request = GetAttemptRequest { attempt_id: id.to_string() };
        self.client.get_attempt(request).await.unwrap().outcome()
    }

    async fn calls(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT outcome || ' ' || message FROM provider_calls ORDER BY id")
            .fetch_all(self.bench.pool())
            .await
            .unwrap()
    }

    /// Moves time until the gateway was asked about everything once more.
    async fn ask_again(&self, seconds: u64) {
        let before = self.calls().await.len();
        self.bench.advance(Duration::from_secs(seconds));
        for _ in 0..500 {
            if self.calls().await.len() > before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("reconciliation does not ask");
    }
}

/// What a raw gateway does once it has read a whole request.
#[derive(Clone, Copy, Debug)]
enum Habit {
    BreaksOff,
    HangsUp,
    Dawdles,
    Trickles,
    OverdoesIt { announced: bool },
}

/// What a gateway that overdoes it would write; one megabyte is read.
const FLOOD_BYTES: usize = 100 * 1024 * 1024;

/// Counts the charges asked for, and the bytes it got rid of.
#[derive(Default)]
struct Seen {
    charges: AtomicUsize,
    written: AtomicUsize,
}

async fn raw(habit: Habit) -> (String, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pay", listener.local_addr().unwrap());
    let seen = Arc::new(Seen::default());
    let counted = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, habit, counted.clone()));
        }
    });
    (url, seen)
}

async fn answer(mut stream: TcpStream, habit: Habit, seen: Arc<Seen>) {
    let (mut request, mut piece) = (Vec::new(), [0; 4_096]);
    while !request.windows(11).any(|w| w == b":Envelope>\n" || w.ends_with(b":Envelope>")) {
        match stream.read(&mut piece).await {
            Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    if String::from_utf8_lossy(&request).contains("<ProcessPayment") {
        seen.charges.fetch_add(1, Ordering::Relaxed);
    }
    let body = approved("1");
    let head = |length: usize| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {length}\r\n\r\n")
    };
    let whole = format!("{}{body}", head(body.len()));
    // The caller may be gone; that is its right.
    let _ = match habit {
        Habit::HangsUp => Ok(()),
        Habit::BreaksOff => stream.write_all(&whole.as_bytes()[..whole.len() - 20]).await,
        Habit::Dawdles => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            stream.write_all(whole.as_bytes()).await
        }
        Habit::Trickles => {
            for byte in whole.as_bytes() {
                tokio::time::sleep(Duration::from_millis(40)).await;
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            Ok(())
        }
        Habit::OverdoesIt { announced } => {
            let size = FLOOD_BYTES;
            let chunked =
                "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ntransfer-encoding: chunked\r\n\r\n";
            let head = if announced { head(size) } else { chunked.to_owned() };
            let _ = stream.write_all(head.as_bytes()).await;
            let text = "<a>".repeat(1_024);
            let chunk = match announced {
                true => text,
                false => format!("{:x}\r\n{text}\r\n", text.len()),
            };
            while seen.written.load(Ordering::Relaxed) < size {
                if stream.write_all(chunk.as_bytes()).await.is_err() {
                    break;
                }
                seen.written.fetch_add(chunk.len(), Ordering::Relaxed);
            }
            Ok(())
        }
    };
}

#[tokio::test]
async fn answers_that_break_off_dawdle_or_overdo_it_leave_it_unknown_after_one_charge() {
    for habit in [
        Habit::BreaksOff,
        Habit::HangsUp,
        Habit::Dawdles,
        Habit::Trickles,
        Habit::OverdoesIt { announced: true },
        Habit::OverdoesIt { announced: false },
    ] {
        let (url, seen) = raw(habit).await;
        let desk = Desk::at(&url, 400).await;
        let (id, began) = (attempt(), Instant::now());
        assert_eq!(desk.pay(id, "tok_ok").await, CaptureOutcome::Pending, "{habit:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{habit:?}: the deadline is 400 ms");
        assert_eq!(seen.charges.load(Ordering::Relaxed), 1, "{habit:?}");
        assert_eq!(desk.known(id).await, CaptureOutcome::Pending, "{habit:?}");
        let calls = desk.calls().await;
        assert!(calls.iter().all(|call| call.starts_with("unknown ")), "{habit:?}: {calls:?}");
        // The system's buffers take some megabytes that nobody reads.
        let written = seen.written.load(Ordering::Relaxed);
        assert!(written < FLOOD_BYTES / 2, "{habit:?}: {written} bytes were taken in");
    }
}

/// A gateway that answers charges and questions with fixed documents.
async fn fixed(
    charge: String,
    status: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
) -> String {
    let answer = move |request: String| {
        let (charge, status) = (charge.clone(), status.clone());
        async move {
            let body = match request.contains("<ProcessPayment") {
                true => charge,
                false => status(&request),
            };
            ([("content-type", "text/xml")], body)
        }
    };
    let router = axum::Router::new().route("/pay", axum::routing::post(answer));
    format!("http://{}/pay", serve(router).await)
}

#[tokio::test]
async fn another_amount_or_currency_is_never_taken_for_ours_and_shown_to_a_person() {
    for money in [
        "<amount>99.99</amount><currency>USD</currency>",
        "<amount>100.00</amount><currency>EUR</currency>",
    ] {
        let id = attempt();
        let entry = format!(
            "<transaction><transactionId>t-1</transactionId><kind>CHARGE</kind><status>APPROVED</status>\
             {money}<attemptId>{id}</attemptId></transaction>"
        );
        let url = fixed("<html/>".to_owned(), move |_| listed(&entry)).await;
        let desk = Desk::at(&url, 2_000).await;
        assert_eq!(desk.pay(id, "tok_ok").await, CaptureOutcome::Pending, "{money}");
        // Neither time nor age makes it ours, nor sends it again.
        for seconds in [40, 400] {
            desk.ask_again(seconds).await;
            assert_eq!(desk.known(id).await, CaptureOutcome::Pending, "{money}");
        }
        let calls = desk.calls().await;
        assert!(calls[0].starts_with("unknown "), "{calls:?}");
        assert!(calls[1..].iter().all(|call| call.starts_with("mismatch ")), "{calls:?}");
    }
}

#[tokio::test]
async fn an_unreadable_amount_in_the_list_decides_nothing() {
    for money in [
        "<amount>1.001</amount><currency>USD</currency>",
        "<amount>100</amount><currency>XXX</currency>",
    ] {
        let entry = format!(
            "<transaction><transactionId>t-1</transactionId><kind>CHARGE</kind><status>APPROVED</status>\
             {money}</transaction>"
        );
        let url = fixed("<html/>".to_owned(), move |_| listed(&entry)).await;
        let desk = Desk::at(&url, 2_000).await;
        let id = attempt();
        assert_eq!(desk.pay(id, "tok_ok").await, CaptureOutcome::Pending, "{money}");
        desk.ask_again(400).await;
        assert_eq!(desk.known(id).await, CaptureOutcome::Pending, "{money}");
    }
}

#[tokio::test]
async fn the_answer_of_another_call_does_not_pay_for_this_one() {
    let url = fixed(approved("t-7"), |_| listed("")).await;
    let desk = Desk::at(&url, 2_000).await;
    let (first, second) = (attempt(), attempt());
    assert_eq!(desk.pay(first, "tok_ok").await, CaptureOutcome::Captured);
    assert_eq!(desk.pay(second, "tok_ok").await, CaptureOutcome::Pending, "t-7 paid for the first");
    assert_eq!(desk.known(second).await, CaptureOutcome::Pending);
    assert_eq!(desk.known(first).await, CaptureOutcome::Captured);
}

#[tokio::test]
async fn doubled_answers_are_one_charge() {
    let shop = Shop::open().await;
    shop.simulator.script(&["duplicate"]).await;
    let order = shop.order();
    let (_, answer) = shop.pay_once(order, "tok_ok").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.calls().await, "soap:unknown soap:listed");
    assert_eq!(shop.simulator.count(order).await, (1, 0));
    // A list that names the charge twice is one charge as well.
    let id = attempt();
    let entry = format!(
        "<transaction><transactionId>t-1</transactionId><kind>CHARGE</kind><status>APPROVED</status>\
         <amount>100.00</amount><currency>USD</currency><attemptId>{id}</attemptId></transaction>"
    );
    let url = fixed("<html/>".to_owned(), move |_| listed(&entry.repeat(2))).await;
    let desk = Desk::at(&url, 2_000).await;
    assert_eq!(desk.pay(id, "tok_ok").await, CaptureOutcome::Captured);
}

/// Where the log of a test goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_a_gateway_repeats_of_a_secret_reaches_neither_rows_nor_log() {
    const TOKEN: &str = "Opaque-Secret-5f0c9e";
    const CARD: &str = "4111 1111 1111 1111";
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let telling = format!("card {CARD} of {TOKEN} was refused");
    let fault = |code: &str, detail: &str| {
        envelope(&format!(
            "<s:Fault><faultcode>s:{code}</faultcode><faultstring>{telling}</faultstring>{detail}</s:Fault>"
        ))
    };
    let typed = format!(
        "<detail><PaymentFault xmlns='{PAY}'><code>INVALID_REQUEST</code><message>{telling}</message></PaymentFault></detail>"
    );
    let response = |inner: &str| {
        envelope(&format!("<ProcessPaymentResponse xmlns='{PAY}'>{inner}</ProcessPaymentResponse>"))
    };
    let answers = [
        fault("Client", &typed),
        fault("Server", &typed.replace("INVALID_REQUEST", "GATEWAY_UNAVAILABLE")),
        fault("Server", ""),
        fault("MustUnderstand", ""),
        response(&format!("<transactionId>1</transactionId><status>{TOKEN}</status>")),
        response(&format!(
            "<transactionId>1</transactionId><status>DECLINED</status><declineReason>{telling}</declineReason>"
        )),
        format!("<{TOKEN}:a xmlns:b='{CARD}'/>"),
        format!("<a {TOKEN}='{CARD}' {TOKEN}='{CARD}'/>"),
        format!("<a></{TOKEN}>"),
        telling.clone(),
    ];
    for answer in answers {
        let shown = answer.clone();
        let url = fixed(answer, |_| listed("")).await;
        let desk = Desk::at(&url, 2_000).await;
        desk.pay(attempt(), TOKEN).await;
        let rows: String = sqlx::query_scalar(
            "SELECT coalesce(string_agg(x, ' '), '') FROM (
                 SELECT message AS x FROM provider_calls
                 UNION ALL SELECT coalesce(decline_code, '') FROM payment_attempts
                 UNION ALL SELECT payload::text FROM outbox) AS all_texts",
        )
        .fetch_one(desk.bench.pool())
        .await
        .unwrap();
        let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        for (place, text) in [("rows", &rows), ("log", &logged)] {
            assert!(!text.contains(TOKEN), "{shown}: the token is in the {place}: {text}");
            assert!(!text.contains("1111 1111 1"), "{shown}: the card is in the {place}: {text}");
        }
    }
    let logged = log.0.lock().unwrap().len();
    assert!(logged > 0, "the log was listened to");
}
