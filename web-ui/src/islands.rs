//! The islands: scripts and WebAssembly that are built apart from the server
//! and read once, when it starts. Every page works without them.
//!
//! They are served below the hash of all of them together, so that browsers may
//! keep them for ever and their imports of each other stay relative.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path as Address, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::assets::{IMMUTABLE, fnv1a};
use crate::visit::Shop;

/// The largest file that is taken; an island is some hundred kilobytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
const MAX_FILES: usize = 32;

/// What was found. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Islands(Arc<Vec<File>>, String);

#[derive(Debug)]
struct File {
    name: String,
    content_type: &'static str,
    bytes: Bytes,
}

impl Islands {
    /// Reads the scripts and modules in `folder`; what is of another kind stays
    /// where it is.
    ///
    /// # Errors
    /// The folder or one of its files cannot be read, or there is too much of it.
    pub fn load(folder: &Path) -> std::io::Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(content_type) = content_type(&path) else { continue };
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
            let mut bytes = Vec::new();
            std::fs::File::open(&path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > MAX_FILE_BYTES || files.len() == MAX_FILES {
                return Err(std::io::Error::other(format!("{}: too much", path.display())));
            }
            files.push(File { name: name.to_owned(), content_type, bytes: bytes.into() });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let prints = files.iter().map(|f| format!("{}{:016x}", f.name, fnv1a(&f.bytes)));
        let version = format!("{:016x}", fnv1a(prints.collect::<String>().as_bytes()));
        Ok(Islands(Arc::new(files), version))
    }

    /// The address of the module that starts `island`, when all of it is there.
    pub fn start(&self, island: &str) -> Option<String> {
        let is_here = |tail: &str| {
            let name = format!("{island}{tail}");
            self.0.iter().any(|file| file.name == name)
        };
        let whole = [".start.js", ".js", "_bg.wasm"].into_iter().all(is_here);
        whole.then(|| format!("/assets/islands/{}/{island}.start.js", self.1))
    }
}

fn content_type(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "js" => Some("text/javascript; charset=utf-8"),
        "wasm" => Some("application/wasm"),
        _ => None,
    }
}

/// GET /assets/islands/{version}/{name}.
pub async fn serve(
    State(shop): State<Shop>,
    Address((version, name)): Address<(String, String)>,
) -> Response {
    let Islands(files, ours) = &shop.config().islands;
    let found = files.iter().find(|file| file.name == name && version == *ours);
    let Some(file) = found else {
        return (StatusCode::NOT_FOUND, "no such file").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, file.content_type),
        (header::CACHE_CONTROL, IMMUTABLE),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, file.bytes.clone()).into_response()
}
