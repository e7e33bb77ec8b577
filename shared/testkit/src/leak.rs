//! Secrets of cards searched for wherever they must not be: in every table of a test's database, its queues and events, its
//! metrics, its log, its mails, and what its processes and commands say. A stand does it when it is dropped, and the test that leaked fails.
//!
//! The secrets of tests are of a shape that comes up nowhere else ([`pin`], [`digits`]), and so are identities of age, so nobody
//! has to say which are searched for. They are found as they stand, in groups of four, and in hexadecimal or base64. What a terminal is answered,
//! and what a test has in hand, is not looked at: that is where they belong.

use std::io;
use std::sync::{LazyLock, Mutex, Once};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bus::BusSettings;
use regex::bytes::Regex;
use store::{Store, StoreError};

use crate::lock;

/// In every secret of letters.
const MARK: &str = "8231-secret-";
/// Before every secret of digits.
const DIGITS_MARK: &str = "823144";
/// Six of the twelve digits of every secret of digits, in groups or not.
const DIGITS: &str = "8231[ -]?44[0-9][0-9][ -]?[0-9]{4}([^0-9a-f]|$)";
/// Before the data of every identity of age: whoever has the workers' opens all cards.
const IDENTITY: &str = "AGE-SECRET-KEY-1";
/// The digits in hexadecimal.
const HEX_DIGITS: &str = "383233313434(3[0-9]){6}";

/// A secret of letters and digits.
pub fn pin(n: usize) -> String {
    format!("{MARK}{n:04}")
}

/// A secret of twelve digits, for `n` below a million; other products may have letters before it.
pub fn digits(n: usize) -> String {
    format!("{DIGITS_MARK}{n:06}")
}

/// The shape of all secrets, as a regular expression that the database understands as well.
fn shape() -> &'static str {
    static SHAPE: LazyLock<String> = LazyLock::new(|| {
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut ways = vec![DIGITS.to_owned(), HEX_DIGITS.to_owned()];
        for mark in [MARK, IDENTITY] {
            ways.extend([mark.to_owned(), hex(mark)]);
        }
        for mark in [MARK, DIGITS_MARK, IDENTITY] {
            ways.extend((0..3).map(|before| in_base64(mark, before)));
        }
        ways.join("|")
    });
    &SHAPE
}

/// What is always there of a mark in base64 when so many bytes of another triple come before it.
fn in_base64(mark: &str, before: usize) -> String {
    let mut bytes = vec![0; before];
    bytes.extend(mark.bytes());
    let text = STANDARD_NO_PAD.encode(&bytes);
    // The first characters mix in what comes before, the last one what comes after.
    let certain = bytes.len() * 8 / 6;
    let from = (before * 8).div_ceil(6);
    text[from..certain].replace('+', "[+]")
}

/// Whether any secret stands in a text.
pub fn is_in(text: &[u8]) -> bool {
    static SEARCHED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(&format!("(?-u){}", shape())).expect("the shape is a regular expression"));
    SEARCHED.is_match(text)
}

/// What was found on the way, as the places where.
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Searches something that passes by, and remembers the place if a secret is in it.
pub fn search(place: &str, text: &[u8]) {
    if is_in(text) {
        lock(&FOUND).push(place.to_owned());
    }
}

/// Searches every line that this process logs from now on.
pub fn watch_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| runtime::telemetry::start_log_to(Searched, Some("debug,tokio_postgres=info,hyper=info")));
}

/// A log nobody reads but the search. It gets whole events.
struct Searched;

impl io::Write for Searched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        search("the log of the test's process", line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The places where secrets were found: on the way until now, in this process's metrics, and in this database.
///
/// # Errors
/// When the database is away.
pub async fn places(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut places = std::mem::take(&mut *lock(&FOUND));
    if is_in(runtime::telemetry::render_metrics().as_bytes()) {
        places.push("the metrics of the test's process".to_owned());
    }
    let tables = store::invariants::rows_of_shape(store, shape()).await?;
    places.extend(
        tables
            .into_iter()
            .map(|(table, rows)| format!("{rows} rows of the table {table}")),
    );
    Ok(places)
}

/// The same for the queues of a namespace and the events that were kept.
///
/// # Errors
/// When the broker is away.
pub async fn places_at_broker(settings: &BusSettings) -> Result<Vec<String>, bus::BusError> {
    let kept = bus::peek::contents(settings).await?;
    Ok(kept
        .into_iter()
        .filter(|message| is_in(&message.body) || is_in(message.properties.as_bytes()))
        .map(|message| format!("a message in {}", message.queue))
        .collect())
}

/// Fails the test whose secrets were found anywhere.
///
/// # Panics
/// Where they were.
pub fn fail_for(places: &[String]) {
    assert!(places.is_empty(), "secrets of cards leaked into: {}", places.join("; "));
}

#[cfg(test)]
mod tests;
