//! The same suite by way of Debian's ODBC drivers, in a program with the feature `odbc` (`make test-odbc`).

use super::books::{Backend, Books};
use super::conforms_by;

/// How an administrator would write the connection string of these books.
fn url(books: &Books) -> String {
    if books.backend == Backend::Sqlite {
        return format!(
            "odbc:Driver=SQLite3;Database={};Timeout=2000;FKSupport=1",
            books.url.path()
        );
    }
    let (driver, more) = match books.backend {
        Backend::Mariadb => (
            "MariaDB Unicode",
            "TCPIP=1;CHARSET=utf8mb4;OPTION=2;INITSTMT=set sql_mode = concat(@@sql_mode, ',PIPES_AS_CONCAT')",
        ),
        _ => ("PostgreSQL Unicode", "SSLmode=disable;ConnSettings=SET+TIME+ZONE+'UTC'"),
    };
    format!(
        "odbc:Driver={{{driver}}};Server={};Port={};Database={};UID={};PWD={};{more}",
        books.url.host_str().unwrap(),
        books.url.port().unwrap(),
        books.url.path().trim_start_matches('/'),
        books.url.username(),
        books.url.password().unwrap_or_default(),
    )
}

async fn conforms(backend: Backend) {
    let books = Books::utility(backend).await;
    conforms_by(&books, &url(&books)).await;
}

#[tokio::test]
async fn a_payee_on_sqlite_conforms_by_odbc() {
    conforms(Backend::Sqlite).await;
}

#[tokio::test]
async fn a_payee_on_postgres_conforms_by_odbc() {
    conforms(Backend::Postgres).await;
}

#[tokio::test]
async fn a_payee_on_mariadb_conforms_by_odbc() {
    conforms(Backend::Mariadb).await;
}
