//! The messages of `payment.xsd`, both ways.

use shared_types::Amount;

use super::PAYMENT_NS;
use super::xml::Element;

/// Longest id, as the schema has it.
const MAX_ID_CHARS: usize = 64;
const MAX_TOKEN_CHARS: usize = 128;
const MAX_TEXT_CHARS: usize = 500;

/// What is wrong with a message, naming its element.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{element}: {reason}")]
pub struct BadMessage {
    pub element: String,
    pub reason: String,
}

fn bad(element: &str, reason: impl ToString) -> BadMessage {
    BadMessage { element: element.to_owned(), reason: reason.to_string() }
}

/// A message of the schema.
pub trait Message: Sized {
    const NAME: &'static str;
    fn to_element(&self) -> Element;
    fn from_element(element: &Element) -> Result<Self, BadMessage>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Approved,
    Declined,
    RequiresAction,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Status::Approved => "APPROVED",
            Status::Declined => "DECLINED",
            Status::RequiresAction => "REQUIRES_ACTION",
        }
    }

    pub fn parse(text: &str) -> Option<Status> {
        let all = [Status::Approved, Status::Declined, Status::RequiresAction];
        all.into_iter().find(|s| s.word() == text)
    }
}

#[derive(Clone, PartialEq)]
pub struct ProcessPayment {
    pub order_id: String,
    pub amount: Amount,
    pub currency: String,
    pub payment_token: Option<String>,
    pub attempt_id: Option<String>,
}

/// `ProcessPaymentResponse` and `RefundPaymentResponse` have one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub transaction_id: String,
    pub status: Status,
    pub decline_reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ProcessPaymentResponse(pub Outcome);

#[derive(Clone, Debug, PartialEq)]
pub struct RefundPaymentResponse(pub Outcome);

#[derive(Clone, Debug, PartialEq)]
pub struct GetPaymentStatus {
    pub order_id: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GetPaymentStatusResponse {
    pub transactions: Vec<Transaction>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    pub transaction_id: String,
    pub refund: bool,
    pub status: Status,
    pub decline_reason: Option<String>,
    pub amount: Amount,
    pub currency: String,
    pub attempt_id: Option<String>,
    pub refund_id: Option<String>,
    pub refund_of: Option<String>,
    pub at: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RefundPayment {
    pub transaction_id: Option<String>,
    pub order_id: Option<String>,
    pub amount: Amount,
    pub currency: String,
    pub refund_id: Option<String>,
}

/// Puts a message together, leaving absent elements out.
struct Build(Element);

impl Build {
    fn new(name: &str) -> Self {
        Build(Element::new(PAYMENT_NS, name))
    }

    fn field(self, name: &str, value: impl ToString) -> Self {
        Build(self.0.with(Element::new(PAYMENT_NS, name).with_text(value.to_string())))
    }

    fn optional(self, name: &str, value: Option<&String>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }
}

/// Takes a message apart. Elements that the schema does not know are passed
/// over: a newer counterpart may send them.
struct Fields<'a>(&'a Element);

impl Fields<'_> {
    fn optional(&self, name: &str, max_chars: usize) -> Result<Option<String>, BadMessage> {
        let mut found = self.0.children.iter().filter(|c| c.is(PAYMENT_NS, name));
        let Some(element) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(bad(name, "stands there twice"));
        }
        if !element.children.is_empty() {
            return Err(bad(name, "must be text"));
        }
        let text = element.text.trim();
        if text.chars().count() > max_chars {
            return Err(bad(name, format!("has more than {max_chars} characters")));
        }
        if text.is_empty() {
            return Err(bad(name, "is empty"));
        }
        Ok(Some(text.to_owned()))
    }

    fn required(&self, name: &str, max_chars: usize) -> Result<String, BadMessage> {
        self.optional(name, max_chars)?.ok_or_else(|| bad(name, "is required"))
    }

    fn id(&self, name: &str) -> Result<String, BadMessage> {
        self.required(name, MAX_ID_CHARS)
    }

    fn amount(&self) -> Result<Amount, BadMessage> {
        let text = self.required("amount", 32)?;
        text.parse().map_err(|e| bad("amount", e))
    }

    fn currency(&self) -> Result<String, BadMessage> {
        self.required("currency", 3)
    }

    fn status(&self) -> Result<Status, BadMessage> {
        Status::parse(&self.id("status")?).ok_or_else(|| bad("status", "is not known"))
    }
}

fn named<'a>(element: &'a Element, name: &str) -> Result<Fields<'a>, BadMessage> {
    match element.is(PAYMENT_NS, name) {
        true => Ok(Fields(element)),
        false => Err(bad(name, "is missing; another element or namespace stands in the body")),
    }
}

impl Message for ProcessPayment {
    const NAME: &'static str = "ProcessPayment";

    fn to_element(&self) -> Element {
        Build::new(Self::NAME)
            .field("orderId", &self.order_id)
            .field("amount", self.amount)
            .field("currency", &self.currency)
            .optional("paymentToken", self.payment_token.as_ref())
            .optional("attemptId", self.attempt_id.as_ref())
            .0
    }

