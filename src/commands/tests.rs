//! The columns of every list: they are the keys of its JSON, which programs rely on.

use domain::declaration::{Payee, Product, Terminal};

use super::declared::Listed;
use super::deliveries::{Delivery, ListedAct, ListedGroup, ListedLane};
use super::doctor::Finding;
use crate::output::{Row, names};

fn line<T: Row>(list: &str) -> String {
    format!("{list}: {}", names::<T>().join(", "))
}

fn columns_of(report: &str, columns: &[sheet::Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    format!("{report}: {}", names.join(", "))
}

#[test]
fn columns() {
    let lines = [
        line::<Listed<Payee>>("payees list"),
        line::<Listed<Product>>("products list"),
        line::<Listed<Terminal>>("terminals list"),
        line::<store::imports::Import>("cards imports"),
        line::<super::cards::LeftOut>("cards imports ID"),
        line::<::cards::import::Masked>("cards import --dry-run"),
        line::<store::cards::Stock>("cards stock"),
        columns_of("cards report", &super::cards::report::SALES),
        columns_of("cards report --serials", &super::cards::report::SERIALS),
        line::<store::disclosures::Disclosure>("cards disclosures"),
        line::<::cards::vault::verify::Unfit>("cards vault verify"),
        line::<store::cards::FaultyRow>("cards faulty list"),
        line::<store::cases::CaseRow>("cards cases list"),
        line::<store::payments::PaymentRow>("payments list"),
        line::<super::payments::import::Taken>("payments import"),
        line::<Delivery>("deliveries list"),
        line::<super::deliveries::Found>("deliveries reconcile"),
        line::<ListedGroup>("deliveries groups"),
        line::<ListedLane>("deliveries lanes"),
        line::<ListedAct>("deliveries acts"),
        line::<databases::trying::Finding>("databases check-config"),
        line::<store::registers::Listed>("registers list"),
        line::<super::registers::schedule::Coming>("registers schedule"),
        columns_of("registers statement", &super::registers::statement::COLUMNS),
        line::<store::parked::Parked>("parked list"),
        line::<store::notices::Notice>("notices list"),
        line::<unikassa::Step>("payees probe"),
        line::<Finding>("doctor"),
    ];
    insta::assert_snapshot!(lines.join("\n"));
}
