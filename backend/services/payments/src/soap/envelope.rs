//! Envelopes and faults.

use super::xml::{self, BadXml, Element, Limits};
use super::{PAYMENT_NS, SOAP_NS};

/// Who is to blame, in the words of SOAP 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCode {
    VersionMismatch,
    MustUnderstand,
    /// The message is wrong; sending it again is pointless.
    Client,
    /// The message is fine; the receiver is not.
    Server,
}

impl FaultCode {
    fn word(self) -> &'static str {
        match self {
            FaultCode::VersionMismatch => "VersionMismatch",
            FaultCode::MustUnderstand => "MustUnderstand",
            FaultCode::Client => "Client",
            FaultCode::Server => "Server",
        }
    }

    /// Dotted refinements such as `Server.Busy` count as their root.
    fn parse(text: &str) -> FaultCode {
        let local = text.trim().rsplit(':').next().unwrap_or_default();
        match local.split('.').next().unwrap_or_default() {
            "VersionMismatch" => FaultCode::VersionMismatch,
            "MustUnderstand" => FaultCode::MustUnderstand,
            "Client" => FaultCode::Client,
            _ => FaultCode::Server,
        }
    }
}

/// The typed detail of our faults: `pay:PaymentFault`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentFault {
    pub code: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: FaultCode,
    pub text: String,
    /// Present when the gateway itself speaks, and then nothing was done.
    pub detail: Option<PaymentFault>,
}

impl Fault {
    pub fn typed(code: FaultCode, word: &str, message: impl Into<String>) -> Self {
        let text = message.into();
        let detail = PaymentFault { code: word.to_owned(), message: text.clone() };
        Fault { code, text, detail: Some(detail) }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Fault::typed(FaultCode::Client, "INVALID_REQUEST", message)
    }

    pub fn to_element(&self) -> Element {
        let mut fault = Element::new(SOAP_NS, "Fault")
            .with(Element::new("", "faultcode").with_text(format!("soap:{}", self.code.word())))
            .with(Element::new("", "faultstring").with_text(&self.text));
        if let Some(detail) = &self.detail {
            let typed = Element::new(PAYMENT_NS, "PaymentFault")
                .with(Element::new(PAYMENT_NS, "code").with_text(&detail.code))
                .with(Element::new(PAYMENT_NS, "message").with_text(&detail.message));
            fault = fault.with(Element::new("", "detail").with(typed));
        }
        fault
    }

    fn from_element(element: &Element) -> Fault {
        // Some servers qualify the parts of a fault; the profile does not.
        let part = |name: &str| element.children.iter().find(|c| c.name == name);
        let text = |name: &str| part(name).map_or("", |e| e.text.trim()).to_owned();
        let typed = part("detail")
            .and_then(|d| d.children.iter().find(|c| c.is(PAYMENT_NS, "PaymentFault")))
            .and_then(|fault| {
                let inner = |name: &str| {
                    fault.children.iter().find(|c| c.is(PAYMENT_NS, name)).map(|c| c.text.trim())
                };
                let code = inner("code")?.to_owned();
                Some(PaymentFault {
                    code,
                    message: inner("message").unwrap_or_default().to_owned(),
                })
            });
        Fault {
            code: FaultCode::parse(&text("faultcode")),
            text: text("faultstring"),
            detail: typed,
        }
    }
}

/// What stood in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Message(Element),
    Fault(Fault),
}

/// Why an envelope cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvelope {
    #[error(transparent)]
    Xml(#[from] BadXml),
    #[error("the root is no SOAP 1.1 envelope")]
    Version,
    #[error("the header {0} is not understood")]
    MustUnderstand(String),
    #[error("{0}")]
    Shape(&'static str),
}

impl BadEnvelope {
    /// The fault to answer with.
    pub fn as_fault(&self) -> Fault {
        let code = match self {
            BadEnvelope::Version => FaultCode::VersionMismatch,
            BadEnvelope::MustUnderstand(_) => FaultCode::MustUnderstand,
            BadEnvelope::Xml(_) | BadEnvelope::Shape(_) => FaultCode::Client,
        };
        Fault { code, text: self.to_string(), detail: None }
    }
}

pub fn read(bytes: &[u8], limits: Limits) -> Result<Body, BadEnvelope> {
    let root = xml::parse(bytes, limits)?;
    if !root.is(SOAP_NS, "Envelope") {
        return Err(BadEnvelope::Version);
    }
    let mut parts = root.children.into_iter().peekable();
    if let Some(header) = parts.next_if(|part| part.is(SOAP_NS, "Header"))
        && let Some(block) = header.children.iter().find(|block| block.must_understand)
    {
        return Err(BadEnvelope::MustUnderstand(block.name.clone()));
    }
    let body = parts.next().filter(|part| part.is(SOAP_NS, "Body"));
    let mut body = body.ok_or(BadEnvelope::Shape("the envelope has no body"))?;
    if parts.next().is_some() {
        return Err(BadEnvelope::Shape("something follows the body"));
    }
    if body.children.len() != 1 {
        return Err(BadEnvelope::Shape("the body must hold exactly one element"));
    }
    let message = body.children.remove(0);
    Ok(match message.is(SOAP_NS, "Fault") {
        true => Body::Fault(Fault::from_element(&message)),
        false => Body::Message(message),
    })
}

pub fn write(body: Element) -> std::io::Result<Vec<u8>> {
    let body = Element::new(SOAP_NS, "Body").with(body);
    xml::write(&Element::new(SOAP_NS, "Envelope").with(body))
}
