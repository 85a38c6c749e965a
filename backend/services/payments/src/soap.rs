//! SOAP 1.1, document/literal: the codec that the adapter and the simulated
//! gateway share. Faults follow the WS-I Basic Profile.

pub mod envelope;
pub mod messages;
pub mod xml;

/// Namespace of the SOAP 1.1 envelope.
pub const SOAP_NS: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// Target namespace of `payment.xsd`.
pub const PAYMENT_NS: &str = "urn:bellavista:legacy-payment:v1";
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";
