//! The SOAP endpoint and its description.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};

use super::gateway::{Gateway, Reply};
use super::{bounded, dropped};
use crate::soap::envelope::{self, Body, Fault};
use crate::soap::messages::{
    BadMessage, GetPaymentStatus, Message, ProcessPayment, ProcessPaymentResponse, RefundPayment,
    RefundPaymentResponse,
};
use crate::soap::xml::{BadXml, Element, Limits};
use crate::soap::{CONTENT_TYPE, PAYMENT_NS};

const PATH: &str = "/soap/payment";
const WSDL: &str = include_str!("../../../../../wsdl/payment/payment.wsdl");
const XSD: &str = include_str!("../../../../../wsdl/payment/payment.xsd");
/// What the files say, and the served description replaces.
const FILE_ADDRESS: &str = "http://127.0.0.1:8085/soap/payment";
const FILE_SCHEMA: &str = "schemaLocation=\"payment.xsd\"";

pub fn router() -> Router<Gateway> {
    Router::new().route(PATH, get(describe).post(call))
}

/// `?xsd=1` is the schema, everything else the WSDL, with the address at which
/// it was asked for.
async fn describe(request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_ascii_lowercase();
    if query.starts_with("xsd") {
        return xml(StatusCode::OK, XSD.to_owned().into_bytes());
    }
    let address = format!("http://{}{PATH}", host(request.headers()));
    let wsdl = WSDL
        .replace(FILE_ADDRESS, &address)
        .replace(FILE_SCHEMA, &format!("schemaLocation=\"{address}?xsd=1\""));
    xml(StatusCode::OK, wsdl.into_bytes())
}

/// The authority the caller used; a strange one gets the default.
fn host(headers: &HeaderMap) -> String {
    let given = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    match (1..=255).contains(&given.len()) && given.bytes().all(plain) {
        true => given.to_owned(),
        false => "127.0.0.1:8085".to_owned(),
    }
}

async fn call(State(gateway): State<Gateway>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let text = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("text/xml") {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "SOAP 1.1 travels as text/xml")
            .into_response();
    }
    let action = parts.headers.get("soapaction").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let action = action.trim().trim_matches('"').to_owned();
    let Some(bytes) = bounded(body).await else {
        let too_large = BadXml::TooLarge(Limits::REQUEST.bytes);
        return fault(&envelope::BadEnvelope::Xml(too_large).as_fault());
    };
    match envelope::read(&bytes, Limits::REQUEST) {
        Ok(Body::Message(message)) => operate(&gateway, &action, &message).await,
        Ok(Body::Fault(_)) => fault(&Fault::invalid("a fault is no request")),
        Err(error) => fault(&error.as_fault()),
    }
}

async fn operate(gateway: &Gateway, action: &str, message: &Element) -> Response {
    let expected = format!("{PAYMENT_NS}/{}", message.name);
    let known = [ProcessPayment::NAME, GetPaymentStatus::NAME, RefundPayment::NAME];
    if message.namespace != PAYMENT_NS || !known.contains(&message.name.as_str()) {
        let name: String = message.name.chars().take(64).collect();
        return fault(&Fault::invalid(format!("there is no operation {name} in this namespace")));
    }
    if !action.is_empty() && action != expected {
        return fault(&Fault::invalid("SOAPAction names another operation than the body"));
    }
    let answered = match message.name.as_str() {
        ProcessPayment::NAME => match ProcessPayment::from_element(message) {
            Ok(request) => element(gateway.charge(request, "SOAP").await, ProcessPaymentResponse),
            Err(error) => wrong(error),
        },
        GetPaymentStatus::NAME => match GetPaymentStatus::from_element(message) {
            Ok(request) => element(gateway.status(&request).await, |response| response),
            Err(error) => wrong(error),
        },
        _ => match RefundPayment::from_element(message) {
            Ok(request) => element(gateway.refund(request, "SOAP").await, RefundPaymentResponse),
            Err(error) => wrong(error),
        },
    };
    match answered {
        Reply::Answer(body) => write(StatusCode::OK, body),
        Reply::Twice(body) => twice(body),
        Reply::Fault(its) => fault(&its),
        Reply::Lost => dropped(),
    }
}

fn element<T, M: Message>(reply: Reply<T>, wrap: impl FnOnce(T) -> M) -> Reply<Element> {
    match reply {
        Reply::Answer(answer) => Reply::Answer(wrap(answer).to_element()),
        Reply::Twice(answer) => Reply::Twice(wrap(answer).to_element()),
        Reply::Fault(fault) => Reply::Fault(fault),
        Reply::Lost => Reply::Lost,
    }
}

fn wrong(error: BadMessage) -> Reply<Element> {
    Reply::Fault(Fault::invalid(error.to_string()))
}

/// Faults travel with status 500, as the profile has it.
fn fault(fault: &Fault) -> Response {
    write(StatusCode::INTERNAL_SERVER_ERROR, fault.to_element())
}

fn write(status: StatusCode, body: Element) -> Response {
    match envelope::write(body) {
        Ok(bytes) => xml(status, bytes),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Not XML any more, as a doubled answer is not.
fn twice(body: Element) -> Response {
    match envelope::write(body) {
        Ok(bytes) => xml(StatusCode::OK, bytes.repeat(2)),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn xml(status: StatusCode, bytes: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_served_description_replaces_stands_in_the_file_once() {
        assert_eq!(WSDL.matches(FILE_ADDRESS).count(), 1);
        assert_eq!(WSDL.matches(FILE_SCHEMA).count(), 1);
        assert!(WSDL.contains(PAYMENT_NS) && XSD.contains(PAYMENT_NS));
    }
}
