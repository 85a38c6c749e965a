//! Reading a placement: every wrong field is named at once.

use std::collections::HashMap;

use platform::ApiError;
use platform::auth::Principal;
use platform::validate::Checks;
use shared_types::orders::{Address, LineInput, PaymentMethod, PlaceOrder};
use shared_types::{Amount, CartId, GuestId, Role, Sku, UserId};

use crate::domain::countries::{has_postal_codes, is_country};

pub const MAX_LINES: usize = 1_000;
/// Units of one sku in one order, all its lines added up.
const MAX_SKU_QTY: i64 = 1_000_000;

/// What is ordered.
#[derive(Clone, Debug)]
pub enum Source {
    Lines(Vec<WantedLine>),
    Cart(CartId),
}

/// A sku, how many, and where it first stood in the request.
#[derive(Clone, Debug)]
pub struct WantedLine {
    pub sku: Sku,
    pub qty: i64,
    pub index: usize,
}

/// A placement without faults.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub source: Source,
    pub expected_total: Option<Amount>,
    pub email: String,
    pub address: Address,
    pub payment: Option<PaymentMethod>,
    /// Without tax and shipping.
    pub plain: bool,
    pub owner: Owner,
}

/// Whose order it becomes: the caller's, or of whom a service account names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub actor: String,
    pub user_id: Option<UserId>,
    pub guest_id: Option<GuestId>,
}

/// Checks everything that can be checked without asking anybody.
pub fn read(input: &PlaceOrder, caller: &Principal, max_line_qty: i64) -> Result<Wanted, ApiError> {
    let mut checks = Checks::new();
    let source = source(&mut checks, input, max_line_qty);
    let email = checks.email("email", &input.email);
    let address = checks.required("shippingAddress", input.shipping_address.as_ref());
    let address = address.map(|a| read_address(&mut checks, a));
    if input.shipping_method.as_deref().is_some_and(|m| m != "standard") {
        checks.fail("shippingMethod", "unknown", "must be standard");
    }
    let payment = input.payment_method.as_ref().map(|m| read_method(&mut checks, m));
    if input.expected_total.is_some_and(Amount::is_negative) {
        checks.fail("expectedTotal", "range", "must not be negative");
    }
    let plain = input.tax_and_shipping.is_some();
    if input.tax_and_shipping.as_deref().is_some_and(|t| t != "none") {
        checks.fail("taxAndShipping", "unknown", "must be none, or absent");
    }
    let owner = owner(&mut checks, input, caller);
    checks.finish()?;
    if (plain || input.on_behalf_of.is_some()) && !caller.is_service() {
        caller.require_role(Role::Admin)?;
    }
    let (Some(source), Some(address)) = (source, address) else {
        return Err(ApiError::invalid(Vec::new()));
    };
    let expected_total = input.expected_total;
    Ok(Wanted { source, expected_total, email, address, payment, plain, owner })
}

fn owner(checks: &mut Checks, input: &PlaceOrder, caller: &Principal) -> Owner {
    let own = Owner { actor: caller.actor(), user_id: caller.user(), guest_id: caller.guest() };
    let Some(named) = &input.on_behalf_of else { return own };
    match named.split_once(':') {
        Some(("user", id)) => {
            let id: Option<UserId> = checks.parse("onBehalfOf", id);
            id.map_or(own, |id| Owner {
                actor: format!("user:{id}"),
                user_id: Some(id),
                guest_id: None,
            })
        }
        Some(("guest", id)) => {
            let id: Option<GuestId> = checks.parse("onBehalfOf", id);
            id.map_or(own, |id| Owner {
                actor: format!("guest:{id}"),
                user_id: None,
                guest_id: Some(id),
            })
        }
        _ => {
            checks.fail("onBehalfOf", "invalid", "must be user:<id> or guest:<id>");
            own
        }
    }
}

fn source(checks: &mut Checks, input: &PlaceOrder, max_line_qty: i64) -> Option<Source> {
    match (&input.lines, input.cart_id) {
        (Some(_), Some(_)) => {
            checks.fail("cartId", "exclusive", "send lines or cartId, not both");
            None
        }
        (None, None) => {
            checks.fail("lines", "required", "send lines or cartId");
            None
        }
        (None, Some(cart_id)) => Some(Source::Cart(cart_id)),
        (Some(lines), None) => Some(Source::Lines(read_lines(checks, lines, max_line_qty))),
    }
}

