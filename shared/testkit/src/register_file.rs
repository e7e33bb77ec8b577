//! The payee's side of a register: opens the file that came by mail, as somebody with an archiver and age would. It
//! peels off what the file's name says is around it, and knows nothing of what a register should hold.

use std::io::{self, Cursor, Read};

use age::x25519::Identity;

/// A payee's (or a terminal's) own key. What is sealed to it only it can open.
pub struct Key(Identity);

impl Key {
    /// Makes a key.
    #[expect(clippy::new_without_default, reason = "a key is made on purpose")]
    pub fn new() -> Self {
        Self(Identity::generate())
    }

    /// The public half, `age1…`.
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }

    /// Opens what was sealed to the key, armoured or not.
    pub fn open(&self, sealed: &[u8]) -> io::Result<Vec<u8>> {
        let refused = |error: age::DecryptError| io::Error::new(io::ErrorKind::InvalidData, error);
        let reader = age::armor::ArmoredReader::new(sealed);
        let decryptor = age::Decryptor::new_buffered(reader).map_err(refused)?;
        let mut opened = Vec::new();
        decryptor
            .decrypt(std::iter::once(&self.0 as &dyn age::Identity))
            .map_err(refused)?
            .read_to_end(&mut opened)?;
        Ok(opened)
    }
}

/// The text inside a register file: `….csv`, `….csv.zip`, `….csv.zip.age`. Returns its own name too.
pub fn open(name: &str, bytes: &[u8], key: Option<&Key>) -> io::Result<(String, Vec<u8>)> {
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {why}"));
    if let Some(inner) = name.strip_suffix(".age") {
        let key = key.ok_or_else(|| wrong("is encrypted and there is no key"))?;
        return open(inner, &key.open(bytes)?, None);
    }
    if let Some(inner) = name.strip_suffix(".zip") {
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| wrong(&error.to_string()))?;
        if archive.len() != 1 {
            return Err(wrong("holds more or less than one file"));
        }
        let mut file = archive.by_index(0).map_err(|error| wrong(&error.to_string()))?;
        if file.name().map_err(|error| wrong(&error.to_string()))? != inner {
            return Err(wrong("holds a file of another name"));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        return Ok((inner.to_owned(), text));
    }
    Ok((name.to_owned(), bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_layer_is_peeled_off_by_name() {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("a.csv", zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(b"number\r\n").unwrap();
        let archive = zip.finish().unwrap().into_inner();
        let key = Key::new();
        let recipient: age::x25519::Recipient = key.recipient().parse().unwrap();
        let sealed = age::encrypt(&recipient, &archive).unwrap();

        let text = ("a.csv".to_owned(), b"number\r\n".to_vec());
        assert_eq!(open("a.csv", b"number\r\n", None).unwrap(), text);
        assert_eq!(open("a.csv.zip", &archive, None).unwrap(), text);
        assert_eq!(open("a.csv.zip.age", &sealed, Some(&key)).unwrap(), text);
        for (name, bytes, key) in [
            ("a.csv.zip.age", &sealed, None),
            ("a.csv.zip.age", &sealed, Some(&Key::new())),
            ("b.csv.zip", &archive, None),
            ("a.csv.zip", &sealed, None),
        ] {
            assert!(open(name, bytes, key).is_err());
        }
    }
}
