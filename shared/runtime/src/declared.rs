//! Files and programs that declarations name, and where they may lie.
//!
//! Who declares payees need not be who may log in to the hosts of workers. `UNIGATE_DECLARED_PLACES` keeps the one from being
//! as good as the other: what a declaration names is read, run and written to only in these places.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};

/// Of this process, said once, before anything is declared to it.
static PLACES: OnceLock<Vec<Place>> = OnceLock::new();

/// The largest key or secret that is read from a file, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// A place as it was said, and where it really is since that was seen: one that hangs keeps nobody from the others.
struct Place {
    said: PathBuf,
    real: OnceLock<PathBuf>,
}

impl Place {
    fn at(said: &Path) -> Self {
        Self {
            said: said.to_owned(),
            real: OnceLock::new(),
        }
    }

    /// Looks where it is, unless that is known.
    fn look(&self) -> Option<&PathBuf> {
        if self.real.get().is_none() {
            let _ = self.real.set(self.said.canonicalize().ok()?);
        }
        self.real.get()
    }
}

/// Confines this process to these places; to none in particular where there is none. Said a second time it changes nothing.
pub fn confine(places: &[PathBuf]) {
    PLACES.get_or_init(|| places.iter().map(|place| Place::at(place)).collect());
}

/// Whether a declaration may name this file, program or directory here. What is not there yet is where its directory is. An error
/// is for whoever has to set it right.
pub fn permitted(path: &Path) -> Result<(), String> {
    permitted_in(PLACES.get().map_or(&[], Vec::as_slice), path)
}

/// Reads a key or a secret from a file that a declaration names and may name here: a plain one, of at most 1 MiB.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    permitted(path)?;
    read_plain(path).map_err(|why| format!("{}: {why}", path.display()))
}

/// Nothing is waited for by opening it, and what has no end is not read.
fn read_plain(path: &Path) -> Result<Vec<u8>, String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| std::io::Error::from(error).to_string())?;
    let file = File::from(file);
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("is no plain file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
    match read.map_err(|error| error.to_string())? as u64 > BYTES_MAX {
        true => Err("is larger than 1 MiB".to_owned()),
        false => Ok(bytes),
    }
}

/// By where things really are: a link leads out of a place as well as `..` does.
fn permitted_in(places: &[Place], path: &Path) -> Result<(), String> {
    if places.is_empty() {
        return Ok(());
    }
    let wrong = |error| format!("{}: {error}", path.display());
    let path = std::path::absolute(path).map_err(wrong)?;
    let beside = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) => beside().ok_or_else(|| format!("{}: {error}", path.display()))?,
    };
    let is_in = |place: &PathBuf| real.starts_with(place);
    let known = places.iter().filter_map(|place| place.real.get()).any(is_in);
    // Those that are not known yet: first where it seems to lie, so that what lies in one is not kept waiting by another.
    let (seeming, others): (Vec<_>, Vec<_>) = places
        .iter()
        .filter(|place| place.real.get().is_none())
        .partition(|place| path.starts_with(&place.said));
    if known || seeming.into_iter().chain(others).filter_map(Place::look).any(is_in) {
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
        let places = [Place::at(&at("gone")), Place::at(&at("named"))];
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
            permitted_in(&[Place::at(&at("other/key"))], &at("other/key")),
            Ok(()),
            "a place may be one file"
        );
        assert_eq!(
            permitted_in(&[], &at("no/where")),
            Ok(()),
            "nobody is confined who was not told"
        );
    }

    #[test]
    fn a_place_is_looked_for_once_and_not_for_what_lies_in_another() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for place in ["share", "named", "other"] {
            std::fs::create_dir(at(place)).unwrap();
        }
        for file in ["named/key", "other/key"] {
            std::fs::write(at(file), "k").unwrap();
        }
        std::os::unix::fs::symlink(at("named"), at("link")).unwrap();
        let places = ["share", "link", "named"].map(|name| Place::at(&at(name)));
        let looked =
            |places: &[Place]| -> Vec<bool> { places.iter().map(|place| place.real.get().is_some()).collect() };
        assert_eq!(permitted_in(&places, &at("link/key")), Ok(()));
        assert_eq!(looked(&places), [false, true, false], "a share that hangs is not asked");
        assert_eq!(permitted_in(&places, &at("named/key")), Ok(()));
        assert_eq!(looked(&places), [false, true, false], "known by where it is");
        // It is where it was seen.
        std::fs::remove_file(at("link")).unwrap();
        assert_eq!(permitted_in(&places[..2], &at("named/key")), Ok(()));
        assert!(permitted_in(&places, &at("other/key")).is_err());
        assert_eq!(looked(&places), [true, true, true]);
    }

    #[test]
    fn of_a_file_so_much_is_read_as_a_key_may_have() {
        let root = tempfile::tempdir().unwrap();
        let file = |bytes: u64| {
            let path = root.path().join(bytes.to_string());
            std::fs::write(&path, vec![b'k'; bytes as usize]).unwrap();
            path
        };
        for bytes in [0, 1, BYTES_MAX] {
            assert_eq!(read(&file(bytes)).unwrap().len() as u64, bytes);
        }
        let large = file(BYTES_MAX + 1);
        assert_eq!(read(&large), Err(format!("{}: is larger than 1 MiB", large.display())));
        for endless in ["/dev/zero", "/dev", "/proc/self/fd"] {
            assert_eq!(read(Path::new(endless)), Err(format!("{endless}: is no plain file")));
        }
        assert!(
            read(Path::new("/no/where"))
                .unwrap_err()
                .starts_with("/no/where: No such file")
        );
    }
}
