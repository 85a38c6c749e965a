//! The storefront in this process: its calls go straight to the API router.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use platform::config::Config;
use tower::ServiceExt;

/// Hands a request to the API without leaving the process.
struct InProcess(axum::Router);

#[async_trait::async_trait]
impl web_ui::Transport for InProcess {
    async fn call(&self, request: Request<Body>) -> Response<Body> {
        match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            // A router never fails; its error type has no values.
            Err(never) => match never {},
        }
    }
}

/// The pages over `api`.
pub fn router(api: axum::Router, config: &Config) -> anyhow::Result<axum::Router> {
    #[derive(serde::Deserialize)]
    struct Demo {
        enabled: bool,
    }
    let demo: Demo = config.section("demo")?;
    let settings = web_ui::StorefrontConfig { demo: demo.enabled, ..Default::default() };
    Ok(web_ui::router(Arc::new(InProcess(api)), settings))
}
