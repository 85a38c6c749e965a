//! Asking again by node id.
//!
//! One subgraph has to say which type an id is of. It is this one, because
//! nobody shops without it; for types of other services it only names the type,
//! and the service itself says whether there is such a thing for the caller.

use async_graphql::{Context, ID, Interface, Object, Result};
use platform::graphql::NodeId;
use uuid::Uuid;

use super::product::Product;

/// What has an id of its own in the graph.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Unique over the whole graph."))]
pub enum Node {
    Product(Product),
    Order(Order),
    Cart(Cart),
    User(User),
    Payment(Payment),
}

macro_rules! known_elsewhere {
    ($($name:ident)*) => {$(
        /// Known elsewhere.
        pub struct $name {
            key: Uuid,
        }

        #[Object(unresolvable = "id")]
        impl $name {
            async fn id(&self) -> ID {
                NodeId::of(stringify!($name), self.key)
            }
        }
    )*};
}

known_elsewhere! { Order Cart User Payment }

/// What `id` names.
pub async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>> {
    let Some(node) = NodeId::parse(id) else { return Ok(None) };
    let Ok(key) = node.key.parse::<Uuid>() else { return Ok(None) };
    Ok(match node.kind {
        "Product" => super::find(ctx, key.into()).await?.map(Node::Product),
        "Order" => Some(Node::Order(Order { key })),
        "Cart" => Some(Node::Cart(Cart { key })),
        "User" => Some(Node::User(User { key })),
        "Payment" => Some(Node::Payment(Payment { key })),
        _ => None,
    })
}
