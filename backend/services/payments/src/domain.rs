//! Pure rules: which transaction is ours, when silence is an answer, what may
//! be written down.

pub mod risk;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use shared_types::{Money, Timestamp};

/// A payment token. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a text is no token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    #[error("must be 1 to 128 letters, digits, '_' or '-'")]
    Shape,
    #[error("looks like a card number; only tokens are taken")]
    CardNumber,
}

/// So many digits in a row are taken for a card number.
const CARD_DIGITS: usize = 12;

impl Token {
    pub fn parse(text: &str) -> Result<Self, NotAToken> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !(1..=128).contains(&text.len()) {
            return Err(NotAToken::Shape);
        }
        let digits = text.bytes().filter(|b| !matches!(b, b' ' | b'-' | b'.'));
        let mut run = 0;
        for byte in digits {
            run = if byte.is_ascii_digit() { run + 1 } else { 0 };
            if run >= CARD_DIGITS {
                return Err(NotAToken::CardNumber);
            }
        }
        if !text.bytes().all(plain) {
            return Err(NotAToken::Shape);
        }
        Ok(Token(text.to_owned()))
    }

    /// The token itself, for the provider only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// A decline reason as a stable code: what is not a plain word, or holds many
/// digits, becomes `card_declined`.
pub fn decline_code(reason: Option<&str>) -> String {
    const MOST_DIGITS: usize = 6;
    let reason = reason.unwrap_or_default().trim().to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let digits = reason.bytes().filter(u8::is_ascii_digit).count();
    match (1..=64).contains(&reason.len()) && reason.bytes().all(plain) && digits <= MOST_DIGITS {
        true => reason,
        false => "card_declined".to_owned(),
    }
}

/// A foreign text made fit for a row: one line, bounded, without anything that
/// looks like a token or a card number.
pub fn masked(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let mut out = String::new();
    let mut digits = 0;
    for word in text.split_whitespace() {
        let word: String = match word.contains("tok_") {
            true => "***".to_owned(),
            false => word.chars().filter(|c| !c.is_control()).collect(),
        };
        for c in word.chars().chain([' ']) {
            digits = match c {
                '0'..='9' => digits + 1,
                ' ' | '-' => digits,
                _ => 0,
            };
            out.push(if c.is_ascii_digit() && digits > 6 && !out.ends_with('.') { '*' } else { c });
        }
        if out.len() > MAX_CHARS {
            break;
        }
    }
    out.trim().chars().take(MAX_CHARS).collect()
}

/// A transaction of an order as the provider tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub transaction_id: String,
    pub kind: TransactionKind,
    pub verdict: Verdict,
    pub money: Money,
    /// Our attempt or refund, when the provider remembers it.
    pub reference: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionKind {
    Charge,
    Refund,
}

/// What a provider decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The money moved.
    Approved,
    /// The money is reserved; it moves when it is captured.
    Authorized,
    Declined(String),
    /// The buyer has to do something at this address first.
    ActionRequired(String),
    /// An authorisation was given up; no money moves any more.
    Canceled,
    /// Taken in; a notification tells what became of it.
    Received,
}

impl Verdict {
    /// For rows and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Approved => "approved",
            Verdict::Authorized => "authorized",
            Verdict::Declined(_) => "declined",
            Verdict::ActionRequired(_) => "action_required",
            Verdict::Canceled => "canceled",
            Verdict::Received => "received",
        }
    }
}

/// What the transactions of an order say about one attempt or refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    Found(Transaction),
    /// The provider knows nothing of it.
    Nothing,
    /// There is one, but for another amount: for a person.
    WrongAmount(Transaction),
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub kind: TransactionKind,
    pub reference: &'a str,
    pub money: Money,
    /// Transactions that are known to belong to something else.
    pub taken: &'a BTreeSet<String>,
}

/// Finds the transaction of an attempt or refund. A provider that keeps no
/// references is matched by kind and amount among those not accounted for; an
/// order has one open attempt at a time, so that is not ambiguous.
pub fn find(transactions: &[Transaction], wanted: &Wanted<'_>) -> Finding {
    let of_kind = || transactions.iter().filter(|t| t.kind == wanted.kind);
    let mut named: Vec<&Transaction> =
        of_kind().filter(|t| t.reference.as_deref() == Some(wanted.reference)).collect();
    // Approved first: money that moved decides.
    named.sort_by_key(|t| t.verdict != Verdict::Approved);
    if let Some(found) = named.iter().find(|t| t.money == wanted.money) {
        return Finding::Found((*found).clone());
    }
    if let Some(odd) = named.first() {
        return Finding::WrongAmount((*odd).clone());
    }
    let mut nameless = of_kind().filter(|t| {
        t.reference.is_none()
            && t.money == wanted.money
            && !wanted.taken.contains(&t.transaction_id)
    });
    nameless.next().map_or(Finding::Nothing, |t| Finding::Found(t.clone()))
}

