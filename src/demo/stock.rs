//! The cards: files as an operator gets them from an issuer, made from the seed, and what is remembered of their secrets so
//! that they can be searched for where they must not be.

use std::collections::{HashMap, HashSet};

use rand::Rng;
use rand::rngs::StdRng;

/// The card file of the examples, with which the day's stock begins.
const EXAMPLE: &str = include_str!("../../examples/cards/mts-100.csv");
const HEADER: &str = "serial,expires_on,pin,activation";
/// Secrets are told by so many letters and digits, blanks and dashes left out: nothing else looks like one by chance.
pub(super) const SECRET_LENGTH: usize = 16;

/// A card file to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CardFile {
    pub(super) product: &'static str,
    pub(super) name: String,
    pub(super) text: String,
    /// Rows that repeat cards of an earlier file.
    pub(super) repeated: usize,
}

/// All the day's cards.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    pub(super) files: Vec<CardFile>,
    /// How many different cards there are.
    pub(super) cards: usize,
    secrets: HashMap<String, [String; 2]>,
    needles: HashSet<[u8; SECRET_LENGTH]>,
}

impl Stock {
    /// Makes `plenty` cards of the product that does not run out and `few` of the one that does.
    pub(super) fn make(rng: &mut StdRng, plenty: usize, few: usize) -> Self {
        let example: Vec<&str> = EXAMPLE.lines().skip(1).filter(|line| !line.is_empty()).collect();
        // Issuers send cards again: the first rows of the second file are known already.
        let repeated = &example[..example.len().min(5)];
        let fresh = rows(rng, plenty.saturating_sub(example.len()));
        let second = repeated.iter().map(ToString::to_string).chain(fresh);
        let files = vec![
            file("mts-100", "mts-100.csv", example.iter().map(ToString::to_string), 0),
            file("mts-100", "mts-100-second.csv", second, repeated.len()),
            file("radio-300", "radio-300.csv", rows(rng, few), 0),
        ];
        let mut stock = Self {
            files,
            cards: 0,
            secrets: HashMap::new(),
            needles: HashSet::new(),
        };
        let all: Vec<String> = stock
            .files
            .iter()
            .flat_map(|file| file.text.lines().skip(1))
            .map(str::to_owned)
            .collect();
        all.iter().for_each(|row| stock.remember(row));
        stock.cards = stock.secrets.len();
        stock
    }

    fn remember(&mut self, row: &str) {
        let mut columns = row.split(',').map(str::to_owned);
        let (Some(serial), _, Some(pin), Some(activation)) =
            (columns.next(), columns.next(), columns.next(), columns.next())
        else {
            return;
        };
        self.needles
            .extend([&pin, &activation].into_iter().filter_map(|secret| squeezed(secret)));
        self.secrets.insert(serial, [pin, activation]);
    }

    /// Whether these are the secrets the card with this serial was imported with.
    pub(super) fn is_genuine(&self, serial: &str, pin: &str, activation: &str) -> bool {
        self.secrets
            .get(serial)
            .is_some_and(|known| known[0] == pin && known[1] == activation)
    }

    /// How many secrets stand in a text, blanks and dashes between their characters or not.
    pub(super) fn secrets_in(&self, text: &[u8]) -> usize {
        let mut found = 0;
        let mut window = [0_u8; SECRET_LENGTH];
        let mut filled = 0;
        for &byte in text {
            match byte {
                b' ' | b'-' => {}
                byte if byte.is_ascii_alphanumeric() => {
                    window.rotate_left(1);
                    window[SECRET_LENGTH - 1] = byte;
                    filled += 1;
                    found += usize::from(filled >= SECRET_LENGTH && self.needles.contains(&window));
                }
                _ => filled = 0,
            }
        }
        found
    }
}

fn squeezed(secret: &str) -> Option<[u8; SECRET_LENGTH]> {
    let bytes: Vec<u8> = secret.bytes().filter(u8::is_ascii_alphanumeric).collect();
    bytes.try_into().ok()
}

fn file(product: &'static str, name: &str, rows: impl IntoIterator<Item = String>, repeated: usize) -> CardFile {
    let mut text = format!("{HEADER}\n");
    rows.into_iter().for_each(|row| text.extend([row.as_str(), "\n"]));
    CardFile {
        product,
        name: name.to_owned(),
        text,
        repeated,
    }
}

fn rows(rng: &mut StdRng, count: usize) -> Vec<String> {
    let series = rng.random_range(1000..10_000);
    let digit = |rng: &mut StdRng| b'0' + rng.random_range(0..10_u8);
    let letter = |rng: &mut StdRng| b'A' + rng.random_range(0..26_u8);
    (0..count)
        .map(|at| {
            let pin = in_fours(rng, ' ', digit);
            let activation = in_fours(rng, '-', letter);
            format!("{series}-{at:05},2035-12-31,{pin},{activation}")
        })
        .collect()
}

fn in_fours(rng: &mut StdRng, between: char, mut next: impl FnMut(&mut StdRng) -> u8) -> String {
    let mut text = String::with_capacity(SECRET_LENGTH + 3);
    for at in 0..SECRET_LENGTH {
        if at > 0 && at % 4 == 0 {
            text.push(between);
        }
        text.push(char::from(next(rng)));
    }
    text
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_seed_makes_the_same_cards_and_their_secrets_are_found() {
        let stock = Stock::make(&mut StdRng::seed_from_u64(7), 100, 6);
        assert_eq!(stock.files, Stock::make(&mut StdRng::seed_from_u64(7), 100, 6).files);
        assert_ne!(stock.files, Stock::make(&mut StdRng::seed_from_u64(8), 100, 6).files);
        assert_eq!(stock.cards, 106);
        let row = stock.files[2].text.lines().nth(1).unwrap().to_owned();
        let columns: Vec<&str> = row.split(',').collect();
        let (serial, pin, activation) = (columns[0], columns[2], columns[3]);
        assert!(stock.is_genuine(serial, pin, activation) && !stock.is_genuine(serial, activation, pin));
        assert_eq!(stock.secrets_in(row.as_bytes()), 2);
        assert_eq!(stock.secrets_in(pin.replace(' ', "").as_bytes()), 1);
        assert_eq!(stock.secrets_in(format!("pin={activation}.").as_bytes()), 1);
        assert_eq!(stock.secrets_in(serial.as_bytes()), 0);
        assert_eq!(stock.secrets_in(b"8231 4410 7741 0932 and 2026-11-23T10:00:00Z"), 0);
    }
}
