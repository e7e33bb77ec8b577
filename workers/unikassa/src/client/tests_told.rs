//! What is told of a call that failed.

use domain::declaration::Payee;
use serde_json::json;
use testkit::payee::Payee as Scripted;

use super::{Caller, told};
use crate::profiles::Target;

/// A secret may stand in a URL's query.
#[tokio::test]
async fn an_error_that_has_no_cause_is_told_without_its_url() {
    let scripted = Scripted::start().await.unwrap();
    let url = format!("http://{}/nowhere", scripted.addr);
    let declared = json!({
        "id": "isp", "name": "isp", "gateway": "unikassa", "currency": "RUB", "account": {"pattern": "^.+$"},
        "amount": {"min": 1, "max": 100_000},
        "unikassa": {"url": url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "allow_private": true}
    });
    let payee: Payee = serde_json::from_value(declared).unwrap();
    let client = Caller::new().unwrap().client(&Target::of(&payee).unwrap()).unwrap();
    let answer = client.get(format!("{url}?key=abc123")).send().await.unwrap();
    let error = answer.error_for_status().unwrap_err();
    assert!(error.to_string().contains("abc123"), "{error}");
    let told = told(error);
    assert!(told.contains("404") && !told.contains("abc123"), "{told}");
}
