//! Lines for orders, in process and over a real channel.

use contracts::clients::CartClient;
use contracts::clients::remote::Remote;
use contracts::generated::DESCRIPTORS;
use contracts::generated::bellavista::cart::v1::GetLinesRequest;
use contracts::generated::bellavista::cart::v1::carts_client::CartsClient;
use platform::grpc::server::Routes;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::shop::{shop, usd};

#[tokio::test]
async fn orders_read_the_lines_of_their_own_customers_cart_only() {
    let shop = shop().await;
    shop.sell(&[("A", usd(100)), ("b", usd(100))]).await;
    let (guest, token) = shop.guest();
    shop.add(&token, "a", 2).await.expect(201);
    shop.add(&token, "B", 1).await.expect(201);
    let (_, stranger) = shop.guest();
    let request = GetLinesRequest {
        cart_id: shop.cart(&token).await.id.to_string(),
        owner: format!("guest:{guest}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut routes = Routes::new(DESCRIPTORS).unwrap();
    for mount in std::mem::take(&mut shop.service.lock().unwrap().grpc) {
        routes.mount("bellavista.cart.v1.Carts", mount);
    }
    let end = CancellationToken::new();
    shop.bench.ctx.lifecycle.spawn("grpc", routes.serve(listener, end.clone()));
    let ctx = &shop.bench.ctx;
    let remote = Remote::new(&address, ctx.issuer.clone(), ctx.clock.clone(), "orders").unwrap();
    let clients: [&dyn CartClient; 2] = [&*shop.carts, &remote];
    for client in clients {
        let answer = client.get_lines(request.clone()).await.unwrap();
        assert!(answer.found);
        let lines: Vec<_> = answer.lines.iter().map(|l| (l.sku.as_str(), l.qty)).collect();
        assert_eq!(lines, [("A", 2), ("b", 1)]);
        let foreign = GetLinesRequest {
            cart_id: shop.cart(&stranger).await.id.to_string(),
            ..request.clone()
        };
        assert!(!client.get_lines(foreign).await.unwrap().found);
        let bad = GetLinesRequest { owner: "service:x".to_owned(), ..request.clone() };
        assert_eq!(client.get_lines(bad).await.unwrap_err().code(), Code::InvalidArgument);
        let bad = GetLinesRequest { cart_id: "x".to_owned(), ..request.clone() };
        assert_eq!(client.get_lines(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let mut bare = CartsClient::connect(address).await.unwrap();
    assert_eq!(bare.get_lines(request).await.unwrap_err().code(), Code::Unauthenticated);
    end.cancel();
}
