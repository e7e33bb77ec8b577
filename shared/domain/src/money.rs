//! Money in minor units. There is no floating point and no arithmetic that could lose a unit; an amount without its
//! currency cannot be printed.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::invalid::Invalid;
use crate::limits::AMOUNT_MAX;

/// What a payer pays or a payee gets: 1 to 9007199254740991 minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Amount(i64);

impl Amount {
    /// The amount of so many minor units.
    pub fn new(minor: i64) -> Result<Self, Invalid> {
        if (1..=AMOUNT_MAX).contains(&minor) {
            Ok(Self(minor))
        } else {
            Err(Invalid::new(
                "amount",
                format!("must be from 1 to {AMOUNT_MAX} minor units"),
            ))
        }
    }

    /// The number of minor units.
    pub fn minor(self) -> i64 {
        self.0
    }
}

/// What the payer paid on top: 0 to 9007199254740991 minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Fee(i64);

impl Fee {
    /// No fee.
    pub const NONE: Self = Self(0);

    /// The fee of so many minor units.
    pub fn new(minor: i64) -> Result<Self, Invalid> {
        if (0..=AMOUNT_MAX).contains(&minor) {
            Ok(Self(minor))
        } else {
            Err(Invalid::new(
                "fee",
                format!("must be from 0 to {AMOUNT_MAX} minor units"),
            ))
        }
    }

    /// The number of minor units.
    pub fn minor(self) -> i64 {
        self.0
    }
}

/// Reads an integer and nothing that only looks like one: `1.0` and `1e2` are refused, as the contract says.
struct MinorUnits;

impl de::Visitor<'_> for MinorUnits {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer number of minor units")
    }

    fn visit_i64<E: de::Error>(self, minor: i64) -> Result<i64, E> {
        Ok(minor)
    }

    fn visit_u64<E: de::Error>(self, minor: u64) -> Result<i64, E> {
        // Out of i64 is out of every range below as well, so it gets the same words.
        Ok(i64::try_from(minor).unwrap_or(i64::MAX))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(deserializer.deserialize_i64(MinorUnits)?).map_err(|refused| de::Error::custom(refused.why))
    }
}

impl<'de> Deserialize<'de> for Fee {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(deserializer.deserialize_i64(MinorUnits)?).map_err(|refused| de::Error::custom(refused.why))
    }
}

