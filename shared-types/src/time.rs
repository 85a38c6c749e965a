//! Points in time: RFC 3339 UTC, to the microsecond (what PostgreSQL keeps).

use std::fmt;
use std::str::FromStr;

use ::time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// A UTC instant, microsecond resolution. Prints milliseconds when it has no
/// finer part, so that texts stay short and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "db", derive(sqlx::Type), sqlx(transparent))]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    pub fn new(at: OffsetDateTime) -> Self {
        let at = at.to_offset(UtcOffset::UTC);
        let micro = at.nanosecond() / 1_000 * 1_000;
        Timestamp(at.replace_nanosecond(micro).unwrap_or(at))
    }

    /// Seconds since the Unix epoch.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp(seconds).ok().map(Timestamp::new)
    }

    pub fn from_unix_millis(millis: i64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
            .ok()
            .map(Timestamp::new)
    }

    pub fn unix(self) -> i64 {
        self.0.unix_timestamp()
    }

    pub fn unix_millis(self) -> i64 {
        (self.0.unix_timestamp_nanos() / 1_000_000) as i64
    }

    pub fn into_inner(self) -> OffsetDateTime {
        self.0
    }

    pub fn plus(self, by: std::time::Duration) -> Self {
        Timestamp(self.0 + by)
    }

    pub fn minus(self, by: std::time::Duration) -> Self {
        Timestamp(self.0 - by)
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Timestamp) -> std::time::Duration {
        let gap: Duration = self.0 - earlier.0;
        gap.try_into().unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0;
        let (y, mo, d) = (at.year(), u8::from(at.month()), at.day());
        write!(f, "{y:04}-{mo:02}-{d:02}T{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())?;
        let micros = at.microsecond();
        match micros % 1_000 {
            0 => write!(f, ".{:03}Z", micros / 1_000),
            _ => write!(f, ".{micros:06}Z"),
        }
    }
}

impl FromStr for Timestamp {
    type Err = NotATime;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        OffsetDateTime::parse(s, &Rfc3339).map(Timestamp::new).map_err(|_| NotATime)
    }
}

/// The text is no RFC 3339 time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATime;

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be an RFC 3339 time such as 2026-11-20T10:15:00Z")
    }
}

impl std::error::Error for NotATime {}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::Custom("date-time".into())))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_as_it_was_read() {
        for text in ["2026-11-20T10:15:00.123Z", "2026-11-20T10:15:00.123456Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        assert_eq!(
            "2026-11-20T11:15:00+01:00".parse::<Timestamp>().unwrap().to_string(),
            "2026-11-20T10:15:00.000Z"
        );
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
