//! Names of files: one for each, whatever is put into them, and short enough for every file system.

use std::collections::BTreeSet;

use domain::declaration::Payee;
use formats::{Head, Layout};

use crate::stand::{head, payee, payments};

/// A payee whose name is as long as names may be, with constants that are longer.
fn long_winded(register: &str) -> Payee {
    let mut payee = payee(&format!(
        "{register}\n[register.layout]\nextension = \"registered\"\n[register.layout.constants]\npurpose = \"{}\"",
        "о".repeat(500)
    ));
    payee.name = "Ж".repeat(200);
    payee
}

/// Registers 41 and 42, each in three parts, and copies of them: what is open is in the second one.
fn heads() -> Vec<Head> {
    let mut heads = Vec::new();
    for sequence in [41, 42] {
        for part in 1..=3 {
            for is_copy in [false, true] {
                heads.push(Head {
                    sequence,
                    part: (part, 3),
                    is_copy,
                    open: i64::from(is_copy && sequence == 42),
                    ..head(&payments())
                });
            }
        }
    }
    heads
}

#[test]
fn a_long_text_pushes_nothing_out_of_a_name() {
    let long = long_winded("file_name = \"{{ payee_name }}_{{ constants.purpose }}_{{ date }}_{{ sequence }}\"");
    Layout::try_out(&long).unwrap();
    let layout = Layout::of(&long).unwrap();
    let names: Vec<String> = heads().iter().map(|head| layout.file_name(head).unwrap()).collect();
    let (name, purpose) = ("Ж".repeat(40), "о".repeat(40));
    assert_eq!(names[0], format!("{name}_{purpose}_2026-11-24_41-1of3.registered"));
    let last = format!("{name}_{purpose}_2026-11-24_42-COPY-OPEN-3of3.registered");
    assert_eq!(names.last(), Some(&last));
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    assert!(names.iter().all(|name| name.len() <= 240), "{names:?}");
    // Letters of one byte: more of them than would do.
    let mut latin = payee("file_name = \"{{ payee_name }}_{{ bank }}_{{ mail }}_{{ date }}_{{ sequence }}\"");
    (latin.name, latin.requisites.bank) = ("Z".repeat(200), Some("b".repeat(200)));
    latin.register.as_mut().unwrap().mail_to = vec![format!("{}@example.org", "m".repeat(60))];
    let name = Layout::of(&latin).unwrap().file_name(&heads()[0]).unwrap();
    let texts = ["Z", "b", "m"].map(|letter| letter.repeat(40)).join("_");
    assert_eq!(name, format!("{texts}_2026-11-24_41-1of3.csv"));
}

#[test]
fn a_copy_is_marked_whatever_the_payee_is_called() {
    let mut payee = payee("file_name = \"{{ payee_name }}-{{ sequence }}\"");
    payee.name = "COPYSHOP".to_owned();
    let layout = Layout::of(&payee).unwrap();
    let mut head = head(&payments());
    assert_eq!(layout.file_name(&head).unwrap(), "COPYSHOP-42.csv");
    (head.is_copy, head.open) = (true, 2);
    assert_eq!(layout.file_name(&head).unwrap(), "COPYSHOP-42-COPY-OPEN.csv");
    let own = payee_of("file_name = \"{% if copy %}COPY-{% endif %}{{ sequence }}\"");
    assert_eq!(own.file_name(&head).unwrap(), "COPY-OPEN-42.csv");
}

fn payee_of(register: &str) -> Layout {
    Layout::of(&payee(register)).unwrap()
}

#[test]
fn names_that_could_be_two_registers_or_too_long_are_refused_when_they_are_declared() {
    let series = "[[register.series]]\nname = \"main1\"\nwhen = { field = \"payer\", values = [\"x\"] }\n";
    for (register, why) in [
        (
            format!("file_name = \"{{{{ series }}}}{{{{ sequence }}}}\"\n{series}"),
            "main 11 (part 1 of 11) and main1 1 (part 1 of 11) would both be `main11-1of11.csv`",
        ),
        (
            "file_name = \"{{ sequence }}{{ part }}\"".to_owned(),
            "main 1 (part 11 of 11) and main 11 (part 1 of 11) would both be `111.csv`",
        ),
        (
            "file_name = \"{{ cutoff | date('%Y') }}-{{ sequence_of_day }}\"".to_owned(),
            "main 1 (part 1 of 11) and main 13 (part 1 of 11) would both be `2026-1-1of11.csv`",
        ),
        (
            "file_name = \"{{ date }}{% if sequence > 1 %}x{% endif %}\"".to_owned(),
            "would both be `2026-01-01x",
        ),
        (
            format!("file_name = \"{}{{{{ sequence }}}}\"", "я".repeat(110)),
            "may have 245 bytes with its extensions, and 240 at most",
        ),
    ] {
        let told = Layout::try_out(&payee(&register)).expect_err(&register).to_string();
        assert!(
            told.starts_with("file_name: ") && told.contains(why),
            "{register}: {told}"
        );
    }
    for right in [
        "file_name = \"{{ inn }}_{{ cutoff | date('%m%d') }}_{{ sequence_of_day | pad(3) }}\"".to_owned(),
        "file_name = \"{{ year }}-{{ sequence_of_year }}{% if parts > 1 %}.{{ part }}{% endif %}\"".to_owned(),
        format!("file_name = \"{{{{ series }}}}-{{{{ sequence }}}}\"\n{series}"),
    ] {
        Layout::try_out(&payee(&right)).unwrap_or_else(|why| panic!("{right}: {why}"));
    }
}

#[test]
fn what_a_file_is_wrapped_in_counts_as_its_name() {
    let seal = format!(
        "[[register.seal]]\nwith = \"command\"\nargv = [\"/bin/seal\"]\nextension = \"{}\"\n",
        "s".repeat(16)
    );
    let mut payee = payee(&format!("[register.layout]\nextension = \"text\"\n{}", seal.repeat(8)));
    Layout::try_out(&payee).unwrap();
    payee.id = "p".repeat(63).parse().unwrap();
    let told = Layout::try_out(&payee).unwrap_err().to_string();
    assert!(told.contains("may have 241 bytes with its extensions"), "{told}");
}
