//! Files of this machine that a database's address names.

use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::sqlite::SqliteConnectOptions;

/// The file of SQLite, and what an ODBC connection string names by its path: a driver's library, a database without a server.
/// Nothing where there is a server, nor where the address cannot be read: [`crate::Database::open`] says so.
pub fn files_of(url: &str) -> Vec<PathBuf> {
    if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(url);
        return options
            .iter()
            .map(|options| options.get_filename().to_owned())
            .collect();
    }
    let Some(attributes) = url.strip_prefix("odbc:") else {
        return Vec::new();
    };
    let named = attributes.split(';').filter_map(|attribute| attribute.split_once('='));
    named
        // A password is no path, and is not to be told as one.
        .filter(|(key, _)| !["pwd", "password"].contains(&key.trim().to_lowercase().as_str()))
        .map(|(_, value)| value.trim().trim_matches(['{', '}', '\'', '"']))
        .filter(|value| ["/", "./", "../"].iter().any(|start| value.starts_with(start)))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_names_by_its_path_is_found() {
        for (url, files) in [
            ("sqlite:///srv/isp/base.db?mode=rw", &["/srv/isp/base.db"][..]),
            ("sqlite://base.db", &["base.db"]),
            ("postgres://u:p@db.example.org/isp?sslrootcert=/etc/ca.pem", &[]),
            (
                "odbc:Driver={MariaDB Unicode};Server=db;PWD=/not/a/path;Database=isp",
                &[],
            ),
            (
                "odbc:Driver=/opt/driver.so;DBQ={../base.mdb}; filedsn = /etc/isp.dsn",
                &["/opt/driver.so", "../base.mdb", "/etc/isp.dsn"],
            ),
        ] {
            let named: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
            assert_eq!(files_of(url), named, "{url}");
        }
    }
}
