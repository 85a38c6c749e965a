//! Scalars and values that every subgraph writes alike.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value};
use shared_types::{Amount, Timestamp};

/// A moment in UTC as RFC 3339 writes it: `2026-11-20T10:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub Timestamp);

#[Scalar(name = "DateTime", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => match text.parse() {
                Ok(moment) => Ok(DateTime(moment)),
                Err(_) => Err(InputValueError::custom("is no moment such as 2026-11-20T10:00:00Z")),
            },
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl From<Timestamp> for DateTime {
    fn from(moment: Timestamp) -> Self {
        DateTime(moment)
    }
}

/// An exact decimal number, written as a string: `"129.50"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(pub Amount);

#[Scalar(name = "Decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => match text.parse() {
                Ok(amount) => Ok(Decimal(amount)),
                Err(error) => Err(InputValueError::custom(error)),
            },
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl From<Amount> for Decimal {
    fn from(amount: Amount) -> Self {
        Decimal(amount)
    }
}

/// A whole number that 32 bits may not hold, such as units of stock; exact in
/// a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Long(pub i64);

/// Beyond this, a reader of JSON may lose digits.
const EXACT: i64 = 1 << 53;

#[Scalar(name = "Long")]
impl ScalarType for Long {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            _ => return Err(InputValueError::expected_type(value)),
        };
        match number.filter(|n| (-EXACT..=EXACT).contains(n)) {
            Some(number) => Ok(Long(number)),
            None => Err(InputValueError::custom("is no whole number of at most 53 bits")),
        }
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}

/// An amount of one currency, with the currency's digits.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
#[graphql(shareable)]
pub struct Money {
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
}

impl Money {
    pub fn of(amount: Amount, currency: shared_types::Currency) -> Self {
        Money { amount: Decimal(amount), currency: currency.code().to_owned() }
    }
}

impl From<shared_types::Money> for Money {
    fn from(money: shared_types::Money) -> Self {
        Money::of(money.amount(), money.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_strings_with_the_digits_of_their_currency() {
        let price = Money::from(shared_types::Money::new(12_950, shared_types::Currency::USD));
        assert_eq!(price.amount.to_value(), Value::String("129.50".into()));
        assert_eq!(price.currency, "USD");
        assert!(Decimal::parse(Value::from(25)).is_err(), "a number may have lost digits");
        assert!(Decimal::parse(Value::String("1e3".into())).is_err());
        assert_eq!(
            Decimal::parse(Value::String("25".into())).unwrap(),
            Decimal("25.00".parse().unwrap())
        );
    }

    #[test]
    fn moments_read_back_as_they_were_written() {
        let moment = DateTime("2026-11-20T10:00:00Z".parse().unwrap());
        assert_eq!(DateTime::parse(moment.to_value()).unwrap(), moment);
        assert!(DateTime::parse(Value::String("tomorrow".into())).is_err());
    }
}
