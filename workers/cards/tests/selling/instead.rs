//! Cards given in place of others: which card, for what money, and that no more of it goes back than came in.

use domain::card::{CardState, Wanted};
use domain::ids::ProductId;
use jiff::ToSpan;
use serde_json::{Value, json};
use store::StoreError;
use store::cards::Reported;
use store::cases::{self, Act, Resolved};
use testkit::leak::digits;
use uuid::Uuid;

use super::outcomes;
use crate::expiring::zones::today_in;
use crate::stand::{Stand, id, release, reserve, reserve_briefly, sell, with};

impl Stand {
    /// Two have seen the only card of `p`, and the second one has bought it. The first one's reservation.
    async fn sold_to_another(&self) -> Uuid {
        let (first, second) = (id(), id());
        self.one(reserve_briefly(first, "p")).await;
        assert_eq!(self.sweep().await, (1, 1));
        self.one(reserve(second, "p")).await;
        assert_eq!(self.one(sell(second)).await["outcome"], "sold");
        first
    }

    async fn sold_for(&self, amount: i64) -> Uuid {
        let id = id();
        self.one(reserve(id, "p")).await;
        assert_eq!(self.one(with(sell(id), "amount", amount)).await["outcome"], "sold");
        id
    }

    async fn report_faulty(&self, serial: &str) -> Reported {
        let (tx, product) = (self.store.begin().await.unwrap(), ProductId::parse("p").unwrap());
        let reported = store::cards::report_faulty(&tx, &product, serial, "tester", "a test").await;
        tx.commit().await.unwrap();
        reported.unwrap()
    }

    /// Resolves the open case of this kind; there is one.
    async fn resolve(&self, kind: &str, wanted: Wanted, serial: Option<&str>) -> Result<Resolved, StoreError> {
        let open = self
            .sql(&format!(
                "SELECT case_id FROM card_case WHERE kind = '{kind}' AND resolution IS NULL"
            ))
            .await;
        assert_eq!(open.len(), 1, "open cases of the kind {kind}");
        let act = Act {
            who: "tester",
            wanted,
            serial,
            method: Some("cash"),
            reference: Some("1"),
            note: None,
        };
        let tx = self.store.begin().await.unwrap();
        let resolved = cases::resolve(&tx, open[0].parse().unwrap(), &act).await;
        if resolved.is_ok() {
            tx.commit().await.unwrap();
        }
        resolved
    }

    async fn refund(&self, kind: &str) -> i64 {
        let resolved = self.resolve(kind, Wanted::Refund(None), None).await.unwrap();
        resolved.refunded.unwrap()
    }

    async fn given(&self, kind: &str) -> String {
        let resolved = self.resolve(kind, Wanted::Replace, None).await.unwrap();
        resolved.given.unwrap().serial
    }

