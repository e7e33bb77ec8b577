//! Payees whose data are kept in the encodings of old: what fits comes through whole, what does not is an error and never a
//! question mark.

use serde_json::json;

use super::books::{Backend, Books};
use super::{WORKERS, check, payment, utility};
use crate::fixtures::new_id;
use crate::world::World;

const FITS: &str = "Ёлка 5, ъыэ";
const DOES_NOT: &str = "Ёлка 😀";

async fn comes_through(backend: Backend, encoding: &str) {
    let books = Books::in_encoding(backend, encoding).await;
    let world = World::start(&WORKERS).await;
    world.payee(&utility("vodokanal", books.url.as_str(), "")).await;
    let asked = world
        .ask("payment.check", &check("vodokanal", "1001", &json!({})))
        .await;
    assert_eq!(asked["display"], "Уважаемый Иванов И. И.! К оплате 1 250,40", "{asked}");
    let mut ids = Vec::new();
    for note in [FITS, DOES_NOT] {
        let id = new_id();
        let told = payment(&id, "vodokanal", "1001", &json!({"meter_cold": "130", "tariff": note}));
        assert_eq!(world.tell("payment.accepted", &told).await["outcome"], "accepted");
        ids.push(id);
    }
    world.reaches(&ids[0], "delivered").await;
    let row = world.reaches(&ids[1], "waiting").await;
    let error = row.last_error.unwrap();
    assert!(error.contains("databases.pay.statement[0]"), "{error}");
    assert_eq!(books.value("select note from payments").await, FITS);
    world.stop().await;
}

#[tokio::test]
async fn cyrillic_of_windows_comes_through_on_postgres() {
    comes_through(Backend::Postgres, "WIN1251").await;
}

#[tokio::test]
async fn cyrillic_of_windows_comes_through_on_mariadb() {
    comes_through(Backend::Mariadb, "cp1251").await;
}

#[tokio::test]
async fn cyrillic_of_dos_comes_through_on_postgres() {
    comes_through(Backend::Postgres, "WIN866").await;
}

#[tokio::test]
async fn cyrillic_of_dos_comes_through_on_mariadb() {
    comes_through(Backend::Mariadb, "cp866").await;
}
