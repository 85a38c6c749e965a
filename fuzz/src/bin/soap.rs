//! Any bytes at all as a SOAP message: the reader answers or refuses, never
//! falls over, does work in proportion, and what it has read it can write and
//! read again.

#![no_main]

/// The shop's codec, without the shop.
#[allow(dead_code, reason = "only the readers are called from here")]
#[path = "../../../backend/services/payments/src/soap"]
mod soap {
    pub mod envelope;
    pub mod messages;
    mod names;
    pub mod xml;

    pub use names::{PAYMENT_NS, SOAP_NS};
}

use libfuzzer_sys::fuzz_target;
use soap::envelope::{self, Body};
use soap::messages::{
    GetPaymentStatus, GetPaymentStatusResponse, Message, ProcessPayment, ProcessPaymentResponse,
    RefundPayment, RefundPaymentResponse,
};
use soap::xml::{self, Element, Limits};

fuzz_target!(|bytes: &[u8]| {
    for limits in [Limits::REQUEST, Limits::ANSWER] {
        let (read, steps) = xml::parse_counted(bytes, limits);
        assert!(
            steps <= xml::steps_at_most(bytes.len()),
            "{steps} steps for {} bytes",
            bytes.len()
        );
        if let Ok(root) = read {
            let again = xml::write(&root).expect("what was read can be written");
            let again = xml::parse(&again, Limits { bytes: usize::MAX, ..limits });
            assert_eq!(meaning(again.expect("and read again")), meaning(root));
        }
        match envelope::read(bytes, limits) {
            Ok(Body::Message(element)) => {
                same::<ProcessPayment>(&element);
                same::<ProcessPaymentResponse>(&element);
                same::<GetPaymentStatus>(&element);
                same::<GetPaymentStatusResponse>(&element);
                same::<RefundPayment>(&element);
                same::<RefundPaymentResponse>(&element);
            }
            Ok(Body::Fault(_)) => {}
            Err(error) => {
                envelope::write(error.as_fault().to_element()).expect("a fault can be written");
            }
        }
    }
});

/// A message that was understood says the same when it is written and read.
fn same<M: Message + PartialEq>(element: &Element) {
    let Ok(message) = M::from_element(element) else { return };
    let bytes = envelope::write(message.to_element()).expect("a message can be written");
    match envelope::read(&bytes, Limits::ANSWER) {
        Ok(Body::Message(again)) => {
            assert!(M::from_element(&again).is_ok_and(|again| again == message), "{}", M::NAME);
        }
        Ok(Body::Fault(_)) => panic!("{} became a fault", M::NAME),
        // Written out, entities may take more room than they did.
        Err(error) => assert!(error.to_string().contains("larger than"), "{error}"),
    }
}

/// What of a tree is kept in writing: text before and after children is one.
fn meaning(mut element: Element) -> Element {
    element.must_understand = false;
    element.text = element.text.replace("\r\n", "\n").replace('\r', "\n");
    element.children = element.children.into_iter().map(meaning).collect();
    element
}