/// What to do about something sent whose answer is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterSilence {
    /// Too early: ask again.
    AskAgain,
    /// Certainly not done, and it may be sent again.
    SendAgain,
    /// Certainly not done, and it stays so.
    GiveUp,
}

#[derive(Clone, Copy, Debug)]
pub struct Silence {
    pub now: Timestamp,
    /// No request left after this.
    pub quiet_from: Timestamp,
    pub created_at: Timestamp,
    pub sends: u32,
}

/// The limits that decide about silence.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub settlement_time: Duration,
    pub resend_within: Duration,
    pub max_sends: u32,
}

/// The provider answered "no such transaction": only after its settlement time
/// is that the truth.
pub fn after_silence(silence: Silence, patience: Patience) -> AfterSilence {
    if silence.now < silence.quiet_from.plus(patience.settlement_time) {
        return AfterSilence::AskAgain;
    }
    let young = silence.now.since(silence.created_at) < patience.resend_within;
    if young && silence.sends < patience.max_sends {
        AfterSilence::SendAgain
    } else {
        AfterSilence::GiveUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_types::Currency;

    fn charge(id: &str, reference: Option<&str>, minor: i64, verdict: Verdict) -> Transaction {
        Transaction {
            transaction_id: id.to_owned(),
            kind: TransactionKind::Charge,
            verdict,
            money: Money::new(minor, Currency::USD),
            reference: reference.map(str::to_owned),
        }
    }

    fn look(list: &[Transaction], taken: &[&str]) -> Option<String> {
        let taken = taken.iter().map(|t| (*t).to_owned()).collect();
        let money = Money::new(500, Currency::USD);
        let wanted = Wanted { kind: TransactionKind::Charge, reference: "a", money, taken: &taken };
        match find(list, &wanted) {
            Finding::Found(t) => Some(t.transaction_id),
            Finding::Nothing => None,
            Finding::WrongAmount(t) => Some(format!("wrong {}", t.transaction_id)),
        }
    }

    #[test]
    fn our_reference_decides_and_money_that_moved_comes_first() {
        let declined = charge("1", Some("a"), 500, Verdict::Declined("x".into()));
        let approved = charge("2", Some("a"), 500, Verdict::Approved);
        let other = charge("3", Some("b"), 500, Verdict::Approved);
        assert_eq!(look(&[other.clone(), declined, approved], &[]).unwrap(), "2");
        assert_eq!(look(&[other], &[]), None);
        let odd = charge("4", Some("a"), 501, Verdict::Approved);
        assert_eq!(look(&[odd], &[]).unwrap(), "wrong 4");
    }

    #[test]
    fn without_references_an_unaccounted_charge_of_the_same_amount_is_ours() {
        let old = charge("1", None, 500, Verdict::Declined("x".into()));
        let new = charge("2", None, 500, Verdict::Approved);
        assert_eq!(look(&[old.clone(), new], &["1"]).unwrap(), "2");
        assert_eq!(look(&[old], &["1"]), None);
        assert_eq!(look(&[charge("1", None, 501, Verdict::Approved)], &[]), None);
    }

    #[test]
    fn silence_is_an_answer_only_after_the_settlement_time() {
        let at: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let patience = Patience {
            settlement_time: Duration::from_secs(30),
            resend_within: Duration::from_secs(100),
            max_sends: 5,
        };
        let after = |seconds, sends| {
            let now = at.plus(Duration::from_secs(seconds));
            after_silence(Silence { now, quiet_from: at, created_at: at, sends }, patience)
        };
        assert_eq!(after(29, 1), AfterSilence::AskAgain);
        assert_eq!(after(30, 1), AfterSilence::SendAgain);
        assert_eq!(after(30, 5), AfterSilence::GiveUp);
        assert_eq!(after(100, 1), AfterSilence::GiveUp);
    }

    #[test]
    fn card_numbers_are_not_tokens() {
        for card in [
            "4111111111111111",
            "4111-1111-1111-1111",
            "tok_4111111111111111",
            "4111 1111 1111 1111",
        ] {
            assert_eq!(Token::parse(card), Err(NotAToken::CardNumber), "{card}");
        }
        for odd in ["", "tok ok", "tok/ok", &"x".repeat(129)] {
            assert_eq!(Token::parse(odd), Err(NotAToken::Shape), "{odd}");
        }
        assert_eq!(format!("{:?}", Token::parse("tok_ok").unwrap()), "Token(***)");
    }

    #[test]
    fn what_is_written_down_is_masked() {
        let text = masked("card 4111 1111 1111 1111 of\n tok_secret failed");
        assert!(!text.contains("1111 1111 1111") && !text.contains("secret"), "{text}");
        assert!(masked(&"x".repeat(2_000)).len() <= 300);
        assert_eq!(decline_code(Some("Insufficient_Funds")), "insufficient_funds");
        assert_eq!(decline_code(Some("<b>no</b>")), "card_declined");
    }
}
