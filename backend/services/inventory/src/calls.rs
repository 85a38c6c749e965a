//! The gRPC interface as plain functions: from messages to use cases and back.
//! The server and the in-process client both stand on it.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::generated::bellavista::inventory::v1 as proto;
use platform::{ApiError, Kind, trace};
use shared_types::{FieldError, OrderId, Sku, Timestamp};
use uuid::Uuid;

use crate::commands::open::Open;
use crate::commands::reserve::{Reserve, Reserved};
use crate::commands::{Stockroom, open, pin, reserve, settle, take_back};
use crate::config::MAX_TTL_SECONDS;
use crate::domain::shelf::Wanted;
use crate::queries;

/// Lines of one order, at most.
pub const MAX_LINES: usize = 1_000;
/// Units of one line and one sku, at most.
pub const MAX_QTY: i64 = 1_000_000_000;

pub async fn reserve_stock(
    room: &Stockroom,
    request: proto::ReserveRequest,
) -> Result<proto::ReserveResponse, ApiError> {
    let wish = wish_of(room, &request)?;
    Ok(match reserve::reserve(room, wish).await? {
        Reserved::Held { expires_at, .. } => proto::ReserveResponse {
            outcome: proto::ReserveOutcome::Held.into(),
            expires_at: expires_at.map(stamp),
            short: Vec::new(),
        },
        Reserved::Short(short) => proto::ReserveResponse {
            outcome: proto::ReserveOutcome::Short.into(),
            expires_at: None,
            short: short
                .into_iter()
                .map(|s| proto::ShortLine {
                    sku: s.sku.to_string(),
                    requested: s.requested,
                    available: s.available,
                })
                .collect(),
        },
    })
}

pub async fn release_stock(
    room: &Stockroom,
    request: proto::ReleaseRequest,
) -> Result<proto::ReleaseResponse, ApiError> {
    let released = settle::release(room, order_id(&request.order_id)?).await?;
    Ok(proto::ReleaseResponse { released })
}

pub async fn confirm_stock(
    room: &Stockroom,
    request: proto::ConfirmRequest,
) -> Result<proto::ConfirmResponse, ApiError> {
    let outcome = match settle::confirm(room, order_id(&request.order_id)?).await? {
        true => proto::ConfirmOutcome::Confirmed,
        false => proto::ConfirmOutcome::HoldGone,
    };
    Ok(proto::ConfirmResponse { outcome: outcome.into() })
}

pub async fn query_stock(
    room: &Stockroom,
    request: proto::StockQuery,
) -> Result<proto::StockStatus, ApiError> {
    let mut wrong = Wrong::default();
    wrong.ensure(
        (1..=MAX_LINES).contains(&request.skus.len()),
        || "skus".to_owned(),
        "must name 1 to 1000 skus",
    );
    let skus: Vec<Sku> = request
        .skus
        .iter()
        .take(MAX_LINES)
        .enumerate()
        .filter_map(|(i, text)| wrong.parse(|| format!("skus[{i}]"), text))
        .collect();
    wrong.finish()?;
    Ok(proto::StockStatus { levels: queries::levels(room, &skus).await? })
}

pub async fn open_stock(
    room: &Stockroom,
    request: proto::OpenStockRequest,
    actor: &str,
) -> Result<proto::OpenStockResponse, ApiError> {
    let mut wrong = Wrong::default();
    let variant: Option<Uuid> = wrong.parse(|| "variant_id".to_owned(), &request.variant_id);
    let product: Option<Uuid> = wrong.parse(|| "product_id".to_owned(), &request.product_id);
    let sku: Option<Sku> = wrong.parse(|| "sku".to_owned(), &request.sku);
    let fits = (0..=MAX_QTY).contains(&request.qty);
    wrong.ensure(fits, || "qty".to_owned(), "must lie between 0 and 1000000000");
    wrong.finish()?;
    let (Some(variant), Some(product), Some(sku)) = (variant, product, sku) else {
        return Err(invalid(Vec::new()));
    };
    let wish =
        Open { variant_id: variant.into(), product_id: product.into(), sku, qty: request.qty };
    Ok(proto::OpenStockResponse { on_hand: open::open(room, &wish, actor).await? })
}

pub async fn pin_hold(
    room: &Stockroom,
    request: proto::PinHoldRequest,
) -> Result<proto::PinHoldResponse, ApiError> {
    let order = order_id(&request.order_id)?;
    let pinned = pin::pin(room, order, request.pinned, request.extend).await?;
    Ok(proto::PinHoldResponse { held: pinned.held, expires_at: pinned.expires_at.map(stamp) })
}

pub async fn return_stock(
    room: &Stockroom,
    request: proto::ReturnStockRequest,
    actor: &str,
) -> Result<proto::ReturnStockResponse, ApiError> {
    let mut wrong = Wrong::default();
    let return_id: Option<Uuid> = wrong.parse(|| "return_id".to_owned(), &request.return_id);
    let order: Option<Uuid> = wrong.parse(|| "order_id".to_owned(), &request.order_id);
    let wanted = wrong.lines(&request.lines);
    wrong.finish()?;
    let (Some(return_id), Some(order)) = (return_id, order) else {
        return Err(invalid(Vec::new()));
    };
    let returned = take_back::take_back(room, return_id, order.into(), &wanted, actor).await?;
    Ok(proto::ReturnStockResponse { returned })
}

