//! What cannot be shown: an error that names payment and column, or visible and reported.

use formats::Layout;

use crate::samples::FIXED;
use crate::stand::{layout, payee, payments, written};

fn odd() -> Vec<crate::stand::Payment> {
    let mut all = payments();
    all[1]
        .fields
        .insert("payer".to_owned(), "Қайрат ₸ и ещё двадцать букв".to_owned());
    all
}

#[test]
fn a_character_the_encoding_lacks_is_visible_and_reported() {
    for encoding in ["windows-1251", "cp866", "koi8-r", "koi8-u"] {
        let layout = layout(&format!("encoding = \"{encoding}\"\nunmappable = \"#\""));
        let (bytes, told) = written(&layout, &odd()).unwrap();
        assert!(
            bytes.windows(2).any(|two| two == b"##") || bytes.contains(&b'#'),
            "{encoding}"
        );
        assert!(told.report.substituted >= 2, "{encoding}: {:?}", told.report);
        let first = told
            .report
            .first
            .iter()
            .find(|note| note.to_string().contains('Қ'))
            .unwrap();
        assert_eq!(
            first.to_string(),
            "payment 1000002, column payer: `Қ` (U+049A) has a substitute"
        );
    }
}

#[test]
fn or_the_register_is_not_built_and_the_payment_named() {
    let strict = layout("encoding = \"cp866\"\nunmappable = \"error\"");
    let mut all = odd();
    let why = written(&strict, &all[1..2]).unwrap_err().to_string();
    assert_eq!(why, "payment 1000002, column payer: IBM866 has no `Қ` (U+049A)");
    all[1].fields.clear();
    all[2].fields.clear();
    written(&strict, &all).unwrap();
}

#[test]
fn what_is_too_long_is_cut_visibly_or_refused_and_an_account_never_cut() {
    let (bytes, told) = written(&layout(FIXED), &odd()).unwrap();
    assert_eq!(told.report.cut, 1, "{:?}", told.report);
    let second = bytes.split(|byte| *byte == b'\n').nth(1).unwrap();
    assert!(second.ends_with(b"~\r"), "{second:?}");
    let strict = FIXED.replace("[register.layout]\n", "[register.layout]\ntoo_long = \"error\"\n");
    let why = written(&layout(&strict), &odd()).unwrap_err().to_string();
    assert_eq!(
        why,
        "payment 1000002, column payer: is longer than the 20 characters of its column"
    );
    let mut all = payments();
    all[0].account = "1".repeat(21);
    let why = written(&layout(FIXED), &all).unwrap_err().to_string();
    assert_eq!(
        why,
        "payment 1000001, column account: is longer than the 20 characters of its column"
    );
}

#[test]
fn a_separator_that_is_replaced_in_what_a_payer_wrote_is_reported() {
    let (bytes, told) = written(&layout("[register.layout]\nquotes = false"), &payments()).unwrap();
    assert!(String::from_utf8(bytes).unwrap().contains("«Ёлка»  склад"));
    assert_eq!((told.report.replaced, told.report.is_clean()), (1, false));
    assert_eq!(
        told.report.first[0].to_string(),
        "payment 1000002, column payer: the separator ';' was replaced"
    );
    let (_, told) = written(&layout(""), &payments()).unwrap();
    assert!(told.report.is_clean());
}

/// Whether this is refused for its separator.
fn separator_is_refused(layout: &str) -> bool {
    let mut payee = payee("");
    let with: toml::Table = toml::from_str(&format!("[register]\nevery_payments = 1\n{layout}")).unwrap();
    payee.register = Some(with["register"].clone().try_into().unwrap());
    let found = payee.check().err().into_iter().flatten().collect::<Vec<_>>();
    assert!(
        found.iter().all(|one| one.field == "register.layout.separator"),
        "{found:?}"
    );
    !found.is_empty()
}

