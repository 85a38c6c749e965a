//! SOAP 1.1, document/literal: the codec that the adapter and the simulated
//! gateway share. Faults follow the WS-I Basic Profile. `fuzz/` builds these
//! modules alone.

pub mod envelope;
pub mod messages;
mod names;
pub mod xml;

pub use names::{CONTENT_TYPE, PAYMENT_NS, SOAP_NS};
