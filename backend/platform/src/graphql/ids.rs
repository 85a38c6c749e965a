//! Node ids: unique over the whole graph, because they name the type too.

use std::fmt;
use std::str::FromStr;

use async_graphql::ID;

/// `Product:0199…`: a type of the graph and the id within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeId<'a> {
    pub kind: &'a str,
    pub key: &'a str,
}

/// Longer than any id there is.
const MAX_CHARS: usize = 300;

impl<'a> NodeId<'a> {
    /// The node id of `key` in the type `kind`.
    pub fn of(kind: &str, key: impl fmt::Display) -> ID {
        ID(format!("{kind}:{key}"))
    }

    /// The parts of a node id; none when it is not one.
    pub fn parse(id: &'a str) -> Option<Self> {
        let (kind, key) = id.split_once(':').filter(|_| id.len() <= MAX_CHARS)?;
        let named = kind.starts_with(|c: char| c.is_ascii_uppercase())
            && kind.bytes().all(|b| b.is_ascii_alphanumeric());
        (named && !key.is_empty()).then_some(NodeId { kind, key })
    }

    /// What `id` names in the type `kind`: by node id, or as REST names it.
    /// None when it names something else.
    pub fn key_in<'i>(kind: &str, id: &'i str) -> Option<&'i str> {
        match NodeId::parse(id) {
            Some(node) => (node.kind == kind).then_some(node.key),
            None => Some(id).filter(|i| i.len() <= MAX_CHARS),
        }
    }

    /// [`NodeId::key_in`], read as `T`.
    pub fn read<T: FromStr>(kind: &str, id: &str) -> Option<T> {
        NodeId::key_in(kind, id)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_names_its_type_and_plain_ids_are_taken_too() {
        let id = NodeId::of("Product", "42");
        assert_eq!(id.as_str(), "Product:42");
        assert_eq!(NodeId::key_in("Product", &id), Some("42"));
        assert_eq!(NodeId::key_in("Order", &id), None);
        assert_eq!(NodeId::key_in("Product", "42"), Some("42"));
        assert_eq!(NodeId::read::<u8>("Product", "Product:7"), Some(7));
        assert_eq!(NodeId::read::<u8>("Product", "Product:x"), None);
    }

    #[test]
    fn what_is_no_node_id_has_no_parts() {
        for bad in
            ["", ":", "Product:", "product:1", "Pro duct:1", &format!("A:{}", "1".repeat(400))]
        {
            assert_eq!(NodeId::parse(bad), None, "{bad}");
        }
    }
}
