//! What declarations decide: which account, amount and field is accepted, who may speak for a terminal, what is printed.

use super::tests::{GORVODOKANAL, ISP, KIOSK, MTS, from_toml};
use super::*;
use crate::ids::TerminalId;
use crate::money::Amount;
use crate::text::{Account, Fields};

#[test]
fn a_payee_accepts_by_its_rules() {
    let payee: Payee = from_toml(&GORVODOKANAL.replace("required = false", "required = true")).unwrap();
    let account = |text: &str| payee.accept_account(&Account::new(text).unwrap());
    assert!(account("1920679795").is_ok());
    assert_eq!(account("192067979").unwrap_err().field, "account");
    let amount = |minor| payee.accept_amount(Amount::new(minor).unwrap());
    assert!(amount(100).is_ok() && amount(1_500_000).is_ok());
    assert!(amount(99).is_err() && amount(1_500_001).is_err());
    assert!(payee.accept_currency("KZT".parse().unwrap()).is_err());
    let fields = |json: &str| serde_json::from_str::<Fields>(json).unwrap();
    let missing = |json: &str| payee.accept_fields(&fields(json)).map(|rules| rules.len());
    assert_eq!(missing(r#"{"meter_cold":"00123","payer":"Иванов"}"#), Ok(0));
    assert_eq!(missing(r#"{"meter_cold":""}"#), Ok(1));
    assert_eq!(missing("{}"), Ok(1));
    assert_eq!(missing(r#"{"meter_cold":"x"}"#).unwrap_err().field, "fields.meter_cold");
}

#[test]
fn endpoints_lie_under_the_base_url() {
    let base = |url: &str| from_toml::<Payee>(&ISP.replace("https://billing.example.org/unikassa", url)).unwrap();
    for (url, pay) in [
        ("https://b.example.org", "https://b.example.org/pay"),
        ("https://b.example.org/", "https://b.example.org/pay"),
        ("https://b.example.org/u", "https://b.example.org/u/pay"),
        ("https://b.example.org/u/", "https://b.example.org/u/pay"),
    ] {
        assert_eq!(base(url).unikassa.unwrap().endpoint("pay").as_str(), pay);
    }
}

#[test]
fn terminals_are_spoken_for_by_their_users() {
    let kiosk: Terminal = from_toml(KIOSK).unwrap();
    assert!(kiosk.may_be_spoken_for_by(Some("frontend1"), false));
    assert!(!kiosk.may_be_spoken_for_by(Some("frontend2"), true));
    assert!(!kiosk.may_be_spoken_for_by(None, false));
    assert!(kiosk.may_be_spoken_for_by(None, true));
    let anyones = Terminal {
        id: TerminalId::parse("T-2").unwrap(),
        users: vec![],
        ..kiosk
    };
    assert!(anyones.may_be_spoken_for_by(Some("guest"), true) && !anyones.may_be_spoken_for_by(Some("guest"), false));
}

#[test]
fn products_are_offered_to_their_groups() {
    let own: Product = from_toml(MTS).unwrap();
    assert!(own.is_offered_to(None));
    let grouped = Product {
        groups: vec!["center".to_owned()],
        ..own
    };
    assert!(
        grouped.is_offered_to(Some("center")) && !grouped.is_offered_to(Some("edge")) && !grouped.is_offered_to(None)
    );
}
