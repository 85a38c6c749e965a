//! Exact money.
//!
//! Inside, money is a count of the currency's minor units. On the wire it is a
//! JSON number with exactly the currency's digits (`129.50`), written and read
//! as text, so no float ever carries it.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Currencies of ISO 4217 with two decimal digits.
const TWO_DIGITS: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL \
BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP \
GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR \
LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN \
PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB \
TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG";
const NO_DIGITS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
const THREE_DIGITS: &str = "BHD IQD JOD KWD LYD OMR TND";

/// An ISO 4217 currency code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    pub const USD: Currency = Currency(*b"USD");
    pub const EUR: Currency = Currency(*b"EUR");
    pub const GBP: Currency = Currency(*b"GBP");
    pub const JPY: Currency = Currency(*b"JPY");
    pub const KWD: Currency = Currency(*b"KWD");

    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimal digits an amount in this currency has: 0, 2 or 3.
    pub fn digits(self) -> u8 {
        if NO_DIGITS.contains(self.code()) {
            0
        } else if THREE_DIGITS.contains(self.code()) {
            3
        } else {
            2
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The text is no ISO 4217 code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotACurrency;

impl fmt::Display for NotACurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be an ISO 4217 code such as USD")
    }
}
impl std::error::Error for NotACurrency {}

impl FromStr for Currency {
    type Err = NotACurrency;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let code: [u8; 3] = s.as_bytes().try_into().map_err(|_| NotACurrency)?;
        let known = code.iter().all(u8::is_ascii_uppercase)
            && [TWO_DIGITS, NO_DIGITS, THREE_DIGITS].iter().any(|list| list.contains(s));
        if known { Ok(Currency(code)) } else { Err(NotACurrency) }
    }
}

crate::text::string_type!(Currency, "ISO 4217 currency code");

/// An exact decimal number as it travels: digits and a scale, no currency yet.
///
/// `25`, `25.0` and `25.00` are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amount {
    units: i64,
    scale: u8,
}

/// Why a number cannot be an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAnAmount {
    /// Not a plain decimal number.
    Syntax,
    /// Beyond what 64 bits of minor units hold.
    Range,
    /// More decimal digits than the currency has.
    Digits,
}

impl fmt::Display for NotAnAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotAnAmount::Syntax => "must be a plain decimal number such as 129.50",
            NotAnAmount::Range => "is too large",
            NotAnAmount::Digits => "has more decimal digits than its currency",
        })
    }
}
impl std::error::Error for NotAnAmount {}

impl Amount {
    /// `units` of 10^-`scale` each.
    pub fn new(units: i64, scale: u8) -> Self {
        Amount { units, scale }
    }

    pub fn is_negative(self) -> bool {
        self.units < 0
    }

    pub fn is_zero(self) -> bool {
        self.units == 0
    }

    /// The same number as money, refused when it needs digits the currency lacks.
    pub fn in_currency(self, currency: Currency) -> Result<Money, NotAnAmount> {
        let (mut units, mut scale) = (self.units, self.scale);
        while scale > currency.digits() {
            if units % 10 != 0 {
                return Err(NotAnAmount::Digits);
            }
            units /= 10;
            scale -= 1;
        }
        while scale < currency.digits() {
            units = units.checked_mul(10).ok_or(NotAnAmount::Range)?;
            scale += 1;
        }
        Ok(Money { minor: units, currency })
    }

    fn reduced(self) -> (i64, u8) {
        let (mut units, mut scale) = (self.units, self.scale);
        while scale > 0 && units % 10 == 0 {
            units /= 10;
            scale -= 1;
        }
        (units, scale)
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.reduced() == other.reduced()
    }
}
impl Eq for Amount {}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = self.units.unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

impl FromStr for Amount {
    type Err = NotAnAmount;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (negative, body) = match s.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, s),
        };
        let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
        let plain = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        let complete = !whole.is_empty() && body.contains('.') != fraction.is_empty();
        if !complete || !plain(whole) || !plain(fraction) {
            return Err(NotAnAmount::Syntax);
        }
        if fraction.len() > 12 {
            return Err(NotAnAmount::Digits);
        }
        let units: i64 = format!("{whole}{fraction}").parse().map_err(|_| NotAnAmount::Range)?;
        Ok(Amount { units: if negative { -units } else { units }, scale: fraction.len() as u8 })
    }
}

impl serde::Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(s)
    }
}

impl<'de> serde::Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // The name by which `serde_json` knows that its own text is wanted.
        d.deserialize_newtype_struct("$serde_json::private::RawValue", AmountVisitor)
    }
}

/// Takes the digits as they stand in the text. A struct flattened into another
/// gets its numbers only after serde has made floats of them; these are taken
/// while a float holds three decimals exactly.
struct AmountVisitor;

impl<'de> Visitor<'de> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let raw = Box::<RawValue>::deserialize(MapAccessDeserializer::new(map))?;
        raw.get().parse().map_err(serde::de::Error::custom)
    }

    fn visit_newtype_struct<D: serde::Deserializer<'de>>(
        self,
        d: D,
    ) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.abs() >= 1e12 {
            return Err(E::custom(NotAnAmount::Range));
        }
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Amount::new(number, 0))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let units = number.try_into().map_err(|_| E::custom(NotAnAmount::Range))?;
        Ok(Amount::new(units, 0))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Amount {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Number)
            .description(Some("Exact decimal with the currency's digits"))
            .into()
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Amount {}

