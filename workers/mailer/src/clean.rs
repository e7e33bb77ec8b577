//! Names of files, made safe for mail and for any system they are saved on.

pub(crate) use domain::line::one_line;

/// The longest name of a file, in bytes, as file systems take them. Percent-encoded it still fits one line of a header. A
/// register's is never that long: `payees apply` refuses what could make it so.
const FILE_NAME_BYTES_MAX: usize = 255;

/// `name` as the name of a file on any system: one line, nothing that separates paths or needs quoting. Of one that is too
/// long the end is kept, where its number, part and extension stand.
pub(crate) fn file_name(name: &str) -> String {
    let cleaned = one_line(name, name.len()).replace(['/', '\\', ':', '*', '?', '"', '<', '>', '|', ';', '%'], "_");
    let begin = cleaned.ceil_char_boundary(cleaned.len().saturating_sub(FILE_NAME_BYTES_MAX));
    match cleaned[begin..].trim_matches(['.', ' ']) {
        "" => "register".to_owned(),
        name => name.to_owned(),
    }
}

/// `name` for programs that know ASCII only.
pub(crate) fn ascii(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_ascii() { letter } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_one() {
        for (name, clean) in [
            ("gvk-main-000001.csv.zip", "gvk-main-000001.csv.zip"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("a\"; filename=\"b.exe", "a__ filename=_b.exe"),
            ("реестр за май.csv", "реестр за май.csv"),
            ("\r\n", "register"),
            ("..", "register"),
        ] {
            assert_eq!(file_name(name), clean, "{name:?}");
        }
        let longest = format!("{}-000042-2of3.csv.zip", "я".repeat(117));
        assert_eq!(file_name(&longest), longest);
        let cut = file_name(&format!("{}{longest}", "я".repeat(117)));
        assert!(cut.len() == 254 && cut.ends_with("-000042-2of3.csv.zip"), "{cut}");
        assert_eq!(ascii("реестр-1.csv"), "______-1.csv");
    }
}
