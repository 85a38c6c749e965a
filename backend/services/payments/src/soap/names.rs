//! Names that envelope and messages share.

/// Namespace of the SOAP 1.1 envelope.
pub const SOAP_NS: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// Target namespace of `payment.xsd`.
pub const PAYMENT_NS: &str = "urn:bellavista:legacy-payment:v1";
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";