    /// All that must hold of cards, but for the audit rows that the commands write.
    pub(super) async fn holds(&self) {
        let findings = store::invariants::check_all(&self.store).await.unwrap();
        let broken: Vec<_> = findings
            .iter()
            .filter(|one| one.invariant == 2 && one.broken > 0 && !one.what.starts_with("a case is resolved"))
            .collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
}

async fn stand_that_replaces() -> Stand {
    let stand = Stand::new().await;
    stand
        .product("p", json!({"grace_seconds": 0, "replace_on_conflict": true}))
        .await;
    stand
}

#[tokio::test]
async fn a_card_worth_another_amount_is_given_to_nobody() {
    let stand = stand_that_replaces().await;
    stand.stock("p", 1).await;
    stand.sql("UPDATE card SET face_value = 20000").await;
    let first = stand.sold_to_another().await;
    // Worth what the product says, which is less than what was paid for.
    stand.import("p", &format!("serial,pin\nq-1,{}\n", digits(7))).await;
    let conflict = stand.one(sell(first)).await;
    assert_eq!(
        (conflict["outcome"].as_str(), conflict.get("replacement")),
        (Some("conflict"), None)
    );
    for (serial, why) in [(None, "worth the same"), (Some("q-1"), "or is worth another amount")] {
        let refused = stand.resolve("conflict", Wanted::Replace, serial).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    stand
        .sql("UPDATE card SET face_value = 20000 WHERE serial = 'q-1'")
        .await;
    assert_eq!(stand.given("conflict").await, "q-1");
    stand.holds().await;
    stand.end().await;
}

#[tokio::test]
async fn a_card_worth_the_same_is_found_behind_others() {
    let stand = stand_that_replaces().await;
    stand.stock("p", 1).await;
    stand.sql("UPDATE card SET face_value = 20000").await;
    let first = stand.sold_to_another().await;
    let rows: String = (1..=4).map(|at| format!("q-{at},{}\n", digits(10 + at))).collect();
    stand.import("p", &format!("serial,pin\n{rows}")).await;
    stand
        .sql("UPDATE card SET face_value = 20000 WHERE serial IN ('q-3', 'q-4')")
        .await;
    stand
        .sql("UPDATE card SET sealed = set_byte(sealed, 30, get_byte(sealed, 30) # 1) WHERE serial = 'q-3'")
        .await;
    let conflict = stand.one(sell(first)).await;
    assert_eq!(conflict["replacement"]["card"]["serial"], "q-4", "{conflict}");
    let left = "SELECT serial || ' ' || state FROM card WHERE serial LIKE 'q-%' ORDER BY serial";
    assert_eq!(
        stand.sql(left).await,
        ["q-1 available", "q-2 available", "q-3 faulty", "q-4 sold"]
    );
    stand.holds().await;
    stand.end().await;
}

#[tokio::test]
async fn what_was_paid_above_the_price_in_a_conflict_goes_back_by_a_case_of_the_card_given() {
    for by_itself in [true, false] {
        let stand = stand_that_replaces().await;
        stand.stock("p", 1).await;
        let first = stand.sold_to_another().await;
        let paid = with(sell(first), "amount", 10_050);
        let more = format!("serial,pin\nq-1,{}\n", digits(7));
        if by_itself {
            stand.import("p", &more).await;
            let conflict = stand.one(paid).await;
            assert_eq!(conflict["replacement"]["card"]["serial"], "q-1", "{conflict}");
        } else {
            assert_eq!(stand.one(paid).await.get("replacement"), None);
            stand.import("p", &more).await;
            assert_eq!(stand.given("conflict").await, "q-1");
        }
        let given = "SELECT amount || ' ' || surplus || ' ' || late || ' ' || gratis FROM reservation
                     WHERE ended_by = 'replacement'";
        assert_eq!(stand.sql(given).await, ["10050 50 true false"]);
        stand.holds().await;
        if by_itself {
            let refused = stand.resolve("conflict", Wanted::Refund(None), None).await.unwrap_err();
            assert!(refused.to_string().contains("another card"), "{refused}");
        }
        // The card given does not work either: all that was paid goes back, once.
        assert!(matches!(stand.report_faulty("q-1").await, Reported::Sold { .. }));
        assert_eq!(
            (stand.refund("surplus").await, stand.refund("faulty").await),
            (50, 10_000)
        );
        stand.holds().await;
        stand.end().await;
    }
}

#[tokio::test]
async fn of_a_card_given_for_nothing_no_more_goes_back_than_its_price() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 2).await;
    stand.sold_for(10_050).await;
    assert!(matches!(stand.report_faulty("p-1").await, Reported::Sold { .. }));
    assert_eq!(stand.given("faulty").await, "p-2");
    assert!(matches!(stand.report_faulty("p-2").await, Reported::Sold { .. }));
    assert_eq!(
        (stand.refund("faulty").await, stand.refund("surplus").await),
        (10_000, 50)
    );
    stand.holds().await;
    stand.end().await;
}

#[tokio::test]
async fn no_card_is_given_that_no_terminal_could_print() {
    let stand = Stand::new().await;
    stand.product("p", json!({"reprint_days": 0})).await;
    stand.stock("p", 2).await;
    stand.sold_for(10_000).await;
    assert!(matches!(stand.report_faulty("p-1").await, Reported::Sold { .. }));
    for serial in [None, Some("p-2")] {
        let refused = stand.resolve("faulty", Wanted::Replace, serial).await.unwrap_err();
        assert!(refused.to_string().contains("its reprint_days is 0"), "{refused}");
    }
    assert_eq!(stand.counts("p").await, [1, 0, 0, 0, 1]);
    assert_eq!(stand.refund("faulty").await, 10_000);
    stand.holds().await;
    stand.end().await;
}

