//! The service as others call it: the same in process and through gRPC.

use async_trait::async_trait;
use contracts::clients::PaymentsClient;
use contracts::generated::bellavista::payments::v1::payments_server::Payments;
use contracts::generated::bellavista::payments::v1::{
    CaptureOutcome, CaptureRequest, CaptureResponse, GetAttemptRequest, RefundOutcome,
    RefundRequest, RefundResponse,
};
use platform::error::ApiError;
use platform::validate::Checks;
use platform::{grpc, trace};
use shared_types::payments::Purpose;
use shared_types::{Currency, Money};
use tonic::{Request, Response, Status};

use crate::capture::{self, Capture, Known};
use crate::domain::Token;
use crate::house::House;
use crate::refund::{self, Refund, Refunded};
use crate::store::attempts::State;

/// Implements both the client trait and the gRPC server.
#[derive(Clone)]
pub struct InProcess(pub House);

/// More than this in one payment is a mistake.
pub const MAX_MINOR: i64 = 1_000_000_000_000;
const MAX_REASON_CHARS: usize = 500;

fn money(checks: &mut Checks, minor: i64, currency: &str) -> Option<Money> {
    let in_range = (1..=MAX_MINOR).contains(&minor);
    checks.ensure(in_range, "amount_minor", "out_of_range", "must be above zero");
    let currency: Currency = checks.parse("currency", currency)?;
    in_range.then(|| Money::new(minor, currency))
}

fn refused(checks: Checks) -> Status {
    let errors = checks.into_errors();
    let words: Vec<String> = errors.iter().map(|e| format!("{} {}", e.field, e.message)).collect();
    let mut error = ApiError::invalid(errors);
    error.detail = words.join("; ");
    error.into()
}

fn parse_capture(house: &House, request: &CaptureRequest) -> Result<Capture, Status> {
    let mut checks = Checks::new();
    let attempt_id = checks.parse("attempt_id", &request.attempt_id);
    let order_id = checks.parse("order_id", &request.order_id);
    let money = money(&mut checks, request.amount_minor, &request.currency);
    let known = house.gateways.knows_method(&request.method_type);
    checks.ensure(known, "method_type", "unknown", "is no method that a provider takes");
    let token = Token::parse(&request.token);
    if let Err(error) = &token {
        checks.fail("token", "invalid", error.to_string());
    }
    match (attempt_id, order_id, money, token) {
        (Some(attempt_id), Some(order_id), Some(money), Ok(token)) if checks.is_empty() => {
            Ok(Capture {
                attempt_id,
                payment_id: None,
                order_id,
                money,
                token,
                method: request.method_type.clone(),
                purpose: Purpose::Order,
                manual: false,
                buyer: None,
                country: None,
                return_url: None,
                fingerprint: None,
            })
        }
        _ => Err(refused(checks)),
    }
}

fn parse_refund(request: &RefundRequest) -> Result<Refund, Status> {
    let mut checks = Checks::new();
    let refund_id = checks.parse("refund_id", &request.refund_id);
    let order_id = checks.parse("order_id", &request.order_id);
    let money = money(&mut checks, request.amount_minor, &request.currency);
    let reason = checks.text("reason", &request.reason, 0..=MAX_REASON_CHARS);
    match (refund_id, order_id, money) {
        (Some(refund_id), Some(order_id), Some(money)) if checks.is_empty() => {
            let (fingerprint, audit) = (None, None);
            Ok(Refund { refund_id, order_id, money, reason, fingerprint, audit })
        }
        _ => Err(refused(checks)),
    }
}

fn capture_response(known: Option<Known>) -> CaptureResponse {
    let Some(known) = known else { return CaptureResponse::default() };
    let outcome = match known.state {
        State::Captured => CaptureOutcome::Captured,
        State::Declined => CaptureOutcome::Declined,
        State::NotSent | State::Voided => CaptureOutcome::NotSent,
        State::Running
        | State::Unknown
        | State::Review
        | State::RequiresAction
        | State::Authorized => CaptureOutcome::Pending,
    };
    CaptureResponse {
        outcome: outcome.into(),
        payment_id: known.payment_id.to_string(),
        decline_code: known.decline_code.unwrap_or_default(),
        known: true,
    }
}

fn refund_response(refunded: Refunded) -> RefundResponse {
    let (outcome, refundable_minor) = match refunded {
        Refunded::Done => (RefundOutcome::Refunded, 0),
        Refunded::Pending => (RefundOutcome::RefundPending, 0),
        Refunded::TooMuch { refundable_minor } => (RefundOutcome::RefundTooMuch, refundable_minor),
        Refunded::NothingCaptured => (RefundOutcome::NothingCaptured, 0),
    };
    RefundResponse { outcome: outcome.into(), refundable_minor }
}

#[async_trait]
impl PaymentsClient for InProcess {
    async fn capture(&self, request: CaptureRequest) -> Result<CaptureResponse, Status> {
        let input = parse_capture(&self.0, &request)?;
        Ok(capture_response(Some(capture::capture(&self.0, input).await?)))
    }

    async fn get_attempt(&self, request: GetAttemptRequest) -> Result<CaptureResponse, Status> {
        let mut checks = Checks::new();
        let Some(id) = checks.parse("attempt_id", &request.attempt_id) else {
            return Err(refused(checks));
        };
        Ok(capture_response(capture::find_attempt(&self.0, id).await?))
    }

    async fn refund(&self, request: RefundRequest) -> Result<RefundResponse, Status> {
        let input = parse_refund(&request)?;
        Ok(refund_response(refund::refund(&self.0, input).await?))
    }
}

/// Authenticates a call and runs it under the caller's trace.
macro_rules! served {
    ($self:ident, $request:ident, $method:ident) => {{
        let verifier = &$self.0.ctx.verifier;
        grpc::service_caller(verifier, $request.metadata()).await?;
        let context = grpc::trace_of($request.metadata());
        let work = PaymentsClient::$method($self, $request.into_inner());
        trace::within(context, work).await.map(Response::new)
    }};
}

#[async_trait]
impl Payments for InProcess {
    async fn capture(
        &self,
        request: Request<CaptureRequest>,
    ) -> Result<Response<CaptureResponse>, Status> {
        served!(self, request, capture)
    }

    async fn get_attempt(
        &self,
        request: Request<GetAttemptRequest>,
    ) -> Result<Response<CaptureResponse>, Status> {
        served!(self, request, get_attempt)
    }

    async fn refund(
        &self,
        request: Request<RefundRequest>,
    ) -> Result<Response<RefundResponse>, Status> {
        served!(self, request, refund)
    }
}
