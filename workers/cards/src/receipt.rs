//! The text to print for a card. It holds the card's secrets and is kept like one.

use contract::answer::Offer;
use domain::declaration::Product;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::desk::exposed;
use crate::vault::Details;

/// From how many digits on they are printed in groups.
const GROUPED_FROM: usize = 7;
/// How many digits a group has.
const GROUP: usize = 4;

/// The product's template filled in; without one a line for each field, with long numbers in groups a person can read off.
/// A template decides for itself: what it writes around a number may not bear blanks in it (`*111*{pin}#`).
pub(crate) fn receipt(product: &Product, offer: &Offer, serial: &str, details: &Details) -> SecretString {
    let product = Product {
        price: offer.price,
        currency: offer.currency,
        ..product.clone()
    };
    let fields = exposed(details);
    if product.receipt.is_some() {
        return product.receipt_text(serial, &fields).into();
    }
    let grouped: Vec<(&str, Zeroizing<String>)> = fields
        .iter()
        .map(|(name, value)| (*name, Zeroizing::new(in_groups(value))))
        .collect();
    let readable: Vec<(&str, &str)> = grouped.iter().map(|(name, value)| (*name, value.as_str())).collect();
    product.receipt_text(serial, &readable).into()
}

fn in_groups(value: &str) -> String {
    if value.len() < GROUPED_FROM || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.to_owned();
    }
    let mut grouped = String::with_capacity(value.len() + value.len() / GROUP);
    for (at, digit) in value.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::in_groups;

    #[test]
    fn long_numbers_are_grouped_and_nothing_else() {
        assert_eq!(in_groups("823144107741"), "8231 4410 7741");
        assert_eq!(in_groups("8231441077"), "8231 4410 77");
        for same in ["123456", "8231 4410 7741", "*111*8231#", "abcdefgh", ""] {
            assert_eq!(in_groups(same), same);
        }
    }
}
