//! How things are called and written for people.

use desktop_bridge::{OrderRow, TokenStore};
use js_sys::Date;
use shared_types::{
    Role, Timestamp,
    orders::{OrderStatus, Stage},
};
use wasm_bindgen::JsValue;

/// Every status with its name, in the order of an order's life.
pub const STATUSES: [(OrderStatus, &str); 7] = [
    (OrderStatus::Pending, "Pending"),
    (OrderStatus::Paid, "Paid"),
    (OrderStatus::Confirmed, "Confirmed"),
    (OrderStatus::Shipped, "Shipped"),
    (OrderStatus::Fulfilled, "Fulfilled"),
    (OrderStatus::Canceled, "Canceled"),
    (OrderStatus::Failed, "Failed"),
];

pub fn status(status: OrderStatus) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("", |(_, name)| name)
}

/// The class that colours a status.
pub fn status_class(status: OrderStatus) -> String {
    format!("chip is-{}", self::status(status).to_lowercase())
}

pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Reserving => "Reserving stock",
        Stage::AwaitingPayment => "Awaiting payment",
        Stage::Backordered => "Waiting for stock",
        Stage::Authorizing => "Authorising payment",
        Stage::Capturing => "Capturing payment",
        Stage::Confirming => "Confirming stock",
        Stage::PlanningShipment => "Planning shipment",
        Stage::Compensating => "Undoing",
        Stage::Refunding => "Refunding",
        Stage::Done => "At rest",
    }
}

/// The role that says most about what an account may do.
pub fn role(roles: &[Role]) -> &'static str {
    for (role, name) in
        [(Role::Admin, "Admin"), (Role::Merchant, "Merchant"), (Role::Support, "Support")]
    {
        if roles.contains(&role) {
            return name;
        }
    }
    "Staff"
}

/// `1234567.50` → `1 234 567.50`, with thin spaces, so that long amounts read well.
pub fn amount(row: &OrderRow) -> String {
    let (whole, fraction) = row.amount.split_once('.').unwrap_or((&row.amount, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("−", digits));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    match fraction {
        "" => format!("{sign}{grouped}"),
        _ => format!("{sign}{grouped}.{fraction}"),
    }
}

/// The time of day here; the date too when it was another day.
pub fn time(at: Timestamp) -> String {
    let then = local(at);
    let today = Date::new_0();
    let clock =
        format!("{:02}:{:02}:{:02}", then.get_hours(), then.get_minutes(), then.get_seconds());
    if then.to_date_string() == today.to_date_string() {
        return clock;
    }
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.get(then.get_month() as usize).copied().unwrap_or_default();
    format!("{} {month}, {:02}:{:02}", then.get_date(), then.get_hours(), then.get_minutes())
}

/// `12:41`.
pub fn minute(at: Timestamp) -> String {
    let then = local(at);
    format!("{:02}:{:02}", then.get_hours(), then.get_minutes())
}

fn local(at: Timestamp) -> Date {
    Date::new(&JsValue::from_f64(at.unix_millis() as f64))
}

/// Where the session is kept, in one line.
pub fn token_store(store: &TokenStore) -> (&'static str, String) {
    match store {
        TokenStore::Keychain => {
            ("Session kept in the system keychain", "Only the refresh token is kept.".into())
        }
        TokenStore::File { path } => (
            "No keychain here: session kept in an encrypted file",
            format!("{path}, its key beside it, both readable by you alone."),
        ),
    }
}

/// `https://shop.example` → `shop.example`.
pub fn host(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}
