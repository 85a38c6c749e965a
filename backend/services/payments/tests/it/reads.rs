//! What support reads, and the service over gRPC.

use contracts::clients::PaymentsClient;
use contracts::clients::remote::Remote;
use contracts::generated::bellavista::payments::v1::payments_client::PaymentsClient as Channel;
use contracts::generated::bellavista::payments::v1::{CaptureOutcome, GetAttemptRequest};
use serde_json::json;
use shared_types::{GuestId, Role, UserId};
use tonic::Code;
use tonic::service::RoutesBuilder;

use crate::shop::{Shop, attempt, capture, refund_id, serve};

#[tokio::test]
async fn support_and_services_read_a_payment_and_nobody_else() {
    let shop = Shop::open().await;
    let order = shop.order();
    let (_, paid) = shop.pay_once(order, "tok_ok").await;
    shop.refund(order, refund_id(), 1_050).await;
    let client = shop.bench.client(&shop.service);
    let path = format!("/payments/{}", paid.payment_id);
    let user: UserId = shop.bench.id();
    let support = shop.bench.token_for_user(user, &[Role::Support]);
    let answer = client.get(&path).bearer(&support).send().await.expect(200).value();
    let (at, changed) = (answer["createdAt"].clone(), answer["updatedAt"].clone());
    assert_eq!(
        answer,
        json!({"paymentId": paid.payment_id, "orderId": order, "amount": 100.0, "refundedAmount": 10.5,
            "currency": "USD", "status": "PARTIALLY_REFUNDED", "provider": "soap",
            "createdAt": at, "updatedAt": changed})
    );
    client.get(&path).bearer(&shop.bench.service_token("orders")).send().await.expect(200);
    let shopper = shop.bench.token_for_user(user, &[Role::Customer]);
    client.get(&path).bearer(&shopper).send().await.expect_problem(403, "auth.role_missing");
    let guest = shop.bench.guest_token(shop.bench.id::<GuestId>());
    client.get(&path).bearer(&guest).send().await.expect_problem(401, "auth.sign_in");
    client.get(&path).send().await.expect_problem(401, "auth.invalid_token");
    for nothing in [format!("/payments/{}", uuid::Uuid::now_v7()), "/payments/x".to_owned()] {
        client.get(&nothing).bearer(&support).send().await.expect(404);
    }
}

#[tokio::test]
async fn the_same_answers_come_over_grpc_for_services_only() {
    let mut shop = Shop::open().await;
    let mut routes = RoutesBuilder::default();
    for mount in shop.service.grpc.drain(..) {
        mount(&mut routes);
    }
    let address = format!("http://{}", serve(routes.routes().into_axum_router()).await);
    let ctx = &shop.bench.ctx;
    let remote = Remote::new(&address, ctx.issuer.clone(), ctx.clock.clone(), "orders").unwrap();
    let (order, id) = (shop.order(), attempt());
    let answer = remote.capture(capture(order, id, "tok_ok")).await.unwrap();
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.attempt(id).await, answer);
    let mut nobody = Channel::connect(address).await.unwrap();
    let request = GetAttemptRequest { attempt_id: id.to_string() };
    assert_eq!(
        nobody.get_attempt(request.clone()).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let mut request = tonic::Request::new(request);
    let user: UserId = shop.bench.id();
    let token = format!("Bearer {}", shop.bench.token_for_user(user, &[Role::Admin]));
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    assert_eq!(nobody.get_attempt(request).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_slow_capture_over_grpc_is_waited_for() {
    let mut shop = Shop::open().await;
    shop.simulator.control("slowMs", json!(2_500)).await;
    let mut routes = RoutesBuilder::default();
    for mount in shop.service.grpc.drain(..) {
        mount(&mut routes);
    }
    let address = format!("http://{}", serve(routes.routes().into_axum_router()).await);
    let ctx = &shop.bench.ctx;
    let remote = Remote::new(&address, ctx.issuer.clone(), ctx.clock.clone(), "orders").unwrap();
    let answer = remote.capture(capture(shop.order(), attempt(), "tok_slow")).await.unwrap();
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
}
