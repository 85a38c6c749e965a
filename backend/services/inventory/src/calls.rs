//! The gRPC interface as plain functions: from messages to use cases and back.
//! The server and the in-process client both stand on it.

use std::time::Duration;

use contracts::generated::bellavista::inventory::v1 as proto;
use platform::{ApiError, Kind, trace};
use shared_types::{FieldError, OrderId, Sku, Timestamp};
use uuid::Uuid;

use crate::commands::open::Open;
use crate::commands::reserve::{Reserve, Reserved};
use crate::commands::set_aside::SetAside;
use crate::commands::{Stockroom, open, pin, reserve, set_aside, settle, take_back};
use crate::config::MAX_TTL_SECONDS;
use crate::domain::hold::HoldStatus;
use crate::domain::shelf::{Ask, Units, Wanted};
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
        Reserved::Held { expires_at, waiting, .. } => proto::ReserveResponse {
            outcome: proto::ReserveOutcome::Held.into(),
            expires_at: expires_at.map(stamp),
            short: Vec::new(),
            waiting: waiting
                .into_iter()
                .map(|(sku, qty)| proto::WaitingLine { sku: sku.to_string(), qty })
                .collect(),
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
            waiting: Vec::new(),
        },
    })
}

pub async fn release_stock(
    room: &Stockroom,
    request: proto::ReleaseRequest,
) -> Result<proto::ReleaseResponse, ApiError> {
    let settled = settle::release(room, order_id(&request.order_id)?).await?;
    let was = state_of(settled.was).into();
    Ok(proto::ReleaseResponse { released: settled.done, was })
}

pub async fn confirm_stock(
    room: &Stockroom,
    request: proto::ConfirmRequest,
) -> Result<proto::ConfirmResponse, ApiError> {
    let settled = settle::confirm(room, order_id(&request.order_id)?).await?;
    let outcome = match settled.done {
        true => proto::ConfirmOutcome::Confirmed,
        false => proto::ConfirmOutcome::HoldGone,
    };
    Ok(proto::ConfirmResponse { outcome: outcome.into(), was: state_of(settled.was).into() })
}

fn state_of(was: Option<HoldStatus>) -> proto::HoldState {
    match was {
        None => proto::HoldState::NeverHeld,
        Some(HoldStatus::Waiting) => proto::HoldState::Waiting,
        Some(HoldStatus::Held) => proto::HoldState::Live,
        Some(HoldStatus::Confirmed) => proto::HoldState::Allocated,
        Some(HoldStatus::Released) => proto::HoldState::GivenBack,
        Some(HoldStatus::Expired) => proto::HoldState::RanOut,
    }
}

pub async fn set_aside(
    room: &Stockroom,
    request: proto::SetAsideRequest,
) -> Result<proto::SetAsideResponse, ApiError> {
    let mut wrong = Wrong::default();
    let sale: Option<Uuid> = wrong.parse(|| "sale_id".to_owned(), &request.sale_id);
    let sku: Option<Sku> = wrong.parse(|| "sku".to_owned(), &request.sku);
    let qty = request.qty;
    let fits = (1..=MAX_QTY).contains(&qty);
    wrong.ensure(fits, || "qty".to_owned(), "must lie between 1 and 1000000000");
    wrong.finish()?;
    let (Some(sale), Some(sku)) = (sale, sku) else { return Err(invalid(Vec::new())) };
    let carved = set_aside::set_aside(room, &SetAside { sale, sku, qty }).await?;
    let outcome = match carved.done {
        true => proto::SetAsideOutcome::SetAside,
        false => proto::SetAsideOutcome::TooFew,
    };
    Ok(proto::SetAsideResponse { outcome: outcome.into(), available: carved.available })
}

pub async fn return_set_aside(
    room: &Stockroom,
    request: proto::ReturnSetAsideRequest,
) -> Result<proto::ReturnSetAsideResponse, ApiError> {
    let mut wrong = Wrong::default();
    let sale: Option<Uuid> = wrong.parse(|| "sale_id".to_owned(), &request.sale_id);
    let named = !request.sku.is_empty();
    let sku: Option<Sku> =
        if named { wrong.parse(|| "sku".to_owned(), &request.sku) } else { None };
    wrong.finish()?;
    let Some(sale) = sale else { return Err(invalid(Vec::new())) };
    let returned = set_aside::give_back(room, sale, sku.as_ref()).await?;
    Ok(proto::ReturnSetAsideResponse { returned })
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
    let mut units = Units::new();
    for (ask, qty) in wanted {
        *units.entry(ask.sku_key).or_default() += qty;
    }
    let returned = take_back::take_back(room, return_id, order.into(), &units, actor).await?;
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
    Ok(Reserve {
        order_id: order.into(),
        wanted,
        ttl,
        accept_backorder: request.accept_backorder,
        context: trace::current(),
    })
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
    add_up_asks(lines.map(|(sku, qty)| (Ask::ordinary(sku.key()), qty)))
}

fn add_up_asks(lines: impl Iterator<Item = (Ask, i64)>) -> Result<Wanted, (usize, &'static str)> {
    let (mut wanted, mut units) = (Wanted::new(), Units::new());
    for (i, (ask, qty)) in lines.enumerate() {
        if i >= MAX_LINES {
            return Err((i, "is more than 1000 lines"));
        }
        if !(1..=MAX_QTY).contains(&qty) {
            return Err((i, "must lie between 1 and 1000000000"));
        }
        let sum = units.entry(ask.sku_key.clone()).or_default();
        *sum += qty;
        if *sum > MAX_QTY {
            return Err((i, "adds up to more than 1000000000 units of one sku"));
        }
        *wanted.entry(ask).or_default() += qty;
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
        let mut asks = Vec::with_capacity(lines.len());
        for (i, line) in lines.iter().enumerate() {
            let sku: Option<Sku> = self.parse(|| format!("lines[{i}].sku"), &line.sku);
            let fits = (1..=MAX_QTY).contains(&line.qty);
            self.ensure(fits, || format!("lines[{i}].qty"), "must lie between 1 and 1000000000");
            let named = !line.sale_id.is_empty();
            let field = || format!("lines[{i}].sale_id");
            let sale: Option<Uuid> = if named { self.parse(field, &line.sale_id) } else { None };
            asks.extend(sku.map(|sku| (Ask { sku_key: sku.key(), sale }, line.qty)));
        }
        if self.0.len() > before {
            return Wanted::new();
        }
        match add_up_asks(asks.into_iter()) {
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
        assert_eq!(wanted, Wanted::from([(Ask::ordinary("15056bl"), 5), (Ask::ordinary("b"), 1)]));
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
