//! Names of files, made safe for mail and for any system they are saved on.

pub(crate) use domain::line::one_line;

/// `name` as the name of a file on any system: one line, nothing that separates paths or needs quoting.
pub(crate) fn file_name(name: &str, max: usize) -> String {
    let cleaned = one_line(name, max).replace(['/', '\\', ':', '*', '?', '"', '<', '>', '|', ';', '%'], "_");
    match cleaned.trim_matches(['.', ' ']) {
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
            assert_eq!(file_name(name, 100), clean, "{name:?}");
        }
        assert_eq!(ascii("реестр-1.csv"), "______-1.csv");
    }
}
