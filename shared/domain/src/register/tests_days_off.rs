//! Days off: what they move, what they skip, and that every payment still has its one cut-off.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::declaration::RegisterProfile;

fn declared(mut register: Value, calendar: Value) -> RegisterProfile {
    register["calendar"] = calendar;
    let profile: RegisterProfile = serde_json::from_value(register).unwrap();
    assert!(profile.days_off().is_some());
    profile
}

fn weekends() -> Value {
    json!({ "weekdays": ["sat", "sun"] })
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn shown(profile: &RegisterProfile, after: &str, n: usize) -> Vec<String> {
    let zone = profile.time_zone.tz();
    let local = |cutoff: Cutoff| cutoff.at.to_zoned(zone.clone()).strftime("%a %m-%d %H:%M").to_string();
    upcoming(profile, at(after), n).into_iter().map(local).collect()
}

// 4 January 2027 is a Monday.

#[test]
fn a_daily_cut_off_waits_for_the_next_working_day() {
    let nightly = json!({ "schedule": "0 0 * * *", "time_zone": "Europe/Moscow" });
    let moved = declared(nightly.clone(), weekends());
    assert_eq!(
        shown(&moved, "2027-01-07T12:00:00Z", 3),
        ["Fri 01-08 00:00", "Mon 01-11 00:00", "Tue 01-12 00:00"]
    );
    let mut skipping = nightly;
    skipping["on_day_off"] = json!("skip");
    let skipped = declared(skipping, weekends());
    assert_eq!(
        shown(&skipped, "2027-01-07T12:00:00Z", 9),
        shown(&moved, "2027-01-07T12:00:00Z", 9)
    );
}

#[test]
fn a_monthly_cut_off_is_moved_or_skipped() {
    // 1 May 2027 is a Saturday, 1 August a Sunday.
    let monthly = json!({ "schedule": "30 3 1 * *", "time_zone": "Europe/Moscow" });
    let moved = declared(monthly.clone(), weekends());
    assert_eq!(
        shown(&moved, "2027-04-10T00:00:00Z", 4),
        [
            "Mon 05-03 03:30",
            "Tue 06-01 03:30",
            "Thu 07-01 03:30",
            "Mon 08-02 03:30"
        ]
    );
    let mut skipping = monthly;
    skipping["on_day_off"] = json!("skip");
    assert_eq!(
        shown(&declared(skipping, weekends()), "2027-04-10T00:00:00Z", 3),
        ["Tue 06-01 03:30", "Thu 07-01 03:30", "Wed 09-01 03:30"]
    );
}

#[test]
fn holidays_are_dates_dates_of_every_year_and_working_saturdays() {
    let calendar = json!({
        "weekdays": ["sat", "sun"], "dates": ["2027-01-04", "01-05", "01-07", "2026-01-06"], "working": ["2027-01-09"],
    });
    let noon = declared(json!({ "schedule": "0 12 * * *" }), calendar.clone());
    assert_eq!(
        shown(&noon, "2027-01-01T13:00:00Z", 4),
        [
            "Wed 01-06 12:00",
            "Fri 01-08 12:00",
            "Sat 01-09 12:00",
            "Mon 01-11 12:00"
        ]
    );
    assert_eq!(
        serde_json::to_value(&noon).unwrap()["calendar"],
        calendar,
        "as it was written"
    );
}

#[test]
fn what_is_moved_comes_among_the_days_own() {
    let two = declared(json!({ "schedule": "0 10 * * 6,0" }), weekends());
    assert_eq!(
        shown(&two, "2027-01-04T10:00:00Z", 2),
        ["Mon 01-11 10:00", "Mon 01-18 10:00"]
    );
    let three = declared(json!({ "schedule": "0 9,18 * * 0,1,5" }), weekends());
    assert_eq!(
        shown(&three, "2027-01-08T10:00:00Z", 5),
        [
            "Fri 01-08 18:00",
            "Mon 01-11 09:00",
            "Mon 01-11 18:00",
            "Fri 01-15 09:00",
            "Fri 01-15 18:00"
        ]
    );
    let other_hours = declared(json!({ "schedule": "15 11 * * 6" }), weekends());
    assert_eq!(
        shown(&other_hours, "2027-01-10T12:00:00Z", 1),
        ["Mon 01-11 11:15"],
        "looked for after it would have been"
    );
}

#[test]
fn intervals_keep_their_step_or_their_time_of_day() {
    let moved = declared(json!({ "every_hours": 24 }), weekends());
    assert_eq!(
        shown(&moved, "2027-01-07T15:20:00Z", 3),
        ["Fri 01-08 15:20", "Mon 01-11 15:20", "Tue 01-12 15:20"]
    );
    let skipped = declared(json!({ "every_hours": 36, "on_day_off": "skip" }), weekends());
    assert_eq!(
        shown(&skipped, "2027-01-07T15:20:00Z", 3),
        ["Tue 01-12 03:20", "Wed 01-13 15:20", "Fri 01-15 03:20"]
    );
}

#[test]
fn a_cut_off_moved_into_a_gap_is_that_days_own() {
    // Berlin skips 02:00 to 03:00 on Sunday 28 March 2027; Saturday is off.
    let calendar = json!({ "weekdays": ["sat"] });
    let berlin = declared(
        json!({ "schedule": "30 2 * * *", "time_zone": "Europe/Berlin" }),
        calendar.clone(),
    );
    assert_eq!(
        shown(&berlin, "2027-03-26T12:00:00Z", 2),
        ["Sun 03-28 03:00", "Mon 03-29 02:30"]
    );
    // The 02:30 that comes twice on 31 October 2027 is the first one.
    assert_eq!(
        shown(&berlin, "2027-10-29T12:00:00Z", 2),
        ["Sun 10-31 02:30", "Mon 11-01 02:30"]
    );
    assert_eq!(
        upcoming(&berlin, at("2027-10-29T12:00:00Z"), 1)[0].at,
        at("2027-10-31T00:30:00Z")
    );
}

#[test]
fn both_change_days_have_one_cut_off_each_with_and_without_days_off() {
    let plain = json!({ "schedule": "30 2 * * *", "time_zone": "Europe/Berlin" });
    let without: RegisterProfile = serde_json::from_value(plain.clone()).unwrap();
    let with = declared(plain, json!({ "dates": ["12-25"] }));
    for profile in [&without, &with] {
        // 29 March 2026 has no 02:30; 25 October 2026 has two.
        for (from, moment) in [
            ("2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
            ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ] {
            let day = SignedDuration::from_hours(24);
            let due: Vec<_> = cutoffs_due(profile, at(from), at(from) + day).collect();
            assert_eq!(due.iter().map(|cutoff| cutoff.at).collect::<Vec<_>>(), [at(moment)]);
        }
    }
}

#[test]
fn the_cut_off_of_a_payment_is_the_first_after_it() {
    let nightly = declared(json!({ "schedule": "0 0 * * *" }), weekends());
    let of = |last: &str, accepted: &str| cutoff_of(&nightly, at(last), at(accepted)).unwrap().at;
    assert_eq!(
        of("2027-01-04T00:00:00Z", "2027-01-07T23:59:59Z"),
        at("2027-01-08T00:00:00Z")
    );
    assert_eq!(
        of("2027-01-04T00:00:00Z", "2027-01-08T00:00:00Z"),
        at("2027-01-11T00:00:00Z")
    );
    let hourly: RegisterProfile = serde_json::from_value(json!({ "every_hours": 1 })).unwrap();
    let of = |accepted: &str| cutoff_of(&hourly, at("2027-01-04T00:10:00Z"), at(accepted)).unwrap().at;
    assert_eq!(of("2027-01-04T05:30:00Z"), at("2027-01-04T06:10:00Z"));
    let counted: RegisterProfile = serde_json::from_value(json!({ "every_payments": 5 })).unwrap();
    assert_eq!(
        cutoff_of(&counted, at("2027-01-04T00:10:00Z"), at("2027-01-04T05:30:00Z")),
        None
    );
}

const CRONS: [&str; 6] = [
    "0 0 * * *",
    "30 2 * * *",
    "15 9,18 * * *",
    "0 3 1 * *",
    "40 */5 * * 6",
    "30 2 * * 0",
];
const ZONES: [&str; 5] = [
    "UTC",
    "Europe/Moscow",
    "Europe/Berlin",
    "Africa/Cairo",
    "Australia/Lord_Howe",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    /// The definition itself: every time that the schedule names, put onto the next working day, in order and once each.
    #[test]
    fn cut_offs_are_those_of_the_schedule_put_onto_working_days(
        cron in proptest::sample::select(&CRONS[..]), zone in proptest::sample::select(&ZONES[..]),
        start in 1_790_000_000_i64..1_830_000_000, skip in any::<bool>(),
        off in proptest::collection::vec(0_i64..60, 0..12), weekdays in proptest::sample::select(vec![vec![], vec!["sat", "sun"], vec!["mon"]]),
    ) {
        let start = Timestamp::from_second(start).unwrap();
        let plain: RegisterProfile = serde_json::from_value(json!({ "schedule": cron, "time_zone": zone })).unwrap();
        let tz = plain.time_zone.tz();
        let first_day = start.to_zoned(tz.clone()).date();
        let dates: Vec<_> = off.iter().map(|days| (first_day + SignedDuration::from_hours(24 * days)).to_string()).collect();
        let on_day_off = if skip { "skip" } else { "move" };
        let profile = declared(
            json!({ "schedule": cron, "time_zone": zone, "on_day_off": on_day_off }),
            json!({ "dates": dates, "weekdays": weekdays }),
        );
        let calendar = profile.days_off().unwrap();
        // From well before: what a day off moved past the start counts.
        let long_before = start - SignedDuration::from_hours(24 * 90);
        let until = start + SignedDuration::from_hours(24 * 60);
        let mut expected: Vec<_> = cutoffs_due(&plain, long_before, until)
            .filter_map(|cutoff| {
                let local = cutoff.at.to_zoned(tz.clone());
                if !calendar.is_off(local.date()) {
                    return Some(cutoff.at);
                }
                let moved = calendar.working_from(local.date()).unwrap().to_datetime(local.time());
                // The moment itself, whatever a clock change makes of it, is another test's business.
                (!skip).then(|| moved.to_zoned(tz.clone()).unwrap().timestamp())
            })
            .filter(|at| *at > start && *at <= until)
            .collect();
        expected.sort();
        expected.dedup();
        let found: Vec<_> = cutoffs_due(&profile, start, until).map(|cutoff| cutoff.at).collect();
        let apart = |left: &Timestamp, right: &Timestamp| left.duration_since(*right).abs() <= SignedDuration::from_hours(1);
        let merged = expected.windows(2).any(|pair| apart(&pair[0], &pair[1]));
        prop_assert!(merged || found.len() == expected.len(), "{found:?} {expected:?}");
        prop_assert!(merged || found.iter().zip(&expected).all(|(left, right)| apart(left, right)), "{found:?} {expected:?}");
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(found.iter().all(|at| !calendar.is_off(at.to_zoned(tz.clone()).date())));
    }

    /// Looked for one by one, from any moment, they are the same.
    #[test]
    fn cut_offs_with_days_off_do_not_depend_on_who_looks_when(
        cron in proptest::option::of(proptest::sample::select(&CRONS[..])), every in 1_u32..80,
        start in 1_790_000_000_i64..1_830_000_000, skip in any::<bool>(), naps in proptest::collection::vec(1_i64..500_000, 1..8),
    ) {
        let on_day_off = if skip { "skip" } else { "move" };
        let profile = declared(
            json!({ "schedule": cron, "every_hours": every, "time_zone": "Europe/Berlin", "on_day_off": on_day_off }),
            json!({ "weekdays": ["sat", "sun"], "dates": ["12-25", "12-31", "01-01"] }),
        );
        let start = Timestamp::from_second(start).unwrap();
        let (mut now, mut closed) = (start, Vec::new());
        for nap in naps {
            now += SignedDuration::from_secs(nap);
            let last = closed.last().map_or(start, |cutoff: &Cutoff| cutoff.at);
            closed.extend(cutoffs_due(&profile, last, now));
        }
        prop_assert_eq!(&closed, &cutoffs_due(&profile, start, now).collect::<Vec<_>>());
        prop_assert_eq!(&closed, &upcoming(&profile, start, closed.len()));
    }
}
