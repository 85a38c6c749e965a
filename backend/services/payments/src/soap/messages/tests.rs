//! Golden messages and a round trip of whatever may be written.

use proptest::prelude::*;

use super::super::envelope::{self, Body, Fault, FaultCode};
use super::super::xml::Limits;
use super::*;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../../../../wsdl/payment/golden/", $name, ".xml"))
    };
}

const ORDER: &str = "0199aaaa-0000-7000-8000-000000000001";
const ATTEMPT: &str = "0199aaaa-0000-7000-8000-000000000002";
const REFUND: &str = "0199aaaa-0000-7000-8000-000000000003";

fn written(element: Element) -> String {
    String::from_utf8(envelope::write(element).unwrap()).unwrap()
}

fn read<M: Message>(text: &str) -> Result<M, BadMessage> {
    match envelope::read(text.trim_end().as_bytes(), Limits::ANSWER).unwrap() {
        Body::Message(element) => M::from_element(&element),
        Body::Fault(fault) => panic!("{fault:?}"),
    }
}

#[track_caller]
fn same<M: Message + PartialEq>(golden: &str, message: M) {
    assert_eq!(written(message.to_element()), golden.trim_end());
    assert!(read::<M>(golden).unwrap() == message);
}

fn charge() -> ProcessPayment {
    ProcessPayment {
        order_id: ORDER.into(),
        amount: "129.50".parse().unwrap(),
        currency: "USD".into(),
        payment_token: Some("tok_ok".into()),
        attempt_id: Some(ATTEMPT.into()),
    }
}

#[test]
fn requests_are_the_golden_messages() {
    same(golden!("ProcessPayment.request"), charge());
    let short = ProcessPayment { payment_token: None, attempt_id: None, ..charge() };
    same(golden!("ProcessPayment.short.request"), short);
    same(golden!("GetPaymentStatus.request"), GetPaymentStatus { order_id: ORDER.into() });
    let refund = RefundPayment {
        transaction_id: Some("txn_1".into()),
        order_id: Some(ORDER.into()),
        amount: "29.50".parse().unwrap(),
        currency: "USD".into(),
        refund_id: Some(REFUND.into()),
    };
    same(golden!("RefundPayment.request"), refund);
}

#[test]
fn responses_are_the_golden_messages() {
    let outcome = |id: &str, status, reason: Option<&str>| Outcome {
        transaction_id: id.into(),
        status,
        decline_reason: reason.map(str::to_owned),
    };
    let approved = outcome("txn_1", Status::Approved, None);
    same(golden!("ProcessPayment.approved.response"), ProcessPaymentResponse(approved));
    let declined = outcome("txn_2", Status::Declined, Some("insufficient_funds"));
    same(golden!("ProcessPayment.declined.response"), ProcessPaymentResponse(declined));
    let action = outcome("txn_4", Status::RequiresAction, None);
    same(golden!("ProcessPayment.requires_action.response"), ProcessPaymentResponse(action));
    let refunded = outcome("txn_3", Status::Approved, None);
    same(golden!("RefundPayment.response"), RefundPaymentResponse(refunded));
    let none = GetPaymentStatusResponse { transactions: Vec::new() };
    same(golden!("GetPaymentStatus.none.response"), none);
    let charge = Transaction {
        transaction_id: "txn_1".into(),
        refund: false,
        status: Status::Approved,
        decline_reason: None,
        amount: "129.50".parse().unwrap(),
        currency: "USD".into(),
        attempt_id: Some(ATTEMPT.into()),
        refund_id: None,
        refund_of: None,
        at: Some("2026-11-20T10:00:00.000Z".into()),
    };
    let refund = Transaction {
        transaction_id: "txn_3".into(),
        refund: true,
        amount: "29.50".parse().unwrap(),
        attempt_id: None,
        refund_id: Some(REFUND.into()),
        refund_of: Some("txn_1".into()),
        at: Some("2026-11-20T10:05:00.000Z".into()),
        ..charge.clone()
    };
    let both = GetPaymentStatusResponse { transactions: vec![charge, refund] };
    same(golden!("GetPaymentStatus.response"), both);
}

