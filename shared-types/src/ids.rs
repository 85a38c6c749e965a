//! Typed ids. All are UUIDv7 where Bellavista makes them, opaque to clients.

macro_rules! id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "db", derive(sqlx::Type), sqlx(transparent))]
        #[serde(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { self.0.fmt(f) }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> { s.parse().map($name) }
        }

        impl From<uuid::Uuid> for $name { fn from(id: uuid::Uuid) -> Self { $name(id) } }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .format(Some(utoipa::openapi::SchemaFormat::Custom("uuid".into())))
                    .into()
            }
        }
        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )+};
}

id! {
    /// A registered person.
    UserId,
    /// A visitor without account, named by the `bv_guest` cookie.
    GuestId,
    /// What a shopper sees.
    ProductId,
    /// What is sold; carries the sku.
    VariantId,
    CategoryId,
    CartId,
    CartItemId,
    OrderId,
    PaymentId,
    AttemptId,
    RefundId,
    EventId,
    SessionId,
    DeadLetterId,
    RedriveId,
}
