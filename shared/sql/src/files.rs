//! Files of this machine that a database's address names.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use sqlx::sqlite::SqliteConnectOptions;
use url::Url;

/// The file of SQLite; a server's socket, and the certificates and keys that it is met with; and what an ODBC connection string
/// names by its path: a driver's library, a database without a server. Nothing where the address cannot be read:
/// [`crate::Database::open`] says so.
pub fn files_of(url: &str) -> Vec<PathBuf> {
    match url.split_once(':') {
        Some(("sqlite", _)) => {
            let options = SqliteConnectOptions::from_str(url);
            let named = options.iter().map(|options| options.get_filename().to_owned());
            named.collect()
        }
        Some(("odbc", attributes)) => of_attributes(attributes),
        Some(("postgres" | "postgresql" | "mysql" | "mariadb", _)) => {
            Url::parse(url).map(|url| of_server(&url)).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// As the driver reads an address; for each of the servers what it knows of either.
fn of_server(url: &Url) -> Vec<PathBuf> {
    const FILES: [&str; 10] = [
        "sslrootcert",
        "ssl-root-cert",
        "sslca",
        "ssl-ca",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
        "socket",
        "host",
    ];
    // The path of a socket may stand where a host's name does, and nothing but `%` stands for anything else there.
    let host = url.host_str().unwrap_or_default();
    let host = format!("host={}", host.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(host.as_bytes())
        .chain(url.query_pairs())
        .filter(|(key, _)| FILES.contains(&&**key))
        .filter(|(key, value)| match &**key {
            "host" => value.starts_with('/'),
            // What it is itself may stand in the place of its path.
            _ => !(value.trim().starts_with("-----BEGIN") && value.trim().ends_with("-----")),
        })
        .map(|(_, value)| PathBuf::from(&*value))
        .collect()
}

/// Of attributes that are files with most drivers any path, and any other that is there; of the rest what could be nothing else.
fn of_attributes(attributes: &str) -> Vec<PathBuf> {
    const FILES: [&str; 4] = ["database", "dbq", "filedsn", "driver"];
    let named = attributes.split(';').filter_map(|attribute| attribute.split_once('='));
    let named = named.map(|(key, value)| {
        let value = value.trim().trim_matches(['{', '}', '\'', '"']);
        (key.trim().to_lowercase(), value)
    });
    named
        // A password is no path, and is not to be told as one.
        .filter(|(key, value)| !value.is_empty() && !["pwd", "password"].contains(&&**key))
        .filter(|(key, value)| {
            let (is_file, is_path) = (FILES.contains(&&**key), value.contains('/'));
            let begins = ["/", "./", "../"].iter().any(|start| value.starts_with(start));
            begins || is_file && is_path || (is_file || is_path) && Path::new(value).exists()
        })
        .map(|(_, value)| PathBuf::from(value))
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
            (
                "postgres://u:p@db.example.org/isp?sslmode=verify-full&sslrootcert=/etc/ca.pem",
                &["/etc/ca.pem"],
            ),
            (
                "postgresql://%2Fvar%2Frun/isp?sslcert=isp%20ours.pem&sslkey=/etc/../k&host=/run/pg&password=/x",
                &["/var/run", "isp ours.pem", "/etc/../k", "/run/pg"],
            ),
            (
                "postgres://db.example.org/isp?host=db2.example.org&options=-c%20a=/b",
                &[],
            ),
            (
                "postgres://db.example.org/isp?ssl-root-cert=ca.pem&ssl-cert=c&ssl-key=k",
                &["ca.pem", "c", "k"],
            ),
            (
                "postgres://db.example.org/isp?sslrootcert=-----BEGIN CERTIFICATE-----%0AAAAA%0A-----END CERTIFICATE-----",
                &[],
            ),
            (
                "mysql://u:p@db.example.org/isp?ssl-mode=VERIFY_CA&ssl-ca=/etc/ca.pem&socket=/run/mysqld.sock",
                &["/etc/ca.pem", "/run/mysqld.sock"],
            ),
            (
                "mariadb://db/isp?sslca=ca&sslcert=c&sslkey=k&charset=utf8mb4",
                &["ca", "c", "k"],
            ),
            ("mysql://", &[]),
            (
                "odbc:Driver={MariaDB Unicode};Server=db/isp;PWD=/not/a/path;Database=isp",
                &[],
            ),
            ("odbc:Driver=SQLite3;Database=var/lib/x.db", &["var/lib/x.db"]),
            // Of what is there already: this crate's own.
            (
                "odbc:Driver=src;DBQ=Cargo.toml;Server=src;Trusted=src/lib.rs",
                &["src", "Cargo.toml", "src/lib.rs"],
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
