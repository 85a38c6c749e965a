//! Style, fonts and icon, compiled in and served under names that carry their
//! content's hash, so that browsers may keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const FAVICON: &str = include_str!("../assets/favicon.svg");
const STYLE: &str = concat!(
    include_str!("../assets/style/base.css"),
    include_str!("../assets/style/parts.css"),
    include_str!("../assets/style/forms.css"),
    include_str!("../assets/style/chrome.css"),
    include_str!("../assets/style/shelves.css"),
    include_str!("../assets/style/purchase.css"),
);
const FONTS: [(&str, &[u8]); 3] = [
    ("fraunces.woff2", include_bytes!("../assets/fonts/fraunces.woff2")),
    ("fraunces-italic.woff2", include_bytes!("../assets/fonts/fraunces-italic.woff2")),
    ("instrument-sans.woff2", include_bytes!("../assets/fonts/instrument-sans.woff2")),
];

struct Asset {
    /// The name pages use, without hash.
    name: &'static str,
    url: String,
    content_type: &'static str,
    bytes: Vec<u8>,
}

impl Asset {
    fn new(name: &'static str, content_type: &'static str, bytes: Vec<u8>) -> Self {
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "bin"));
        let url = format!("/assets/{stem}.{:016x}.{extension}", fnv1a(&bytes));
        Asset { name, url, content_type, bytes }
    }
}

/// Fonts first: the stylesheet names them by their hashed addresses.
static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let fonts = FONTS.map(|(name, bytes)| Asset::new(name, "font/woff2", bytes.to_vec()));
    let style = fonts.iter().fold(STYLE.to_owned(), |css, font| {
        css.replace(&format!("\"{}\"", font.name), &format!("\"{}\"", font.url))
    });
    let style = Asset::new("storefront.css", "text/css; charset=utf-8", style.into_bytes());
    fonts.into_iter().chain([style]).collect()
});

/// The hashed address of a file, by its plain name.
pub fn url(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("/assets/unknown", |asset| &asset.url)
}

pub async fn serve(Path(file): Path<String>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.url.strip_prefix("/assets/") == Some(&file));
    match found {
        Some(asset) => {
            let headers = [
                (header::CONTENT_TYPE, asset.content_type),
                (header::CACHE_CONTROL, IMMUTABLE),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, asset.bytes.as_slice()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "no such file").into_response(),
    }
}

pub async fn favicon() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, FAVICON).into_response()
}

/// FNV-1a, 64 bits: tells versions of our own files apart, no more.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stylesheet_names_fonts_by_hashed_addresses() {
        let style = ASSETS.iter().find(|a| a.name == "storefront.css").unwrap();
        let css = std::str::from_utf8(&style.bytes).unwrap();
        for (name, _) in FONTS {
            assert!(css.contains(url(name)), "{name}");
            assert!(!css.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
