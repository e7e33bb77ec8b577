//! What files of ours are called in a place outside of the database. A place may have others below it, and strangers may keep
//! files there too: whatever is not called exactly so, and exactly there, is none of ours.

use object_store::path::Path;
use uuid::Uuid;

/// Where files are while they are written.
pub(crate) const UNFINISHED: &str = "unfinished";

/// A file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// Whole, `<SHA-256>-<id>`, right in the place.
    Whole(Uuid),
    /// Being written, or tried: `unfinished/<id>`.
    Unfinished(Uuid),
}

impl Name {
    /// What lies here, if it is ours. Whoever lists a place is also told what lies deeper.
    pub(crate) fn of(place: &Path, location: &Path) -> Option<Self> {
        let mut below = location.prefix_match(place)?;
        match (below.next()?, below.next(), below.next()) {
            (whole, None, None) => {
                let (sha256, id) = whole.as_ref().split_once('-')?;
                let is_hash = sha256.len() == 64 && sha256.bytes().all(is_hex);
                id_of(id).filter(|_| is_hash).map(Self::Whole)
            }
            (folder, Some(id), None) if folder.as_ref() == UNFINISHED => id_of(id.as_ref()).map(Self::Unfinished),
            _ => None,
        }
    }

    /// The id of its draft.
    pub(crate) fn id(self) -> Uuid {
        match self {
            Self::Whole(id) | Self::Unfinished(id) => id,
        }
    }
}

/// Whether a directory's file is one being written, which has yet another name: the draft's with `#` and a number.
pub(crate) fn is_staged(name: &str) -> bool {
    let parts = name.split_once('#');
    parts.is_some_and(|(id, nth)| id_of(id).is_some() && nth.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An id as we write it, and no other spelling.
fn id_of(text: &str) -> Option<Uuid> {
    let id: Uuid = text.parse().ok()?;
    (id.to_string() == text).then_some(id)
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_called_as_ours_are_and_lies_where_they_do_is_ours() {
        let id = Uuid::now_v7();
        let whole = format!("{}-{id}", "0f".repeat(32));
        for place in ["", "of/2026"] {
            let place = Path::from(place);
            let named = |below: &str| Name::of(&place, &Path::from(format!("{place}/{below}")));
            assert_eq!(named(&whole), Some(Name::Whole(id)));
            assert_eq!(named(&format!("unfinished/{id}")), Some(Name::Unfinished(id)));
            for stranger in [
                id.to_string(),
                format!("uploads/{id}"),
                format!("staging/{whole}"),
                format!("staging/unfinished/{id}"),
                format!("unfinished/{whole}"),
                format!("unfinished/{id}/{id}"),
                format!("unfinished/{}", id.simple()),
                whole.replace("0f", "0F"),
                whole.replacen("0f", "", 1),
                format!("{whole}.bak"),
                "unfinished".to_owned(),
            ] {
                assert_eq!(named(&stranger), None, "{stranger}");
            }
        }
        assert_eq!(Name::of(&Path::from("of"), &Path::from(format!("off/{whole}"))), None);
    }

    #[test]
    fn what_a_killed_process_left_of_its_writing_is_told_from_strangers() {
        let id = Uuid::now_v7();
        assert!(is_staged(&format!("{id}#1")));
        for stranger in [id.to_string(), "notes#1".to_owned(), format!("{id}#1.txt")] {
            assert!(!is_staged(&stranger), "{stranger}");
        }
    }
}
