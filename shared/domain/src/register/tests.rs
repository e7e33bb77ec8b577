//! Cut-offs through clock changes and after sleep; a closing by hand; the words against the schema.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::declaration::{RegisterFormat, RegisterProfile, Schedule, Zone};
use crate::money::Amount;

fn profile(schedule: Option<&str>, every_seconds: Option<u32>, zone: &str) -> RegisterProfile {
    RegisterProfile {
        schedule: schedule.map(|cron| Schedule::parse(cron).unwrap()),
        every_payments: None,
        every_seconds,
        time_zone: Zone::parse(zone).unwrap(),
        format: RegisterFormat::Csv,
        zip: false,
        age_recipients: vec![],
        mail_to: vec![],
        max_rows: None,
        max_bytes: None,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn times(cutoffs: impl IntoIterator<Item = Cutoff>) -> Vec<String> {
    cutoffs.into_iter().map(|cutoff| cutoff.at.to_string()).collect()
}

#[test]
fn states_are_those_of_the_schema() {
    let schema = include_str!("../../../../migrations/V4__registers.sql");
    let check = schema
        .split("check (state in (")
        .nth(1)
        .and_then(|rest| rest.split("))").next())
        .unwrap();
    let words: Vec<_> = check.split(',').map(|word| word.trim().trim_matches('\'')).collect();
    assert_eq!(words, RegisterState::ALL.map(RegisterState::as_str));
    for state in RegisterState::ALL {
        assert_eq!(RegisterState::parse(state.as_str()).unwrap(), state);
        assert!(!state.may_become(state) && !RegisterState::Mailed.may_become(state));
    }
    for kind in [RegisterKind::Regular, RegisterKind::Copy] {
        assert_eq!(RegisterKind::parse(kind.as_str()).unwrap(), kind);
    }
}

#[test]
fn nothing_is_due_before_its_time_and_at_it_it_is() {
    let nightly = profile(Some("0 0 * * *"), None, "Europe/Moscow");
    let last = at("2026-11-22T21:00:00Z");
    assert_eq!(next_cutoff(&nightly, last, at("2026-11-23T20:59:59.999Z")), None);
    let due = next_cutoff(&nightly, last, at("2026-11-23T21:00:00Z")).unwrap();
    assert_eq!((due.at, due.cause), (at("2026-11-23T21:00:00Z"), CutoffCause::Schedule));
    assert_eq!(next_cutoff(&nightly, due.at, due.at), None);
}

#[test]
fn missed_ones_are_closed_one_by_one() {
    let nightly = profile(Some("0 0 * * *"), None, "Europe/Moscow");
    let slept = cutoffs_due(&nightly, at("2026-11-20T21:00:00Z"), at("2026-11-23T22:00:00Z"));
    assert_eq!(
        times(slept),
        ["2026-11-21T21:00:00Z", "2026-11-22T21:00:00Z", "2026-11-23T21:00:00Z"]
    );
    let hourly = profile(None, Some(3600), "UTC");
    let slept = cutoffs_due(&hourly, at("2026-11-23T10:00:30Z"), at("2026-11-23T12:10:00Z"));
    assert_eq!(times(slept), ["2026-11-23T11:00:30Z", "2026-11-23T12:00:30Z"]);
}

#[test]
fn whichever_is_first_closes() {
    let both = profile(Some("0 12 * * *"), Some(5 * 3600), "UTC");
    let day = upcoming(&both, at("2026-11-23T00:00:00Z"), 4);
    assert_eq!(
        times(day.iter().copied())[..3],
        ["2026-11-23T05:00:00Z", "2026-11-23T10:00:00Z", "2026-11-23T12:00:00Z"]
    );
    assert_eq!(
        day[3],
        Cutoff {
            at: at("2026-11-23T17:00:00Z"),
            cause: CutoffCause::Interval
        }
    );
    let same = profile(Some("0 * * * *"), Some(3600), "UTC");
    assert_eq!(
        upcoming(&same, at("2026-11-23T00:00:00Z"), 1)[0].cause,
        CutoffCause::Schedule
    );
    assert!(upcoming(&profile(None, None, "UTC"), at("2026-11-23T00:00:00Z"), 3).is_empty());
}

#[test]
fn a_day_of_changing_clocks_has_one_register() {
    let berlin = profile(Some("30 2 * * *"), None, "Europe/Berlin");
    assert_eq!(
        times(upcoming(&berlin, at("2026-03-27T12:00:00Z"), 3)),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    assert_eq!(
        times(upcoming(&berlin, at("2026-10-24T12:00:00Z"), 2)),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
}

#[test]
fn payments_are_counted() {
    assert!(!count_due(99, 100) && count_due(100, 100) && count_due(101, 100));
}

fn paid(position: i64, second: i64, minor: i64, revoked: bool) -> OpenPayment {
    let accepted_at = Timestamp::from_second(second).unwrap();
    OpenPayment {
        position,
        accepted_at,
        amount: Amount::new(minor).unwrap(),
        revoked,
    }
}

#[test]
fn a_closing_takes_what_was_accepted_before_it() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let series = Series {
        last_hi: 10,
        last_sequence: 3,
        last_cutoff: at(100),
    };
    let open = [
        paid(17, 120, 5, false),
        paid(12, 110, 7, false),
        paid(15, 111, 9, true),
        paid(18, 200, 1, false),
    ];
    let closing = close(&series, at(200), open);
    let frozen = Frozen {
        sequence: 4,
        lo: 11,
        hi: 17,
        payment_count: 2,
        revoked_count: 1,
        total: 12,
        first_accepted_at: at(110),
        last_accepted_at: at(120),
    };
    assert_eq!(closing, Closing::Register(frozen));
    let after = series.after(at(200), &closing);
    assert_eq!(
        after,
        Series {
            last_hi: 17,
            last_sequence: 4,
            last_cutoff: at(200)
        }
    );
    assert_eq!(close(&after, at(200), open), Closing::Stale);
    assert_eq!(close(&after, at(201), [open[3]]), close(&after, at(201), open));
    assert_eq!(close(&series, at(150), [open[2]]), Closing::Empty);
    let huge = paid(11, 101, crate::limits::AMOUNT_MAX, false);
    let Closing::Register(sum) = close(&series, at(150), vec![huge; 2000]) else {
        panic!()
    };
    assert_eq!(sum.total, 2000 * i128::from(crate::limits::AMOUNT_MAX));
}

const CRONS: [&str; 7] = [
    "0 0 * * *",
    "30 2 * * *",
    "*/7 * * * *",
    "0 3 * * 1",
    "15 9,18 * * *",
    "0 0 29 2 *",
    "@hourly",
];
const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Moscow",
    "Europe/Berlin",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "America/St_Johns",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However often or seldom somebody looks, the same ranges are closed; moments rise strictly.
    #[test]
    fn cutoffs_do_not_depend_on_who_looks_when(
        cron in proptest::option::of(proptest::sample::select(&CRONS[..])), zone in proptest::sample::select(&ZONES[..]),
        every in proptest::option::of(600_u32..200_000), start in 1_760_000_000_i64..1_800_000_000,
        naps in proptest::collection::vec(1_i64..300_000, 1..8),
    ) {
        let profile = profile(cron, every, zone);
        let start = Timestamp::from_second(start).unwrap();
        let mut now = start;
        let mut closed = Vec::new();
        for nap in naps {
            now += SignedDuration::from_secs(nap);
            let last = closed.last().map_or(start, |cutoff: &Cutoff| cutoff.at);
            closed.extend(cutoffs_due(&profile, last, now));
        }
        prop_assert_eq!(&closed, &cutoffs_due(&profile, start, now).collect::<Vec<_>>());
        prop_assert_eq!(&closed, &upcoming(&profile, start, closed.len()));
        prop_assert!(closed.windows(2).all(|pair| pair[0].at < pair[1].at));
        prop_assert!(closed.iter().all(|cutoff| start < cutoff.at && cutoff.at <= now));
        let next = upcoming(&profile, closed.last().map_or(start, |cutoff| cutoff.at), 1);
        prop_assert!(next.iter().all(|cutoff| cutoff.at > now));
    }

    /// A daily cut-off comes once on every civil day of every zone, whatever its clocks do.
    #[test]
    fn a_daily_cutoff_comes_once_a_day(
        zone in proptest::sample::select(&ZONES[..]), hour in 0..24, minute in 0..60, start in 1_760_000_000_i64..1_800_000_000,
    ) {
        let daily = profile(Some(&format!("{minute} {hour} * * *")), None, zone);
        let days: Vec<_> = upcoming(&daily, Timestamp::from_second(start).unwrap(), 400)
            .into_iter()
            .map(|cutoff| cutoff.at.to_zoned(daily.time_zone.tz().clone()).date())
            .collect();
        prop_assert!(days.windows(2).all(|pair| pair[0].tomorrow().unwrap() == pair[1]));
    }
}