#[test]
fn a_separator_that_stands_in_our_own_amounts_and_times_needs_quotes() {
    let day = "columns = [{ value = \"number\" }, { value = \"amount\" }, { value = \"paid_date\" }]";
    let time = "columns = [{ value = \"number\" }, { value = \"amount\" }, { value = \"paid_time\" }]";
    for clashing in [
        "separator = \",\"\ndecimal = \",\"".to_owned(),
        "separator = \":\"".to_owned(),
        "separator = \" \"\nmoment = \"%d.%m.%Y %H.%M\"".to_owned(),
        format!("separator = \"/\"\ndate = \"%d/%m/%Y\"\n{day}"),
        format!("separator = \" \"\ndate = \"%e.%m.%Y\"\n{day}"),
        format!("separator = \":\"\n{time}"),
    ] {
        let without = format!("[register.layout]\nquotes = false\n{clashing}");
        assert!(separator_is_refused(&without), "{clashing}");
        assert!(
            !separator_is_refused(&format!("[register.layout]\n{clashing}")),
            "{clashing}"
        );
    }
    for fine in [
        "separator = \",\"".to_owned(),
        "separator = \";\"\ndecimal = \",\"".to_owned(),
        // What stands in no column is written nowhere.
        format!("separator = \":\"\n{day}"),
        format!("separator = \"/\"\ndate = \"%d/%m/%Y\"\n{time}"),
    ] {
        let without = format!("[register.layout]\nquotes = false\n{fine}");
        assert!(!separator_is_refused(&without), "{fine}");
    }
    assert!(separator_is_refused(
        "format = \"sberbank\"\n[register.layout]\nseparator = \",\""
    ));
}

#[test]
fn a_workbook_says_how_much_it_holds() {
    let layout = layout("format = \"xlsx\"");
    assert_eq!(layout.rows_max(), Some(22_222));
    assert!(!layout.streams());
    let many = vec![payments()[0].clone(); 22_223];
    let why = written(&layout, &many).unwrap_err().to_string();
    assert!(why.starts_with("more than 22222 payments"), "{why}");
}

#[test]
fn a_table_whose_header_told_another_count_is_none() {
    let layout = layout("format = \"dbf\"");
    let head = crate::stand::head(&payments());
    let mut writer = layout.begin(&head, Vec::new()).unwrap();
    writer.row(&payments()[0].row()).unwrap();
    let why = writer.finish().unwrap_err().to_string();
    assert_eq!(why, "1 payments came where the head told of 3");
}

#[test]
fn what_is_wrong_with_a_layout_is_found_when_it_is_declared() {
    for (register, place) in [
        ("format = \"fixed\"", "register.layout.columns"),
        ("format = \"text\"", "register.layout.row"),
        (
            "format = \"text\"\n[register.layout]\nrow = \"{{ nothing }}\"",
            "register.layout.row",
        ),
        (
            "format = \"text\"\n[register.layout]\nrow = \"{{ fields.none }}\"",
            "register.layout.row",
        ),
        ("[register.layout]\nseparator = \"||\"", "register.layout.separator"),
        ("[register.layout]\nseparator = \"1\"", "register.layout.separator"),
        ("[register.layout]\nreplacement = \"ab\"", "register.layout.replacement"),
        ("[register.layout]\nreplacement = \"=\"", "register.layout.replacement"),
        ("[register.layout]\nreplacement = \"-\"", "register.layout.replacement"),
        ("[register.layout]\nreplacement = \"＠\"", "register.layout.replacement"),
        ("[register.layout]\nreplacement = \"'\"", "register.layout.replacement"),
        (
            "[register.layout]\nreplacement = \"\\t\"",
            "register.layout.replacement",
        ),
        (
            "[register.layout]\nreplacement = \"\\u2028\"",
            "register.layout.replacement",
        ),
        ("[register.layout]\ndate = \"\"", "register.layout.date"),
        (
            "[register.layout]\ncolumns = [{ value = \"fields.none\" }]",
            "register.layout.columns[0].value",
        ),
        (
            "format = \"xlsx\"\n[register.layout]\ntrailer = \"x\"",
            "register.layout.trailer",
        ),
        ("format = \"xlsx\"\nencoding = \"cp866\"", "register.encoding"),
        ("format = \"dbf\"\nencoding = \"koi8-r\"", "register.encoding"),
        ("file_name = \"{{ date }}\"", "register.file_name"),
        ("file_name = \"{{ sequence_of_day }}\"", "register.file_name"),
    ] {
        let mut payee = payee("");
        let with: toml::Table = toml::from_str(&format!("[register]\nevery_payments = 1\n{register}")).unwrap();
        payee.register = Some(with["register"].clone().try_into().unwrap());
        let found = payee.check().expect_err(register);
        assert!(found.iter().any(|one| one.field == place), "{register}: {found:?}");
    }
    for wrong in [
        "unmappable = \"\"",
        "unmappable = \"=\"",
        "encoding = \"latin-1\"",
        "[register.layout]\nquote = true",
    ] {
        let text = format!("[register]\nevery_payments = 1\n{wrong}");
        let with: toml::Table = toml::from_str(&text).unwrap();
        assert!(
            with["register"]
                .clone()
                .try_into::<domain::declaration::RegisterProfile>()
                .is_err(),
            "{wrong}"
        );
    }
    let mut online = payee("");
    online.register = None;
    assert!(Layout::of(&online).is_err());
}
