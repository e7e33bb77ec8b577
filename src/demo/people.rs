//! Who pays: names, addresses and meter readings as people enter them, Cyrillic, quotes, separators and all.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const SURNAMES: [&str; 16] = [
    "Иванов",
    "Петрова",
    "Сидоренко",
    "Кузнецов",
    "Ёлкина",
    "Щербаков",
    "Юсупов",
    "Ким",
    "Мухаметшина",
    "Орлов-Заречный",
    "Чайка",
    "Гагарин",
    "Достоевская",
    "Ломоносов",
    "Цой",
    "Эйхенвальд",
];
const INITIALS: [&str; 10] = ["А.", "Б.", "В.", "Г.", "Е.", "И.", "К.", "Н.", "С.", "Ю."];
const STREETS: [&str; 8] = [
    "Ленина",
    "Садовая",
    "1-я Парковая",
    "Мира",
    "Щорса",
    "Набережная",
    "9 Мая",
    "Космонавтов",
];
/// What somebody enters who has time, or bad intentions. A register must hold all of it and let none of it do harm.
const ODD: [&str; 6] = [
    "=HYPERLINK(\"http://evil.example\";\"Иванов\")",
    "ООО \"Ромашка; и сыновья\"",
    "+7 916 123-45-67",
    "-Ёж-",
    "@Ivanov",
    "Иванов\u{a0}И.\u{2009}И. «младший» 🏠",
];

/// A payer's name.
pub(super) fn payer(rng: &mut StdRng) -> String {
    if rng.random_ratio(1, 25) {
        return one_of(rng, &ODD).to_owned();
    }
    format!(
        "{} {} {}",
        one_of(rng, &SURNAMES),
        one_of(rng, &INITIALS),
        one_of(rng, &INITIALS)
    )
}

/// A name as a payee has it in its own data.
pub(super) fn tenant(rng: &mut StdRng) -> String {
    format!("{} {}", one_of(rng, &SURNAMES), one_of(rng, &INITIALS))
}

/// Where a payer lives.
pub(super) fn address(rng: &mut StdRng) -> String {
    format!(
        "ул. {}, д. {}, кв. {}",
        one_of(rng, &STREETS),
        rng.random_range(1..180),
        rng.random_range(1..400)
    )
}

/// What a water meter shows.
pub(super) fn cubic_metres(rng: &mut StdRng) -> String {
    format!("{:05}", rng.random_range(0..100_000))
}

/// What a heat meter shows.
pub(super) fn gigacalories(rng: &mut StdRng) -> String {
    format!("{},{:03}", rng.random_range(0..1000), rng.random_range(0..1000))
}

/// An account of so many digits.
pub(super) fn account(rng: &mut StdRng, digits: u32) -> String {
    (0..digits)
        .map(|_| char::from(b'0' + rng.random_range(0..10_u8)))
        .collect()
}

/// One of some, of which there is at least one.
pub(super) fn one_of<'a>(rng: &mut StdRng, all: &[&'a str]) -> &'a str {
    all.choose(rng).copied().unwrap_or_default()
}