#[test]
fn faults_are_the_golden_messages() {
    let busy = "the gateway cannot take payments now";
    for (golden, fault) in [
        (
            golden!("fault.unavailable"),
            Fault::typed(FaultCode::Server, "GATEWAY_UNAVAILABLE", busy),
        ),
        (golden!("fault.client"), Fault::invalid("amount: is required")),
        (
            golden!("fault.refund_exceeds"),
            Fault::typed(
                FaultCode::Client,
                "REFUND_EXCEEDS_CHARGE",
                "more than what is left of the charge",
            ),
        ),
        (
            golden!("fault.unknown_transaction"),
            Fault::typed(
                FaultCode::Client,
                "UNKNOWN_TRANSACTION",
                "there is no such approved charge",
            ),
        ),
    ] {
        assert_eq!(written(fault.to_element()), golden.trim_end());
        let read = envelope::read(golden.as_bytes(), Limits::ANSWER).unwrap();
        assert_eq!(read, Body::Fault(fault));
    }
}

#[test]
fn other_prefixes_and_headers_change_nothing() {
    let text = "<S:Envelope xmlns:S='http://schemas.xmlsoap.org/soap/envelope/' xmlns:p='urn:bellavista:legacy-payment:v1'>\
        <S:Header><t:trace xmlns:t='urn:t'>x</t:trace></S:Header>\n<S:Body>\n<p:GetPaymentStatus>\
        <p:orderId> o&#45;1 </p:orderId></p:GetPaymentStatus></S:Body></S:Envelope>";
    assert_eq!(read::<GetPaymentStatus>(text).unwrap().order_id, "o-1");
}

#[test]
fn wrong_envelopes_are_told_apart() {
    let fault =
        |text: &str| envelope::read(text.as_bytes(), Limits::REQUEST).unwrap_err().as_fault().code;
    let soap12 =
        "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body/></e:Envelope>";
    assert_eq!(fault(soap12), FaultCode::VersionMismatch);
    assert_eq!(fault("<html><body>Bad Gateway</body></html>"), FaultCode::VersionMismatch);
    let ns = "xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'";
    let must = format!(
        "<s:Envelope {ns}><s:Header><x s:mustUnderstand='1'/></s:Header><s:Body><y/></s:Body></s:Envelope>"
    );
    assert_eq!(fault(&must), FaultCode::MustUnderstand);
    for shape in ["<s:Body/>", "", "<s:Body><a/><b/></s:Body>", "<s:Body><a/></s:Body><c/>"] {
        assert_eq!(fault(&format!("<s:Envelope {ns}>{shape}</s:Envelope>")), FaultCode::Client);
    }
}

#[test]
fn missing_double_and_foreign_elements_are_named() {
    let body = |inner: &str| {
        let text = format!(
            "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body>{inner}</s:Body></s:Envelope>"
        );
        read::<ProcessPayment>(&text).map(|_| ()).unwrap_err().element
    };
    let op = |inner: &str| {
        body(&format!(
            "<ProcessPayment xmlns='urn:bellavista:legacy-payment:v1'>{inner}</ProcessPayment>"
        ))
    };
    assert_eq!(op(""), "orderId");
    assert_eq!(op("<orderId>1</orderId><orderId>2</orderId>"), "orderId");
    assert_eq!(op("<orderId>1</orderId><currency>USD</currency>"), "amount");
    assert_eq!(op("<orderId>1</orderId><amount>many</amount>"), "amount");
    assert_eq!(op("<orderId>1</orderId><amount>1e9</amount>"), "amount");
    assert_eq!(op("<orderId>1</orderId><amount xmlns=''>1</amount>"), "amount");
    assert_eq!(op("<orderId>1</orderId><amount>1</amount><currency>DOLLAR</currency>"), "currency");
    assert_eq!(body("<ProcessPayment xmlns='urn:other'/>"), "ProcessPayment");
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(
        order in "[ -~äß€]{0,20}[!-~][ -~äß€]{0,20}",
        token in proptest::option::of("[!-~]{1,60}"),
        minor in 1i64..1_000_000_000_000,
        scale in 0u8..4,
    ) {
        let message = ProcessPayment {
            order_id: order.trim().to_owned(),
            amount: Amount::new(minor, scale),
            currency: "EUR".into(),
            payment_token: token,
            attempt_id: None,
        };
        let text = written(message.to_element());
        prop_assert!(read::<ProcessPayment>(&text).unwrap() == message);
    }

    #[test]
    fn no_bytes_make_the_reader_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = envelope::read(&bytes, Limits::REQUEST);
    }

    #[test]
    fn a_damaged_message_is_an_error_and_never_a_panic(cut in 0usize..500, flip in any::<u8>()) {
        let mut bytes = golden!("GetPaymentStatus.response").as_bytes().to_vec();
        let at = cut % bytes.len();
        bytes[at] = flip;
        let _ = envelope::read(&bytes, Limits::ANSWER);
        bytes.truncate(at);
        prop_assert!(envelope::read(&bytes, Limits::ANSWER).is_err());
    }
}
