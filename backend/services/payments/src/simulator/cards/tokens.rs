//! Tokenisation: a card number comes here, from the buyer's browser, and a
//! token goes to the shop. No number is kept.

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use platform::ApiError;
use platform::http::Json;
use platform::validate::Checks;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::simulator::gateway::Gateway;

pub fn router() -> Router<Gateway> {
    Router::new().route("/tokens", post(tokenize))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct CardInput {
    number: String,
    exp_month: u8,
    exp_year: u16,
    cvc: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenView {
    token: String,
    brand: &'static str,
    last4: String,
    exp_month: u8,
    exp_year: u16,
}

/// The field's test numbers and what their tokens mean; any other good number
/// pays.
const TEST_CARDS: &[(&str, &str)] = &[
    ("4000000000000002", "tok_declined"),
    ("4000000000009995", "tok_insufficient_funds"),
    ("4000000000000069", "tok_expired"),
    ("4000000000000127", "tok_incorrect_cvc"),
    ("4000000000000119", "tok_processing_error"),
    ("4000002760003184", "tok_requires_action"),
    ("4000002500003155", "tok_requires_action"),
    ("4000000000003220", "tok_requires_action"),
];

/// The check digit of card numbers (Luhn).
fn is_card_number(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            match place % 2 {
                0 => digit,
                _ if digit > 4 => digit * 2 - 9,
                _ => digit * 2,
            }
        })
        .sum();
    (12..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn brand(digits: &str) -> &'static str {
    match digits.as_bytes() {
        [b'4', ..] => "visa",
        [b'5', b'1'..=b'5', ..] | [b'2', b'2'..=b'7', ..] => "mastercard",
        [b'3', b'4' | b'7', ..] => "amex",
        [b'6', ..] => "discover",
        _ => "unknown",
    }
}

async fn tokenize(
    axum::extract::State(gateway): axum::extract::State<Gateway>,
    Json(card): Json<CardInput>,
) -> Result<(StatusCode, Json<TokenView>), ApiError> {
    let mut checks = Checks::new();
    let digits: String = card.number.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    checks.ensure(plain && is_card_number(&digits), "number", "invalid", "is no card number");
    checks.ensure((1..=12).contains(&card.exp_month), "expMonth", "invalid", "must be 1 to 12");
    let now = gateway.ctx().clock.now().into_inner();
    let (year, month) = (i64::from(now.year()), i64::from(u8::from(now.month())));
    let ends = i64::from(card.exp_year) * 12 + i64::from(card.exp_month);
    checks.ensure(ends >= year * 12 + month, "expYear", "expired", "is in the past");
    let code = card.cvc.is_empty()
        || ((3..=4).contains(&card.cvc.len()) && card.cvc.bytes().all(|b| b.is_ascii_digit()));
    checks.ensure(code, "cvc", "invalid", "must be 3 or 4 digits");
    checks.finish()?;
    let known = TEST_CARDS.iter().find(|(number, _)| *number == digits);
    let meaning = known.map_or("tok_ok", |(_, meaning)| *meaning);
    // Letters only behind it: a token must not look like a card number.
    let random: String = Uuid::new_v4().simple().to_string();
    let letters: String = random
        .bytes()
        .map(|b| char::from(if b.is_ascii_digit() { b - b'0' + b'g' } else { b }))
        .collect();
    let view = TokenView {
        token: format!("{meaning}_card_{letters}"),
        brand: brand(&digits),
        last4: digits.chars().skip(digits.len().saturating_sub(4)).collect(),
        exp_month: card.exp_month,
        exp_year: card.exp_year,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Token;
    use crate::simulator::behaviour::{Meaning, meaning};

    #[test]
    fn test_numbers_of_the_field_are_card_numbers_and_no_tokens() {
        for number in ["4242424242424242", "5555555555554444", "378282246310005"]
            .into_iter()
            .chain(TEST_CARDS.iter().map(|(number, _)| *number))
        {
            assert!(is_card_number(number), "{number}");
            assert!(Token::parse(number).is_err());
        }
        assert!(!is_card_number("4242424242424241") && !is_card_number("42"));
    }

    #[test]
    fn a_cards_token_means_what_its_number_means() {
        let token = "tok_declined_card_abcdef";
        assert_eq!(meaning(Some(token)), Meaning::Declined("card_declined"));
        assert_eq!(meaning(Some("tok_ok_card_x")), Meaning::Ok);
        assert!(Token::parse(token).is_ok());
    }
}
