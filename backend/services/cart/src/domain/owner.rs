//! Whose cart it is, and the id that follows from that.

use std::fmt;

use sha2::{Digest, Sha256};
use shared_types::{CartId, GuestId, UserId};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    User(UserId),
    Guest(GuestId),
}

impl Owner {
    /// The owner's one cart. The id follows from the owner, so that an empty
    /// cart has a stable id without being written down: a UUIDv7 of the
    /// owner's own time, whose other bits are a digest.
    pub fn cart_id(&self) -> CartId {
        let owner = match self {
            Owner::User(id) => id.0,
            Owner::Guest(id) => id.0,
        };
        let digest = Sha256::digest(format!("cart of {self}").as_bytes());
        let mut random = [0u8; 10];
        random.copy_from_slice(&digest[..10]);
        let mut millis = [0u8; 8];
        millis[2..].copy_from_slice(&owner.as_bytes()[..6]);
        let millis = u64::from_be_bytes(millis);
        CartId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Reads `user:<uuid>` or `guest:<uuid>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        let id: Uuid = id.parse().ok()?;
        match kind {
            "user" => Some(Owner::User(UserId(id))),
            "guest" => Some(Owner::Guest(GuestId(id))),
            _ => None,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::User(id) => write!(f, "user:{id}"),
            Owner::Guest(id) => write!(f, "guest:{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_one_cart_id_and_nobody_else_has_it() {
        let id: Uuid = "0199a0b1-c2d3-7000-8000-000000000001".parse().unwrap();
        let (user, guest) = (Owner::User(UserId(id)), Owner::Guest(GuestId(id)));
        assert_eq!(user.cart_id(), Owner::parse(&user.to_string()).unwrap().cart_id());
        assert_ne!(user.cart_id(), guest.cart_id());
        assert_eq!(user.cart_id().0.get_version_num(), 7);
        assert_eq!(user.cart_id().0.as_bytes()[..6], id.as_bytes()[..6]);
    }

    #[test]
    fn only_users_and_guests_own_carts() {
        for bad in ["", "user", "user:", "user:x", "service:orders", "admin:0199a0b1"] {
            assert_eq!(Owner::parse(bad), None, "{bad}");
        }
    }
}