#[tokio::test]
async fn of_a_suspended_product_no_card_is_given_that_nobody_has_named() {
    let stand = stand_that_replaces().await;
    stand.stock("p", 1).await;
    let first = stand.sold_to_another().await;
    stand
        .product(
            "p",
            json!({"grace_seconds": 0, "replace_on_conflict": true, "suspended": true}),
        )
        .await;
    stand
        .import("p", &format!("serial,pin\nq-1,{}\nq-2,{}\n", digits(7), digits(8)))
        .await;
    for _ in 0..2 {
        let conflict = stand.one(sell(first)).await;
        assert_eq!(
            (conflict["outcome"].as_str(), conflict.get("replacement")),
            (Some("conflict"), None)
        );
    }
    let refused = stand.resolve("conflict", Wanted::Replace, None).await.unwrap_err();
    assert!(refused.to_string().contains("is suspended"), "{refused}");
    assert_eq!(stand.counts("p").await, [2, 0, 0, 0, 1]);
    let named = stand.resolve("conflict", Wanted::Replace, Some("q-2")).await.unwrap();
    assert_eq!(named.given.unwrap().serial, "q-2");
    stand.holds().await;
    stand.end().await;
}

#[tokio::test]
async fn a_card_that_this_batch_has_sold_is_given_to_nobody_else() {
    let stand = stand_that_replaces().await;
    stand.stock("p", 1).await;
    let (a, b) = (id(), id());
    for id in [a, b] {
        stand.one(reserve_briefly(id, "p")).await;
        assert_eq!(stand.sweep().await, (1, 1));
    }
    // The only card is in stock again when both pay.
    assert_eq!(stand.counts("p").await, [0, 1, 0, 0, 0]);
    let answers = stand.batch(&[sell(a), sell(b)]).await;
    assert_eq!(outcomes(&answers), ["sold", "conflict"]);
    assert_eq!(answers[1].get("replacement"), None::<&Value>);
    assert_eq!(stand.counts("p").await, [0, 0, 0, 0, 1]);
    stand.holds().await;
    stand.end().await;
}

#[tokio::test]
async fn a_withdrawn_card_that_does_not_work_is_faulty_for_who_paid_for_it() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 2).await;
    let (known, sound, product) = (id(), id(), ProductId::parse("p").unwrap());
    let withdrawn = CardState::Withdrawn;
    for (id, serial) in [(known, "p-1"), (sound, "p-2")] {
        stand.one(reserve(id, "p")).await;
        store::cards::set_aside(&stand.store, &product, serial, withdrawn, "tester", "a test")
            .await
            .unwrap();
    }
    assert_eq!(
        stand.report_faulty("p-1").await,
        Reported::SetAside {
            was: withdrawn,
            is: withdrawn
        }
    );
    assert_eq!(
        outcomes(&stand.batch(&[sell(known), sell(sound)]).await),
        ["sold", "sold"]
    );
    let cases = "SELECT kind FROM card_case JOIN card USING (card_id) ORDER BY serial";
    assert_eq!(stand.sql(cases).await, ["faulty", "withdrawn"]);
    stand.holds().await;
    stand.end().await;
}

#[tokio::test]
async fn an_operator_gives_what_a_terminal_would_be_given() {
    // At any moment one of them has another day than UTC.
    for zone in ["Etc/GMT+12", "Pacific/Kiritimati"] {
        gives_what_a_terminal_would_be_given(zone).await;
    }
}

async fn gives_what_a_terminal_would_be_given(zone: &str) {
    let stand = Stand::new().await;
    let rules = |margin: u32| {
        json!({
            "reissue_exposed": false, "withdraw_days_before_expiry": margin, "issue_expiring_first": true, "time_zone": zone,
        })
    };
    stand.product("p", rules(0)).await;
    stand
        .import("p", &format!("serial,pin\ns-1,{}\nback,{}\n", digits(1), digits(2)))
        .await;
    stand.sold_for(10_000).await;
    let back = id();
    stand.one(reserve(back, "p")).await;
    stand.one(release(back)).await;
    let [soon, later] = [4, 5].map(|days| today_in(zone).checked_add(days.days()).unwrap());
    let file = format!(
        "serial,pin,expires_on\nundated,{},\nsoon,{},{soon}\nlater,{},{later}\n",
        digits(3),
        digits(4),
        digits(5)
    );
    stand.import("p", &file).await;
    stand.product("p", rules(5)).await;
    for (faulty, given) in [("s-1", "later"), ("later", "undated")] {
        stand.report_faulty(faulty).await;
        assert_eq!(stand.given("faulty").await, given);
    }
    stand.report_faulty("undated").await;
    for serial in [None, Some("soon"), Some("back")] {
        let refused = stand.resolve("faulty", Wanted::Replace, serial).await.unwrap_err();
        assert!(matches!(refused, StoreError::Changed(_)), "{refused}");
    }
    stand.holds().await;
    stand.end().await;
}