/// An ISO 4217 currency that has minor units (gold and test codes have none and are refused).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Reads a code in capital letters, for example `RUB`.
    pub fn parse(code: &str) -> Result<Self, Invalid> {
        let refused = || {
            Invalid::new(
                "currency",
                "must be an ISO 4217 code such as RUB, of a currency with minor units",
            )
        };
        let found = iso_currency::Currency::from_code(code).ok_or_else(refused)?;
        found.exponent().ok_or_else(refused)?;
        Ok(Self(found))
    }

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many digits follow the point: 2 for RUB, 0 for JPY, 3 for KWD.
    pub fn digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl std::str::FromStr for Currency {
    type Err = Invalid;

    fn from_str(code: &str) -> Result<Self, Invalid> {
        Self::parse(code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize_with(deserializer, "an ISO 4217 code", Self::parse)
    }
}

/// Minor units with a point and the currency's digits: 15000 in RUB is `150.00`, in JPY `15000`.
pub fn format_minor(minor: i64, currency: Currency) -> String {
    let mut text = String::new();
    append_minor(&mut text, minor, currency, '.');
    text
}

/// The same at the end of a text, with this decimal mark: registers have a million of them.
pub fn append_minor(text: &mut String, minor: i64, currency: Currency, mark: char) {
    if minor < 0 {
        text.push('-');
    }
    let mut unit = 10_u64.pow(currency.digits());
    // A string takes everything.
    let _ = write!(text, "{}", minor.unsigned_abs() / unit);
    if unit > 1 {
        text.push(mark);
    }
    while unit > 1 {
        unit /= 10;
        text.push(char::from(b'0' + (minor.unsigned_abs() / unit % 10) as u8));
    }
}

/// Reads an amount of major units as people and spreadsheets write it: `150`, `150.00`, `150,5`, `1 500.00`. Not more digits
/// than the currency has, and groups of three only; `None` = it is no amount. Never rounded.
pub fn parse_major(text: &str, currency: Currency) -> Option<Amount> {
    parse_sum(text, currency.digits() as usize)
}

/// The same of minor units: `15000`, `15 000`, without a fraction.
pub fn parse_minor(text: &str) -> Option<Amount> {
    parse_sum(text, 0)
}

fn parse_sum(text: &str, digits: usize) -> Option<Amount> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let has_point = whole.len() < text.len();
    if (has_point && fraction.is_empty()) || fraction.len() > digits || !is_number(fraction) {
        return None;
    }
    let is_blank = |c: char| matches!(c, ' ' | '\u{a0}' | '\u{202f}');
    let mut groups = whole.split(is_blank);
    let first = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    let grouped = !rest.is_empty();
    if first.is_empty() || (grouped && first.len() > 3) || !rest.iter().all(|group| group.len() == 3) {
        return None;
    }
    let all = [first, &rest.concat(), fraction, &"0".repeat(digits - fraction.len())].concat();
    is_number(&all)
        .then(|| all.parse().ok())?
        .and_then(|minor| Amount::new(minor).ok())
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_bounded_integers() {
        assert!(Amount::new(0).is_err());
        assert!(Amount::new(-1).is_err());
        assert!(Amount::new(AMOUNT_MAX + 1).is_err());
        assert_eq!(Amount::new(AMOUNT_MAX).unwrap().minor(), AMOUNT_MAX);
        assert_eq!(Fee::new(0).unwrap(), Fee::NONE);
        assert!(Fee::new(-1).is_err());
    }

    #[test]
    fn json_amounts_have_no_fraction_and_no_exponent() {
        assert_eq!(serde_json::from_str::<Amount>("15000").unwrap().minor(), 15000);
        for bad in [
            "0",
            "-5",
            "1.0",
            "1e2",
            "\"15\"",
            "null",
            "9007199254740992",
            "18446744073709551615",
            "1e400",
        ] {
            assert!(serde_json::from_str::<Amount>(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<Fee>("0").unwrap(), Fee::NONE);
        assert_eq!(serde_json::to_string(&Amount::new(7).unwrap()).unwrap(), "7");
    }

    #[test]
    fn currencies_are_known_and_divisible() {
        assert_eq!(Currency::parse("RUB").unwrap().digits(), 2);
        assert_eq!(Currency::parse("JPY").unwrap().digits(), 0);
        assert_eq!(Currency::parse("KWD").unwrap().digits(), 3);
        for bad in ["rub", "XAU", "ABC", "", "RUBB"] {
            assert!(Currency::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<Currency>("\"KZT\"").unwrap().code(), "KZT");
    }

    #[test]
    fn minor_units_are_printed_with_the_currencys_digits() {
        let of = |code| Currency::parse(code).unwrap();
        assert_eq!(format_minor(15000, of("RUB")), "150.00");
        assert_eq!(format_minor(5, of("RUB")), "0.05");
        assert_eq!(format_minor(-105, of("RUB")), "-1.05");
        assert_eq!(format_minor(15000, of("JPY")), "15000");
        assert_eq!(format_minor(15000, of("KWD")), "15.000");
        assert_eq!(format_minor(i64::MIN, of("RUB")), "-92233720368547758.08");
    }

    #[test]
    fn major_units_are_read_and_never_rounded() {
        let of = |text: &str, code: &str| parse_major(text, Currency::parse(code).unwrap()).map(Amount::minor);
        for (text, minor) in [
            ("150", 15_000),
            ("150.00", 15_000),
            ("150,5", 15_050),
            ("0.01", 1),
            ("1 500.00", 150_000),
            ("1\u{a0}500\u{202f}000", 150_000_000),
        ] {
            assert_eq!(of(text, "RUB"), Some(minor), "{text}");
        }
        assert_eq!((of("150", "JPY"), of("1.500", "KWD")), (Some(150), Some(1500)));
        for bad in [
            "",
            "0",
            "-5",
            "150.",
            ".5",
            "150.005",
            "1.500,00",
            "15 00",
            "1500 000",
            " 150",
            "150 ",
            "1e3",
            "٣",
            "92233720368547758.08",
            "150 RUB",
        ] {
            assert_eq!(of(bad, "RUB"), None, "{bad}");
        }
        assert_eq!(of("150.0", "JPY"), None);
    }
}
