//! Files of declarations, right and wrong.

use super::*;
use domain::declaration::{Payee, Product, Terminal};

use crate::commands::declared::Kind;

/// A directory of files that is gone with its test.
struct Directory(PathBuf);

impl Directory {
    fn of(files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("unigate-declared-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).unwrap();
        for (name, text) in files {
            std::fs::write(path.join(name), text).unwrap();
        }
        Self(path)
    }

    fn read<T: Kind>(&self) -> Result<Vec<Written<T>>, Vec<String>> {
        let own = format!("{}/", self.0.display());
        let lines = |wrong: Misconfigured| wrong.0.iter().map(|line| line.replace(&own, "")).collect();
        read_all::<T>(&self.0, T::FAMILY, T::unusable_keys).map_err(lines)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PAYEE: &str = r#"id = "water"
name = "Водоканал"
gateway = "registers"
currency = "RUB"
account = { pattern = "^[0-9]{10}$" }
amount = { min = 100, max = 1500000 }
[[field]]
name = "meter"
label = "Meter"
[register]
schedule = "0 0 * * *"
mail_to = ["buh@example.org"]
"#;

#[test]
fn calendars_stand_beside_payees_and_become_part_of_them() {
    let named = PAYEE.replace("[register]", "[register]\ncalendar = \"russia\"");
    let calendar = "[[calendar]]\nname = \"russia\"\nweekdays = [\"sat\", \"sun\"]\ndates = [\"01-07\"]\n";
    let directory = Directory::of(&[("calendars.toml", calendar), ("water.toml", &named)]);
    let mut payees = directory.read::<Payee>().unwrap();
    assert_eq!(payees.len(), 1);
    Payee::complete(&directory.0, &mut payees).unwrap();
    let own = payees[0].value.register.as_ref().unwrap().days_off().unwrap();
    assert_eq!((own.name.as_deref(), own.weekdays.len()), (Some("russia"), 2));
    // One file alone finds it as well.
    let file = directory.0.join("water.toml");
    let mut alone = read_all::<Payee>(&file, Payee::FAMILY, Payee::unusable_keys).unwrap();
    Payee::complete(&file, &mut alone).unwrap();
    assert_eq!(alone[0].value, payees[0].value);

    let other = named.replace("russia", "serbia");
    let directory = Directory::of(&[("calendars.toml", calendar), ("water.toml", &other)]);
    let mut payees = directory.read::<Payee>().unwrap();
    let Misconfigured(wrong) = Payee::complete(&directory.0, &mut payees).unwrap_err();
    assert_eq!(
        wrong,
        ["payee water: register.calendar: no [[calendar]] called `serbia` stands in these files"]
    );
}

#[test]
fn the_examples_of_payees_are_in_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/payees");
    let mut payees = read_all::<Payee>(&path, Payee::FAMILY, Payee::unusable_keys).unwrap();
    Payee::complete(&path, &mut payees).unwrap();
    let several = payees.iter().find(|one| one.value.id.as_str() == "energosbyt").unwrap();
    let profile = several.value.register.as_ref().unwrap();
    assert_eq!(
        profile.series_names().collect::<Vec<_>>(),
        ["main", "households", "offices"]
    );
    let off = profile
        .of_series("households")
        .unwrap()
        .days_off()
        .map(|days| days.weekdays.len());
    assert_eq!(off, Some(2));
}

#[test]
fn groups_stand_beside_terminals() {
    let directory = Directory::of(&[
        (
            "a.toml",
            "[[terminal]]\nid = \"T-1\"\ngroup = \"center\"\nlimits = { holds = 2 }\n[[group]]\nid = \"center\"\nlimits = { holds = 5, sales_per_hour = 60 }\n",
        ),
        ("b.toml", "[[group]]\nid = \"station\"\n"),
        ("c.toml", "id = \"T-2\"\n"),
    ]);
    let terminals = directory.read::<Terminal>().unwrap();
    let ids: Vec<&str> = terminals.iter().map(|one| one.value.id.as_str()).collect();
    assert_eq!(ids, ["T-1", "T-2"]);
    assert_eq!(terminals[0].value.limits.holds, Some(2));
    let groups = Terminal::groups(&directory.0).unwrap();
    let ids: Vec<(&str, Option<u32>)> = groups.iter().map(|one| (one.id.as_str(), one.limits.holds)).collect();
    assert_eq!(ids, [("center", Some(5)), ("station", None)]);

    let wrong = Directory::of(&[
        ("a.toml", "[[group]]\nid = \"a\"\nlimits = { holds = 0 }\n"),
        ("b.toml", "[[group]]\nid = \"a\"\n[[product]]\nid = \"b\"\n"),
    ]);
    let refused = wrong.read::<Terminal>().unwrap_err().join("\n");
    assert!(
        refused.contains("b.toml:3: `product` stands beside [[terminal]] or [[group]]"),
        "{refused}"
    );
    let refused = Terminal::groups(&wrong.0).unwrap_err().0.join("\n");
    assert!(
        refused.contains("a.toml:3: group[0].limits.holds: must be from 1"),
        "{refused}"
    );
}

#[test]
fn a_file_holds_one_thing_or_several() {
    let directory = Directory::of(&[
        (
            "b.toml",
            "[[terminal]]\nid = \"T-2\"\n[[terminal]]\nid = \"T-3\"\nusers = [\"frontend\"]\n",
        ),
        ("a.toml", "id = \"T-1\"\ngroup = \"center\"\n"),
        ("notes.txt", "not looked at"),
    ]);
    let all = directory.read::<Terminal>().unwrap();
    let ids: Vec<&str> = all.iter().map(|one| one.value.id.as_str()).collect();
    assert_eq!(ids, ["T-1", "T-2", "T-3"]);
    assert_eq!(all[0].members, BTreeSet::from(["id".to_owned(), "group".to_owned()]));
}

#[test]
fn a_payee_with_fields_is_one_thing() {
    let all = Directory::of(&[("water.toml", PAYEE)]).read::<Payee>().unwrap();
    assert_eq!((all.len(), all[0].value.field.len()), (1, 1));
    assert!(!all[0].members.contains("suspended"));
}

#[test]
fn everything_that_is_wrong_is_said_with_its_place() {
    let zone = PAYEE.replace("[register]\n", "[register]\ntime_zone = \"Mars/Olympus\"\n");
    let key = PAYEE.replace("id = \"water\"", "id = \"gas\"") + "age_recipients = [\"age1qqqqqqqq\"]\n";
    let several = "[[payee]]\nid = \"tv\"\n\n[[payee]]\nid = \"x y\"\n";
    let directory = Directory::of(&[
        ("a.toml", &zone),
        ("b.toml", &key),
        ("c.toml", several),
        ("d.toml", "id = \"tv\nname = 1\n"),
        ("e.toml", PAYEE),
        ("f.toml", PAYEE),
    ]);
    insta::assert_snapshot!(directory.read::<Payee>().unwrap_err().join("\n"));
}

#[test]
fn a_misspelt_member_and_a_foreign_one_are_refused() {
    let product = "id = \"mts\"\nname = \"MTS\"\nface_value = 1\nprice = 1\ncurrency = \"RUB\"\nlow_stok = 5\n";
    let beside = "id = \"a\"\n[[terminal]]\nid = \"b\"\n";
    let wrong = Directory::of(&[("a.toml", product)]).read::<Product>().unwrap_err();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].starts_with("a.toml:6: low_stok: unknown field"), "{wrong:?}");
    let wrong = Directory::of(&[("a.toml", beside)]).read::<Terminal>().unwrap_err();
    assert_eq!(
        wrong,
        ["a.toml:1: `id` stands beside [[terminal]] or [[group]]; a file holds one terminal or several"]
    );
}

#[test]
fn a_directory_without_files_is_a_mistake() {
    let directory = Directory::of(&[]);
    assert!(directory.read::<Payee>().unwrap_err()[0].ends_with("holds no *.toml file"));
    let nowhere = read_all::<Payee>(Path::new("/no/such/directory"), Payee::FAMILY, Payee::unusable_keys).unwrap_err();
    assert!(nowhere.to_string().starts_with("/no/such/directory: "));
}
