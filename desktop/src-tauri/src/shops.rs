//! The shops this console knows and the one it is signed in to. No secrets.

use std::{fs, io, path::PathBuf};

use desktop_bridge::KnownShop;
use serde::{Deserialize, Serialize};
use shared_types::Role;

use crate::config::write_privately;

/// How many shops are remembered; the longest unused falls off.
const LIMIT: usize = 8;

/// Who is signed in where, without any token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    pub shop: KnownShop,
    pub roles: Vec<Role>,
}

/// The remembered shops, most recent first, kept in one small file.
#[derive(Debug)]
pub struct Shops {
    file: PathBuf,
    kept: Kept,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Kept {
    shops: Vec<KnownShop>,
    current: Option<Current>,
}

impl Shops {
    /// A file that cannot be read counts as none: signing in anew mends it.
    pub fn open(file: PathBuf) -> Self {
        let kept = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|why| {
                tracing::warn!(file = %file.display(), %why, "remembered shops are unreadable");
                Kept::default()
            }),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(why) => {
                tracing::warn!(file = %file.display(), %why, "remembered shops are unreadable");
                Kept::default()
            }
        };
        Shops { file, kept }
    }

    pub fn known(&self) -> &[KnownShop] {
        &self.kept.shops
    }

    pub fn current(&self) -> Option<&Current> {
        self.kept.current.as_ref()
    }

    /// Somebody has signed in.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn signed_in(&mut self, current: Current) -> io::Result<()> {
        self.kept.shops.retain(|shop| shop.url != current.shop.url);
        self.kept.shops.insert(0, current.shop.clone());
        self.kept.shops.truncate(LIMIT);
        self.kept.current = Some(current);
        self.save()
    }

    /// Nobody is signed in any more; the shop stays known.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn signed_out(&mut self) -> io::Result<()> {
        self.kept.current = None;
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        write_privately(&self.file, &serde_json::to_vec_pretty(&self.kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Current {
        let shop = KnownShop { url: url.into(), email: "a@shop.test".into() };
        Current { shop, roles: vec![Role::Admin] }
    }

    #[test]
    fn the_last_shops_are_remembered_most_recent_first_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shops.json");
        let mut shops = Shops::open(file.clone());
        for n in 0..LIMIT + 3 {
            shops.signed_in(at(&format!("https://{n}.test"))).unwrap();
        }
        shops.signed_in(at("https://5.test")).unwrap();
        shops.signed_out().unwrap();

        let again = Shops::open(file);
        assert_eq!(again.known().len(), LIMIT);
        assert_eq!(again.known()[0].url, "https://5.test");
        assert_eq!(again.current(), None);
    }

    #[test]
    fn an_unreadable_file_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shops.json");
        fs::write(&file, "{").unwrap();
        assert!(Shops::open(file).known().is_empty());
    }
}
