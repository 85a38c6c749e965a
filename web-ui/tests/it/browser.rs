//! A browser without scripts: keeps cookies, fills in forms, follows nothing by
//! itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt;
use web_ui::StorefrontConfig;

use crate::canned::Canned;

pub struct Browser {
    pub api: Arc<Canned>,
    shop: Router,
    /// Path and name to value.
    cookies: BTreeMap<(String, String), String>,
}

pub struct Shown {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Shown {
    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.headers["location"].to_str().unwrap()
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.text().contains(text), "{text:?} is not in:\n{}", self.body);
        self
    }

    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.text().contains(text), "{text:?} is in:\n{}", self.body);
        self
    }

    /// The markup without the comments between texts.
    fn text(&self) -> String {
        self.body.replace("<!>", "").replace("&#x27;", "'").replace("&quot;", "\"")
    }

    /// The value of the first hidden field of this name.
    pub fn hidden(&self, name: &str) -> String {
        let from = self
            .body
            .find(&format!("name=\"{name}\""))
            .unwrap_or_else(|| panic!("no field {name}"));
        let from = from + self.body[from..].find("value=\"").unwrap() + 7;
        let to = from + self.body[from..].find('"').unwrap();
        self.body[from..to].to_owned()
    }
}

impl Browser {
    pub fn new() -> Self {
        Self::with(StorefrontConfig { demo: true, ..StorefrontConfig::default() })
    }

    pub fn with(config: StorefrontConfig) -> Self {
        let api = Arc::new(Canned::default());
        let shop = web_ui::router(api.clone(), config);
        Browser { api, shop, cookies: BTreeMap::new() }
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|((_, n), _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(("/".to_owned(), name.to_owned()), value.to_owned());
    }

    pub async fn get(&mut self, path: &str) -> Shown {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Sends a form as it was filled in, with the token of this session.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        if self.cookie("bv_csrf").is_none() {
            self.get("/legal/terms").await;
        }
        let token = self.cookie("bv_csrf").unwrap().to_owned();
        let fields: Vec<_> = fields.iter().copied().chain([("csrf", token.as_str())]).collect();
        self.post_raw(path, &fields).await
    }

    pub async fn post_raw(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let encode = |text: &str| -> String {
            let plain = |b: u8| b.is_ascii_alphanumeric();
            text.bytes()
                .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
                .collect()
        };
        let body: Vec<_> =
            fields.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
        let request =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body.join("&"))).unwrap()).await
    }

    async fn send(&mut self, mut request: Request<Body>) -> Shown {
        let path = request.uri().path().to_owned();
        let fits =
            |scope: &str| scope == "/" || path == scope || path.starts_with(&format!("{scope}/"));
        let pairs: Vec<_> = self
            .cookies
            .iter()
            .rev()
            .filter(|((scope, _), _)| fits(scope))
            .map(|((_, n), v)| format!("{n}={v}"))
            .collect();
        if !pairs.is_empty() {
            request.headers_mut().insert("cookie", pairs.join("; ").parse().unwrap());
        }
        let response = self.shop.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for line in parts.headers.get_all("set-cookie") {
            self.keep(line.to_str().unwrap());
        }
        let body = axum::body::to_bytes(body, 1 << 22).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        Shown { status: parts.status, headers: parts.headers, body }
    }

    fn keep(&mut self, line: &str) {
        assert!(line.contains("HttpOnly") && line.contains("SameSite=Lax"), "{line}");
        let mut parts = line.split("; ");
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let path = parts.clone().find_map(|p| p.strip_prefix("Path=")).unwrap();
        let key = (path.to_owned(), name.to_owned());
        match parts.any(|p| p == "Max-Age=0") {
            true => self.cookies.remove(&key),
            false => self.cookies.insert(key, value.to_owned()),
        };
    }
}