/// So many minor units of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    pub minor: i64,
    pub currency: Currency,
}

impl Money {
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Money { minor, currency }
    }

    pub const fn zero(currency: Currency) -> Self {
        Money { minor: 0, currency }
    }

    pub fn amount(self) -> Amount {
        Amount { units: self.minor, scale: self.currency.digits() }
    }

    /// Sum of two amounts of the same currency; `None` on overflow or when the
    /// currencies differ.
    pub fn plus(self, other: Money) -> Option<Money> {
        (self.currency == other.currency).then_some(())?;
        Some(Money { minor: self.minor.checked_add(other.minor)?, ..self })
    }

    pub fn times(self, qty: i64) -> Option<Money> {
        Some(Money { minor: self.minor.checked_mul(qty)?, ..self })
    }

    /// `rate_ppm` millionths of this amount, rounded half-even to the minor unit.
    pub fn share_ppm(self, rate_ppm: i64) -> Money {
        const WHOLE: i128 = 1_000_000;
        let product = i128::from(self.minor) * i128::from(rate_ppm);
        let (quotient, rest) = (product.div_euclid(WHOLE), product.rem_euclid(WHOLE));
        let up = rest * 2 > WHOLE || (rest * 2 == WHOLE && quotient % 2 != 0);
        Money { minor: (quotient + i128::from(up)) as i64, ..self }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_numbers_are_equal_however_written() {
        let of = |t: &str| serde_json::from_str::<Amount>(t).unwrap();
        assert_eq!(of("25"), of("25.00"));
        assert_eq!(of("25.0").in_currency(Currency::USD).unwrap().minor, 2_500);
        assert_ne!(of("25"), of("25.01"));
    }

    #[test]
    fn digits_beyond_the_currency_are_refused() {
        let of = |t: &str| t.parse::<Amount>().unwrap();
        assert_eq!(of("1.234").in_currency(Currency::USD), Err(NotAnAmount::Digits));
        assert_eq!(of("1.230").in_currency(Currency::USD).unwrap().minor, 123);
        assert_eq!(of("1.5").in_currency(Currency::JPY), Err(NotAnAmount::Digits));
        assert_eq!(of("1.234").in_currency(Currency::KWD).unwrap().minor, 1_234);
    }

    #[test]
    fn odd_spellings_are_refused() {
        for bad in ["\"25\"", "1e2", "null", "true", "[]"] {
            assert!(serde_json::from_str::<Amount>(bad).is_err(), "{bad}");
        }
        for bad in ["", ".5", "5.", "-", "1,5", "+1"] {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flattened_amount_is_exact_or_refused() {
        #[derive(Deserialize)]
        struct Inner {
            amount: Amount,
        }
        #[derive(Deserialize)]
        struct Outer {
            #[serde(flatten)]
            inner: Inner,
        }
        let of = |amount: &str| {
            let text = format!(r#"{{"amount":{amount}}}"#);
            serde_json::from_str::<Outer>(&text).map(|outer| outer.inner.amount)
        };
        for exact in ["129.50", "-0.005", "0", "-7", "999999999999.999", "9007199254740993"] {
            assert_eq!(of(exact).unwrap(), exact.parse().unwrap(), "{exact}");
        }
        for refused in ["99999999999999.99", "9223372036854775808", "1e-13", "\"25\"", "null"] {
            assert!(of(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn money_prints_the_digits_of_its_currency() {
        let text = |minor, c| serde_json::to_string(&Money::new(minor, c).amount()).unwrap();
        assert_eq!(text(12_950, Currency::USD), "129.50");
        assert_eq!(text(5, Currency::USD), "0.05");
        assert_eq!(text(-5, Currency::KWD), "-0.005");
        assert_eq!(text(500, Currency::JPY), "500");
    }

    #[test]
    fn halves_round_to_even() {
        let share = |minor, ppm| Money::new(minor, Currency::USD).share_ppm(ppm).minor;
        assert_eq!(share(10, 50_000), 0); // 0.5 → 0
        assert_eq!(share(30, 50_000), 2); // 1.5 → 2
        assert_eq!(share(50, 50_000), 2); // 2.5 → 2
        assert_eq!(share(999, 200_000), 200);
    }

    #[test]
    fn unknown_currencies_are_refused() {
        for bad in ["usd", "US", "USDX", "XXX", "D A", "  U"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad}");
        }
        assert_eq!("JPY".parse::<Currency>().unwrap().digits(), 0);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(minor in any::<i32>(), c in 0usize..3) {
            let currency = [Currency::USD, Currency::JPY, Currency::KWD][c];
            let money = Money::new(i64::from(minor), currency);
            let text = serde_json::to_string(&money.amount()).unwrap();
            let back: Amount = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.in_currency(currency).unwrap(), money);
        }
    }
}
