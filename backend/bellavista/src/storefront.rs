//! The storefront in this process: its calls go straight to the API router.

use std::path::{Path, PathBuf};
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
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Storefront {
        public_url: String,
        assets: PathBuf,
    }
    let demo: Demo = config.section("demo")?;
    let storefront: Storefront = config.section("storefront")?;
    let given = storefront.public_url.trim_end_matches('/');
    let public_url = match given {
        "" => format!("http://{}", config.ground.http.socket()),
        given => given.to_owned(),
    };
    let islands = islands(&storefront.assets);
    let settings = web_ui::StorefrontConfig { demo: demo.enabled, public_url, islands };
    Ok(web_ui::router(Arc::new(InProcess(api)), settings))
}

/// The islands in `folder`: beside the program, else in the checkout that it was
/// built from. Pages are complete without them, so their absence is only noted.
fn islands(folder: &Path) -> web_ui::Islands {
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent).map(|place| place.join(folder));
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let found = beside.into_iter().chain([checkout]).find(|place| place.is_dir());
    let Some(found) = found else {
        tracing::info!(folder = %folder.display(), "no islands: pages reload instead");
        return web_ui::Islands::default();
    };
    web_ui::Islands::load(&found).unwrap_or_else(|error| {
        tracing::warn!(folder = %found.display(), %error, "islands cannot be read: pages reload instead");
        web_ui::Islands::default()
    })
}