fn wish_of(room: &Stockroom, request: &proto::ReserveRequest) -> Result<Reserve, ApiError> {
    let mut wrong = Wrong::default();
    let order: Option<Uuid> = wrong.parse(|| "order_id".to_owned(), &request.order_id);
    let wanted = wrong.lines(&request.lines);
    let ttl = u64::from(request.ttl_seconds);
    wrong.ensure(ttl <= MAX_TTL_SECONDS, || "ttl_seconds".to_owned(), "must be at most 86400");
    wrong.finish()?;
    let Some(order) = order else { return Err(invalid(Vec::new())) };
    let ttl = if ttl == 0 { room.settings.hold_ttl() } else { Duration::from_secs(ttl) };
    Ok(Reserve { order_id: order.into(), wanted, ttl, context: trace::current() })
}

fn order_id(text: &str) -> Result<OrderId, ApiError> {
    let mut wrong = Wrong::default();
    let order: Option<Uuid> = wrong.parse(|| "order_id".to_owned(), text);
    wrong.finish()?;
    order.map(OrderId).ok_or_else(|| invalid(Vec::new()))
}

/// Adds lines of one sku up, as `Wanted`. An error names the line.
pub fn add_up<'a>(
    lines: impl Iterator<Item = (&'a Sku, i64)>,
) -> Result<Wanted, (usize, &'static str)> {
    let mut wanted: Wanted = BTreeMap::new();
    for (i, (sku, qty)) in lines.enumerate() {
        if i >= MAX_LINES {
            return Err((i, "is more than 1000 lines"));
        }
        if !(1..=MAX_QTY).contains(&qty) {
            return Err((i, "must lie between 1 and 1000000000"));
        }
        let sum = wanted.entry(sku.key()).or_default();
        *sum += qty;
        if *sum > MAX_QTY {
            return Err((i, "adds up to more than 1000000000 units of one sku"));
        }
    }
    if wanted.is_empty() { Err((0, "there is no line")) } else { Ok(wanted) }
}

/// What is wrong with a message, gathered.
#[derive(Default)]
struct Wrong(Vec<FieldError>);

impl Wrong {
    fn fail(&mut self, field: String, code: &str, message: impl Into<String>) {
        if self.0.len() < 100 {
            let (code, message) = (code.to_owned(), message.into());
            self.0.push(FieldError { field, code, message });
        }
    }

    fn ensure(&mut self, holds: bool, field: impl Fn() -> String, message: &str) {
        if !holds {
            self.fail(field(), "range", message);
        }
    }

    fn parse<T>(&mut self, field: impl Fn() -> String, text: &str) -> Option<T>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let code = if text.is_empty() { "required" } else { "invalid" };
                self.fail(field(), code, error.to_string());
                None
            }
        }
    }

    fn lines(&mut self, lines: &[proto::Line]) -> Wanted {
        if lines.is_empty() || lines.len() > MAX_LINES {
            self.fail("lines".to_owned(), "range", "must be 1 to 1000 lines");
            return Wanted::new();
        }
        let before = self.0.len();
        let mut skus = Vec::with_capacity(lines.len());
        for (i, line) in lines.iter().enumerate() {
            let sku: Option<Sku> = self.parse(|| format!("lines[{i}].sku"), &line.sku);
            let fits = (1..=MAX_QTY).contains(&line.qty);
            self.ensure(fits, || format!("lines[{i}].qty"), "must lie between 1 and 1000000000");
            if !line.sale_id.is_empty() {
                let field = format!("lines[{i}].sale_id");
                self.fail(field, "unknown_sale", "there is no such sale");
            }
            skus.extend(sku.map(|sku| (sku, line.qty)));
        }
        if self.0.len() > before {
            return Wanted::new();
        }
        match add_up(skus.iter().map(|(sku, qty)| (sku, *qty))) {
            Ok(wanted) => wanted,
            Err((i, message)) => {
                self.fail(format!("lines[{i}].qty"), "range", message);
                Wanted::new()
            }
        }
    }

    fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(invalid(self.0)) }
    }
}

/// A refusal whose text names the fields, for callers that see only the text.
fn invalid(fields: Vec<FieldError>) -> ApiError {
    let named: Vec<String> =
        fields.iter().take(5).map(|f| format!("{}: {}", f.field, f.message)).collect();
    ApiError::new(Kind::Invalid, "request.invalid", named.join("; ")).with_fields(fields)
}

fn stamp(at: Timestamp) -> prost_types::Timestamp {
    let at = at.into_inner();
    prost_types::Timestamp { seconds: at.unix_timestamp(), nanos: at.nanosecond() as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: &str, qty: i64) -> proto::Line {
        proto::Line { sku: sku.to_owned(), qty, sale_id: String::new() }
    }

    fn faults(lines: &[proto::Line]) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.lines(lines);
        wrong.0.into_iter().map(|f| f.field).collect()
    }

    #[test]
    fn lines_of_one_sku_are_added_up_whatever_their_case() {
        let mut wrong = Wrong::default();
        let wanted = wrong.lines(&[line("15056BL", 2), line("15056bl", 3), line("b", 1)]);
        assert!(wrong.0.is_empty());
        assert_eq!(wanted, Wanted::from([("15056bl".into(), 5), ("b".into(), 1)]));
    }

    #[test]
    fn every_bad_line_is_named() {
        let many = vec![line("a", 1); MAX_LINES + 1];
        assert_eq!(faults(&many), ["lines"]);
        assert_eq!(faults(&[]), ["lines"]);
        assert_eq!(
            faults(&[line("", 1), line("a", 0), line("b", -1), line("c", MAX_QTY + 1)]),
            ["lines[0].sku", "lines[1].qty", "lines[2].qty", "lines[3].qty"]
        );
        assert_eq!(faults(&[line("a", MAX_QTY), line("A", 1)]), ["lines[1].qty"]);
        let sale = proto::Line { sale_id: "s".into(), ..line("a", 1) };
        assert_eq!(faults(&[sale]), ["lines[0].sale_id"]);
    }
}
