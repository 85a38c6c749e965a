//! What is documented is mounted, and the other way round.

use e2e::api::Api;
use e2e::shop::Shop;
use reqwest::Method;

#[tokio::test]
async fn every_documented_operation_is_mounted() -> anyhow::Result<()> {
    let api = Api::new(Shop::shared().await?);
    let document = api.get("/api/v1/openapi.json").await?.expect(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut seen = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let concrete = path
            .split('/')
            .map(|s| if s.starts_with('{') { "0199aaaa-0000-7000-8000-000000000000" } else { s })
            .collect::<Vec<_>>()
            .join("/");
        for method in operations.as_object().unwrap().keys() {
            let Ok(verb) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let answer = api.send(verb, &concrete, &[], None).await?;
            let mounted = answer.status.as_u16() != 405 && answer.code() != "request.no_route";
            assert!(mounted, "{method} {path} is documented but not mounted: {}", answer.body);
            assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.body);
            let declared = &operations[method]["responses"][answer.status.as_str()];
            assert!(declared.is_object(), "{method} {path} answers {} undocumented", answer.status);
            seen += 1;
        }
        let odd = api.send(Method::PATCH, &concrete, &[], None).await?;
        assert_eq!(odd.expect(405).code(), "request.method", "{path}");
    }
    assert!(seen >= 25, "only {seen} operations");
    Ok(())
}

#[tokio::test]
async fn every_answer_carries_trace_and_correlation() -> anyhow::Result<()> {
    let api = Api::new(Shop::shared().await?);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [("traceparent", parent.as_str()), ("Correlation-Id", "till-7")];
    for path in ["/api/v1/products", "/api/v1/orders/none", "/api/v1/no/such"] {
        let answer = api.send(Method::GET, path, &headers, None).await?;
        assert!(answer.header("traceparent").contains(trace), "{path}");
        assert_eq!(answer.header("x-correlation-id"), "till-7", "{path}");
    }
    Ok(())
}
