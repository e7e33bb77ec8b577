//! Series, calendars and intervals of a payee's registers: read, refused by their paths, and what they decide.

use super::tests::{GORVODOKANAL, ISP, from_toml};
use super::*;
use crate::text::Fields;

const SERIES: &str = r#"
[[register.series]]
name = "cold"
when = { field = "meter_cold", pattern = "[0-9]{1,3}" }
every_hours = 6
mail_to = ["cold@example.org"]
[[register.series]]
name = "center"
when = { terminal_groups = ["center", "station"] }
send_empty = true
"#;

fn with(more: &str) -> Result<Payee, Vec<String>> {
    from_toml(&format!("{GORVODOKANAL}{more}"))
}

fn refused(more: &str) -> String {
    let found = with(more).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn the_first_series_that_takes_a_payment_has_it() {
    let payee = with(SERIES).unwrap();
    let of = |json: &str, group| {
        let fields: Fields = serde_json::from_str(json).unwrap();
        payee.series_of(&fields, group).to_owned()
    };
    assert_eq!(of(r#"{"meter_cold":"123"}"#, Some("center")), "cold");
    assert_eq!(of(r#"{"meter_cold":"1234"}"#, Some("station")), "center");
    assert_eq!(of(r#"{"meter_cold":""}"#, Some("suburb")), "main");
    assert_eq!(of("{}", None), "main");
    let names: Vec<_> = payee.register.as_ref().unwrap().series_names().collect();
    assert_eq!(names, ["main", "cold", "center"]);
}

#[test]
fn a_series_has_what_the_register_says_and_what_it_says_itself() {
    let payee = with(SERIES).unwrap();
    let of = |name: &str| payee.clone().for_series(name).register.unwrap();
    let cold = of("cold");
    assert_eq!(
        (cold.every_hours, &cold.schedule),
        (Some(6), &None),
        "how it closes is its own as a whole"
    );
    assert_eq!(
        (cold.mail_to.as_slice(), cold.zip),
        (&["cold@example.org".to_owned()][..], true)
    );
    assert_eq!(cold.time_zone.name(), "Europe/Moscow");
    let center = of("center");
    assert!(center.send_empty && center.schedule.is_some() && center.series.is_empty());
    assert_eq!(of("gone"), payee.register.clone().unwrap());
    assert_eq!(payee.register.as_ref().unwrap().of_series("gone"), None);
    let stored = serde_json::to_value(&payee).unwrap();
    assert_eq!(serde_json::from_value::<Payee>(stored).unwrap(), payee);
}

#[test]
fn what_is_wrong_with_a_series_is_named_by_its_path() {
    let one = |line: &str, by: &str| {
        assert!(SERIES.contains(line), "{line}");
        refused(&SERIES.replace(line, by))
    };
    for (line, by, begins) in [
        (
            "name = \"cold\"",
            "name = \"main\"",
            "register.series[0].name: must match",
        ),
        (
            "name = \"cold\"",
            "name = \"Cold\"",
            "register.series[0].name: must match",
        ),
        (
            "name = \"cold\"",
            "name = \"center\"",
            "register.series: has a name twice",
        ),
        (
            "field = \"meter_cold\"",
            "field = \"meter\"",
            "register.series[0].when.field: is no field",
        ),
        (
            ", pattern = \"[0-9]{1,3}\"",
            "",
            "register.series[0].when.field: needs either values or a pattern",
        ),
        (
            "pattern = \"[0-9]{1,3}\"",
            "values = [\"12\", \"x\"]",
            "register.series[0].when.values[1]: never comes",
        ),
        (
            "terminal_groups = [\"center\", \"station\"]",
            "",
            "register.series[1].when: says nothing",
        ),
        (
            "every_hours = 6",
            "every_hours = 0",
            "register.series[0].every_hours: must be from 1",
        ),
        (
            "every_hours = 6",
            "time_zone = \"UTC\"",
            "register.series[0].time_zone: is the same for all",
        ),
        (
            "every_hours = 6",
            "every_days = 6",
            "register.series[0].every_days: unknown field",
        ),
        (
            "cold@example.org",
            "cold",
            "register.series[0].mail_to[0]: must be one mail address",
        ),
        (
            "every_hours = 6",
            "file_name = \"{{ inn }}_{{ date }}_{{ sequence_of_day }}\"",
            "register.series[0].file_name: must say series",
        ),
        (
            "send_empty = true",
            "every_payments = 5\nsend_empty = true",
            "register.series[1].send_empty: needs a schedule",
        ),
    ] {
        let found = one(line, by);
        assert!(found.starts_with(begins), "{found}");
    }
    let named = "file_name = \"{{ series }}_{{ date }}_{{ sequence_of_day }}\"";
    with(&SERIES.replace("every_hours = 6", named)).unwrap();
    let online = from_toml::<Payee>(&format!("{ISP}\n[register]\nschedule = \"0 0 * * *\"\n{SERIES}")).unwrap_err();
    assert!(
        online[0].starts_with("register.series: is not for what is delivered online"),
        "{online:?}"
    );
}

#[test]
fn intervals_and_calendars_are_refused_by_their_paths() {
    let twice = "every_hours = 2\nevery_seconds = 60";
    assert!(refused(twice).starts_with("register.every_hours: and every_seconds"));
    let calendar = |text: &str| refused(&format!("[register.calendar]\n{text}"));
    assert!(calendar("dates = [\"2027-02-30\"]").starts_with("register.calendar.dates[0]: must be a date"));
    assert!(calendar("dates = [\"13-01\"]").starts_with("register.calendar.dates[0]: must be a date"));
    assert!(calendar("weekday = [\"sat\"]").starts_with("register.calendar.weekday: unknown field"));
    let all = "weekdays = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]";
    assert!(calendar(all).starts_with("register.calendar.weekdays: leave no working day"));
    assert!(refused("on_day_off = \"skip\"").starts_with("register.on_day_off: needs a calendar"));
    let never = GORVODOKANAL.replace("\"0 0 * * *\"", "\"0 0 * * 6\"\non_day_off = \"skip\"");
    let never = from_toml::<Payee>(&format!("{never}\n[register.calendar]\nweekdays = [\"sat\"]")).unwrap_err();
    assert!(
        never[0].starts_with("register.calendar: leaves no cut-off"),
        "{never:?}"
    );
    let counted = GORVODOKANAL.replace("schedule = \"0 0 * * *\"", "every_payments = 5\ncalendar = \"russia\"");
    assert!(from_toml::<Payee>(&counted).unwrap_err()[0].starts_with("register.calendar: is about schedule"));
}

#[test]
fn named_calendars_are_put_in_their_places() {
    let named = format!(
        "calendar = \"russia\"\n{}",
        SERIES.replace("every_hours = 6", "every_hours = 6\ncalendar = \"bank\"")
    );
    let mut profile = with(&named).unwrap().register.unwrap();
    let paths = [("calendar", "russia"), ("series[0].calendar", "bank")];
    assert_eq!(
        profile.named_calendars(),
        paths.map(|(path, name)| (path.to_owned(), name.to_owned()))
    );
    let calendar =
        from_toml::<Calendar>("name = \"x\"\nweekdays = [\"sun\"]\ndates = [\"01-07\", \"2027-03-08\"]").unwrap();
    profile.resolve_calendars(|name| {
        let found = Calendar {
            name: Some(name.to_owned()),
            ..calendar.clone()
        };
        Some(found)
    });
    assert_eq!(profile.named_calendars(), []);
    let name_of = |series: &str| {
        profile
            .of_series(series)
            .unwrap()
            .days_off()
            .and_then(|calendar| calendar.name.clone())
    };
    assert_eq!(
        (name_of("main").as_deref(), name_of("cold").as_deref()),
        (Some("russia"), Some("bank"))
    );
    assert_eq!(
        from_toml::<Calendar>("weekdays = [\"sun\"]").unwrap_err(),
        ["name: is empty"]
    );
}
