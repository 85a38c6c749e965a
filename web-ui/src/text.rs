//! Money, times and words as shoppers read them.

use shared_types::orders::{OrderStatus, Stage};
use shared_types::{Amount, Currency, Timestamp};
use time::{Date, Duration, OffsetDateTime, Weekday};

/// `$48.00`, `€48.00`, `48.00 CHF`; whole thousands get a comma.
pub fn money(amount: Amount, currency: Currency) -> String {
    let digits = match amount.in_currency(currency) {
        Ok(money) => money.amount().to_string(),
        Err(_) => amount.to_string(),
    };
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("−", rest),
        None => ("", digits.as_str()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    match currency.code() {
        "USD" => format!("{sign}${grouped}"),
        "EUR" => format!("{sign}€{grouped}"),
        "GBP" => format!("{sign}£{grouped}"),
        code => format!("{sign}{grouped}\u{a0}{code}"),
    }
}

/// `1 piece`, `3 pieces`.
pub fn count(n: i64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Percent-encodes a text for a path segment or query value.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `12:41 UTC`: the server does not know the shopper's clock and says so.
pub fn clock(at: Timestamp) -> String {
    let at = at.into_inner();
    format!("{:02}:{:02} UTC", at.hour(), at.minute())
}

/// `21 November 2026`.
pub fn day(at: Timestamp) -> String {
    let date = at.into_inner().date();
    format!("{} {} {}", date.day(), date.month(), date.year())
}

/// `21 Nov, 12:41 UTC`.
pub fn moment(at: Timestamp) -> String {
    format!("{}, {}", short_day(at.into_inner().date()), clock(at))
}

fn short_day(date: Date) -> String {
    let month = date.month().to_string();
    format!("{} {}", date.day(), month.get(..3).unwrap_or(&month))
}

/// When a parcel sent today arrives: three to five working days on.
pub fn delivery_window(now: OffsetDateTime) -> String {
    let first = working_days_after(now.date(), 3);
    let last = working_days_after(now.date(), 5);
    let weekday = |date: Date| {
        let name = date.weekday().to_string();
        name.get(..3).unwrap_or(&name).to_owned()
    };
    format!("{} {} – {} {}", weekday(first), short_day(first), weekday(last), short_day(last))
}

fn working_days_after(mut date: Date, days: u8) -> Date {
    let mut left = days;
    while left > 0 {
        date = date.saturating_add(Duration::days(1));
        if !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday) {
            left -= 1;
        }
    }
    date
}

/// `about 9 minutes`; `None` once the time has passed.
pub fn minutes_left(until: Timestamp, now: Timestamp) -> Option<String> {
    let seconds = until.since(now).as_secs();
    match seconds {
        0 => None,
        1..60 => Some("less than a minute".to_owned()),
        _ => Some(format!("about {}", count((seconds / 60) as i64, "minute", "minutes"))),
    }
}

/// The order's state in one line, for the headline of its page.
pub fn order_headline(status: OrderStatus, stage: Stage) -> &'static str {
    match (status, stage) {
        (OrderStatus::Pending, Stage::Reserving) => "We are setting your things aside",
        (OrderStatus::Pending, Stage::AwaitingPayment) => "Your order is waiting for payment",
        (OrderStatus::Pending, Stage::Backordered) => "Your order is on the waiting list",
        (OrderStatus::Pending, _) => "Your payment is being decided",
        (OrderStatus::Paid | OrderStatus::Confirmed, Stage::Refunding | Stage::Compensating) => {
            "Your money is on its way back"
        }
        (OrderStatus::Paid, _) => "Paid – thank you",
        (OrderStatus::Confirmed, _) => "Thank you – your order is confirmed",
        (OrderStatus::Shipped, _) => "Your order is on its way",
        (OrderStatus::Fulfilled, _) => "Your order has arrived",
        (OrderStatus::Canceled, _) => "This order was canceled",
        (OrderStatus::Failed, _) => "This order could not be completed",
    }
}

/// One word or two for lists.
pub fn order_status(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Pending => "Open",
        OrderStatus::Paid => "Paid",
        OrderStatus::Confirmed => "Confirmed",
        OrderStatus::Shipped => "On its way",
        OrderStatus::Fulfilled => "Delivered",
        OrderStatus::Canceled => "Canceled",
        OrderStatus::Failed => "Not completed",
    }
}

/// What a decline code means to the person paying.
pub fn decline(code: &str) -> &'static str {
    match code {
        "insufficient_funds" => "The bank says there is not enough money on this card.",
        "expired_card" => "The card has expired.",
        "requires_action" => "The bank asks for a confirmation that could not be made here.",
        "risk_refused" | "refused" => "The payment was refused by our safety check.",
        _ => "The bank declined this card.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn money_reads_as_people_write_it() {
        let of = |text: &str, c: &str| money(text.parse().unwrap(), c.parse().unwrap());
        assert_eq!(of("48", "USD"), "$48.00");
        assert_eq!(of("1234567.5", "EUR"), "€1,234,567.50");
        assert_eq!(of("-4.90", "GBP"), "−£4.90");
        assert_eq!(of("500", "JPY"), "500\u{a0}JPY");
    }

    #[test]
    fn weekends_do_not_count_as_working_days() {
        let friday = datetime!(2026-11-20 10:00 UTC);
        assert_eq!(delivery_window(friday), "Wed 25 Nov – Fri 27 Nov");
    }

    #[test]
    fn what_could_break_an_address_is_encoded() {
        assert_eq!(encode("a b/ü?&"), "a%20b%2F%C3%BC%3F%26");
    }

    #[test]
    fn time_left_is_said_honestly() {
        let at = |s| Timestamp::from_unix(s).unwrap();
        assert_eq!(minutes_left(at(600), at(0)).as_deref(), Some("about 10 minutes"));
        assert_eq!(minutes_left(at(30), at(0)).as_deref(), Some("less than a minute"));
        assert_eq!(minutes_left(at(30), at(31)), None);
    }
}
