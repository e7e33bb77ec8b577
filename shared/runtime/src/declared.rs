//! Files and programs that declarations name, and where they may lie.
//!
//! Who declares payees need not be who may log in to the hosts of workers. `UNIGATE_DECLARED_PLACES` keeps the one from being
//! as good as the other: what a declaration names is read, run and written to only in these places.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Of this process, said once, before anything is declared to it.
static PLACES: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Confines this process to these places; to none in particular where there is none. Said a second time it changes nothing.
pub fn confine(places: &[PathBuf]) {
    PLACES.get_or_init(|| places.to_vec());
}

/// Whether a declaration may name this file, program or directory here. What is not there yet is where its directory is. An error
/// is for whoever has to set it right.
pub fn permitted(path: &Path) -> Result<(), String> {
    permitted_in(PLACES.get().map_or(&[], Vec::as_slice), path)
}

/// By where things really are: a link leads out of a place as well as `..` does.
fn permitted_in(places: &[PathBuf], path: &Path) -> Result<(), String> {
    if places.is_empty() {
        return Ok(());
    }
    let beside = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    let real: PathBuf = match path.canonicalize() {
        Ok(real) => real,
        Err(error) => beside().ok_or_else(|| format!("{}: {error}", path.display()))?,
    };
    let is_in = |place: &PathBuf| place.canonicalize().is_ok_and(|place| real.starts_with(place));
    if places.iter().any(is_in) {
        return Ok(());
    }
    Err(format!(
        "{}: is in none of the places that declarations may name here (UNIGATE_DECLARED_PLACES)",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_declaration_names_lies_in_its_places_whatever_way_leads_there() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for place in ["named", "named-too", "other"] {
            std::fs::create_dir(at(place)).unwrap();
        }
        for file in ["named/key", "named-too/key", "other/key"] {
            std::fs::write(at(file), "k").unwrap();
        }
        std::os::unix::fs::symlink(at("other/key"), at("named/link-out")).unwrap();
        std::os::unix::fs::symlink(at("other"), at("named/way-out")).unwrap();
        std::os::unix::fs::symlink(at("named/key"), at("other/link-in")).unwrap();
        let places = [at("gone"), at("named")];
        for inside in [
            "named",
            "named/key",
            "named/later",
            "named/../named/key",
            "other/link-in",
        ] {
            assert_eq!(permitted_in(&places, &at(inside)), Ok(()), "{inside}");
        }
        for outside in [
            "named-too/key",
            "other/key",
            "named/../other/key",
            "named/link-out",
            "named/way-out/later",
        ] {
            let refused = permitted_in(&places, &at(outside)).unwrap_err();
            assert!(refused.ends_with("(UNIGATE_DECLARED_PLACES)"), "{outside}: {refused}");
        }
        let lost = permitted_in(&places, &at("no/where")).unwrap_err();
        assert!(lost.contains("no/where: No such file"), "{lost}");
        assert_eq!(
            permitted_in(&[at("other/key")], &at("other/key")),
            Ok(()),
            "a place may be one file"
        );
        assert_eq!(
            permitted_in(&[], &at("no/where")),
            Ok(()),
            "nobody is confined who was not told"
        );
    }
}
