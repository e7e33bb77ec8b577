//! Checks where intake and the gateway are two processes: what intake has found current is not looked for again.

use secrecy::SecretString;
use serde_json::json;
use unigate::workers::Worker;

use super::books::{Backend, Books};
use super::{check, utility};
use crate::rights::Site;
use crate::world::end;

#[tokio::test]
async fn a_forwarded_check_goes_by_what_intake_has_found_declared() {
    let books = Books::utility(Backend::Postgres).await;
    let site = Site::found().await;
    let world = &site.world;
    let declared = utility("vodokanal", books.url.as_str(), "");
    world.payee(&declared).await;
    site.grant().await;
    let gateway = site.user("unigate_databases").await;
    let intake = world.another(&[Worker::Intake], |_| {}).await;
    let databases = world
        .another(&[Worker::Databases], |settings| {
            settings.store.url = SecretString::from(gateway.url.clone());
        })
        .await;
    let asked = async || {
        let question = check("vodokanal", "1001", &json!({"meter_cold": "200"}));
        let answer = world.ask("payment.check", &question).await;
        answer["outcome"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(asked().await, "payable");
    world
        .sql("REVOKE SELECT ON declaration_generation FROM unigate_databases")
        .await;
    assert_eq!(asked().await, "payable", "he has them in memory, and cannot look");
    world.payee(&declared.replace("Водоканал", "Горводоканал")).await;
    assert_eq!(asked().await, "unavailable", "there are later ones, and he cannot look");
    world
        .sql("GRANT SELECT ON declaration_generation TO unigate_databases")
        .await;
    assert_eq!(asked().await, "payable");
    end(&databases).await;
    end(&intake).await;
}