/// Adds lines of the same sku up, in the order in which they first came.
pub fn read_lines(checks: &mut Checks, lines: &[LineInput], max_line_qty: i64) -> Vec<WantedLine> {
    if !(1..=MAX_LINES).contains(&lines.len()) {
        checks.fail("lines", "length", format!("needs 1 to {MAX_LINES} lines"));
        return Vec::new();
    }
    let mut wanted: Vec<WantedLine> = Vec::with_capacity(lines.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        let sku = checks.parse::<Sku>(&format!("lines[{index}].sku"), &line.sku);
        if !(1..=max_line_qty).contains(&line.qty) {
            let message = format!("must be 1 to {max_line_qty}");
            checks.fail(format!("lines[{index}].qty"), "range", message);
            continue;
        }
        let Some(sku) = sku else { continue };
        let place = *places.entry(sku.key()).or_insert(wanted.len());
        match wanted.get_mut(place) {
            Some(line_so_far) => line_so_far.qty += line.qty,
            None => wanted.push(WantedLine { sku, qty: line.qty, index }),
        }
    }
    for line in wanted.iter().filter(|l| l.qty > MAX_SKU_QTY) {
        let message = format!("all lines of one sku together: at most {MAX_SKU_QTY}");
        checks.fail(format!("lines[{}].qty", line.index), "range", message);
    }
    wanted
}

fn read_address(checks: &mut Checks, given: &Address) -> Address {
    let mut text = |field: &str, value: &str, chars| {
        checks.text(&format!("shippingAddress.{field}"), value, chars)
    };
    let name = text("name", &given.name, 1..=120);
    let line1 = text("line1", &given.line1, 1..=200);
    let line2 = text("line2", &given.line2, 0..=200);
    let city = text("city", &given.city, 1..=120);
    let least = usize::from(has_postal_codes(given.country.trim()));
    let postal_code = text("postalCode", &given.postal_code, least..=20);
    let region = text("region", &given.region, 0..=120);
    let country = given.country.trim().to_owned();
    if country.is_empty() {
        checks.fail("shippingAddress.country", "required", "is required");
    } else if !is_country(&country) {
        let message = "must be a country code of ISO 3166-1 such as US";
        checks.fail("shippingAddress.country", "unknown", message);
    }
    Address { name, line1, line2, city, postal_code, region, country }
}

const MAX_TOKEN_CHARS: usize = 128;
/// The shortest card numbers have so many digits.
const CARD_DIGITS: usize = 12;

/// A payment method: `card` with a provider's token, never a card number.
pub fn read_method(checks: &mut Checks, given: &PaymentMethod) -> PaymentMethod {
    match given.kind.as_str() {
        "card" => {}
        "" => checks.fail("paymentMethod.type", "required", "is required"),
        _ => checks.fail("paymentMethod.type", "unknown", "must be card"),
    }
    let token = given.token.as_str();
    let field = "paymentMethod.token";
    if token.is_empty() {
        checks.fail(field, "required", "is required");
    } else if looks_like_card_number(token) {
        checks.fail(field, "card_number", "must be a token, never a card number");
    } else {
        let plain = token.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        let starts = token.starts_with(|c: char| c.is_ascii_alphabetic());
        let shaped = plain && starts && (4..=MAX_TOKEN_CHARS).contains(&token.len());
        checks.ensure(shaped, field, "invalid", "must be a token such as tok_ok");
    }
    given.clone()
}

/// Twelve digits or more in a row, spaces and dashes left out.
fn looks_like_card_number(text: &str) -> bool {
    let mut run = 0;
    for c in text.chars() {
        match c {
            '0'..='9' => run += 1,
            ' ' | '-' | '.' => {}
            _ => run = 0,
        }
        if run >= CARD_DIGITS {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_in_any_spelling_are_recognised() {
        for card in ["4111111111111111", "4111 1111 1111 1111", "tok_4111-1111-1111-1111"] {
            assert!(looks_like_card_number(card), "{card}");
        }
        for token in ["tok_ok", "tok_1N2o3P4q5R", "pm_20261120"] {
            assert!(!looks_like_card_number(token), "{token}");
        }
    }

    #[test]
    fn lines_of_one_sku_are_added_up_whatever_its_case() {
        let line = |sku: &str, qty| LineInput { sku: sku.to_owned(), qty };
        let mut checks = Checks::new();
        let given = [line("15056BL", 2), line("A", 1), line("15056bl", 3)];
        let wanted = read_lines(&mut checks, &given, 10_000);
        assert!(checks.is_empty());
        let seen: Vec<_> = wanted.iter().map(|l| (l.sku.as_str(), l.qty, l.index)).collect();
        assert_eq!(seen, [("15056BL", 5, 0), ("A", 1, 1)]);
    }
}