    fn from_element(element: &Element) -> Result<Self, BadMessage> {
        let fields = named(element, Self::NAME)?;
        Ok(ProcessPayment {
            order_id: fields.id("orderId")?,
            amount: fields.amount()?,
            currency: fields.currency()?,
            payment_token: fields.optional("paymentToken", MAX_TOKEN_CHARS)?,
            attempt_id: fields.optional("attemptId", MAX_ID_CHARS)?,
        })
    }
}

impl Outcome {
    fn build(&self, name: &str) -> Element {
        Build::new(name)
            .field("transactionId", &self.transaction_id)
            .field("status", self.status.word())
            .optional("declineReason", self.decline_reason.as_ref())
            .0
    }

    fn read(element: &Element, name: &str) -> Result<Self, BadMessage> {
        let fields = named(element, name)?;
        Ok(Outcome {
            transaction_id: fields.id("transactionId")?,
            status: fields.status()?,
            decline_reason: fields.optional("declineReason", MAX_TEXT_CHARS)?,
        })
    }
}

impl Message for ProcessPaymentResponse {
    const NAME: &'static str = "ProcessPaymentResponse";

    fn to_element(&self) -> Element {
        self.0.build(Self::NAME)
    }

    fn from_element(element: &Element) -> Result<Self, BadMessage> {
        Outcome::read(element, Self::NAME).map(ProcessPaymentResponse)
    }
}

impl Message for RefundPaymentResponse {
    const NAME: &'static str = "RefundPaymentResponse";

    fn to_element(&self) -> Element {
        self.0.build(Self::NAME)
    }

    fn from_element(element: &Element) -> Result<Self, BadMessage> {
        Outcome::read(element, Self::NAME).map(RefundPaymentResponse)
    }
}

impl Message for GetPaymentStatus {
    const NAME: &'static str = "GetPaymentStatus";

    fn to_element(&self) -> Element {
        Build::new(Self::NAME).field("orderId", &self.order_id).0
    }

    fn from_element(element: &Element) -> Result<Self, BadMessage> {
        Ok(GetPaymentStatus { order_id: named(element, Self::NAME)?.id("orderId")? })
    }
}

impl Message for GetPaymentStatusResponse {
    const NAME: &'static str = "GetPaymentStatusResponse";

    fn to_element(&self) -> Element {
        let list = self.transactions.iter().map(Transaction::to_element);
        list.fold(Element::new(PAYMENT_NS, Self::NAME), Element::with)
    }

    fn from_element(element: &Element) -> Result<Self, BadMessage> {
        named(element, Self::NAME)?;
        let list = element.children.iter().filter(|c| c.is(PAYMENT_NS, "transaction"));
        let transactions = list.map(Transaction::from_element).collect::<Result<_, _>>()?;
        Ok(GetPaymentStatusResponse { transactions })
    }
}

impl Transaction {
    fn to_element(&self) -> Element {
        Build::new("transaction")
            .field("transactionId", &self.transaction_id)
            .field("kind", if self.refund { "REFUND" } else { "CHARGE" })
            .field("status", self.status.word())
            .optional("declineReason", self.decline_reason.as_ref())
            .field("amount", self.amount)
            .field("currency", &self.currency)
            .optional("attemptId", self.attempt_id.as_ref())
            .optional("refundId", self.refund_id.as_ref())
            .optional("refundOf", self.refund_of.as_ref())
            .optional("at", self.at.as_ref())
            .0
    }

    fn from_element(element: &Element) -> Result<Self, BadMessage> {
        let fields = Fields(element);
        let refund = match fields.id("kind")?.as_str() {
            "CHARGE" => false,
            "REFUND" => true,
            _ => return Err(bad("kind", "is not known")),
        };
        Ok(Transaction {
            transaction_id: fields.id("transactionId")?,
            refund,
            status: fields.status()?,
            decline_reason: fields.optional("declineReason", MAX_TEXT_CHARS)?,
            amount: fields.amount()?,
            currency: fields.currency()?,
            attempt_id: fields.optional("attemptId", MAX_ID_CHARS)?,
            refund_id: fields.optional("refundId", MAX_ID_CHARS)?,
            refund_of: fields.optional("refundOf", MAX_ID_CHARS)?,
            at: fields.optional("at", MAX_ID_CHARS)?,
        })
    }
}

impl Message for RefundPayment {
    const NAME: &'static str = "RefundPayment";

    fn to_element(&self) -> Element {
        Build::new(Self::NAME)
            .optional("transactionId", self.transaction_id.as_ref())
            .optional("orderId", self.order_id.as_ref())
            .field("amount", self.amount)
            .field("currency", &self.currency)
            .optional("refundId", self.refund_id.as_ref())
            .0
    }

    fn from_element(element: &Element) -> Result<Self, BadMessage> {
        let fields = named(element, Self::NAME)?;
        Ok(RefundPayment {
            transaction_id: fields.optional("transactionId", MAX_ID_CHARS)?,
            order_id: fields.optional("orderId", MAX_ID_CHARS)?,
            amount: fields.amount()?,
            currency: fields.currency()?,
            refund_id: fields.optional("refundId", MAX_ID_CHARS)?,
        })
    }
}

#[cfg(test)]
mod tests;
