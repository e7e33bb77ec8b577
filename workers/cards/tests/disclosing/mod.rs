//! Secrets shown outside of a sale: to whom, for what reason, and what is left of it.

mod again;
mod issuer;
mod replaced;
mod withdrawn;

use age::x25519::Identity;
use cards::disclosure::{Answered, work_one};
use domain::ids::ProductId;
use serde_json::{Value, json};
use store::StoreError;
use store::disclosures::{self, Again, Asked, Disclosure, Return, Show};
use testkit::leak::digits;
use uuid::Uuid;

use crate::stand::{Stand, id, release, reserve, sell};

impl Stand {
    async fn ask_show(&self, serial: &str, to: &Identity) -> Result<Asked, StoreError> {
        let (product, recipient) = (ProductId::parse("p").unwrap(), to.to_public().to_string());
        let show = Show {
            product: &product,
            serial,
            recipient: &recipient,
            reason: "a payer complains",
            who: "tester",
        };
        disclosures::ask_show(&self.store, &show).await
    }

    async fn ask_return(&self, to: &Identity, change: impl FnOnce(&mut Return<'_>)) -> Result<Asked, StoreError> {
        let (product, recipients) = (ProductId::parse("p").unwrap(), [to.to_public().to_string()]);
        let mut wanted = Return {
            product: &product,
            recipients: &recipients,
            pgp_keys: &[],
            expiring_before: None,
            count: None,
            fresh_only: false,
            reason: "the contract ends",
            who: "tester",
        };
        change(&mut wanted);
        disclosures::ask_return(&self.store, &wanted).await
    }

    async fn ask_again(&self, id: Uuid) -> bool {
        let asking = Again {
            issuer: None,
            reason: "once more",
            who: "tester",
        };
        disclosures::ask_again(&self.store, id, &asking).await.unwrap()
    }

    async fn answer_all(&self) -> Vec<Answered> {
        let mut all = Vec::new();
        while let Some(answered) = work_one(&self.store, &self.desk).await.unwrap() {
            all.push(answered);
        }
        all
    }

    async fn found(&self, id: Uuid) -> Disclosure {
        disclosures::find(&self.store, id).await.unwrap().unwrap()
    }

    async fn file(&self, id: Uuid) -> Vec<u8> {
        let mut file = Vec::new();
        while let Some(chunk) = disclosures::chunk(
            &self.store,
            id,
            i32::try_from(file.len() / disclosures::CHUNK_BYTES).unwrap(),
        )
        .await
        .unwrap()
        {
            file.extend(chunk);
            if file.len() % disclosures::CHUNK_BYTES != 0 {
                break;
            }
        }
        file
    }
}

#[tokio::test]
async fn a_card_is_shown_to_who_asks_and_to_nobody_else() {
    let stand = Stand::new().await;
    stand.product("p", json!({"reprint_days": 0})).await;
    stand.stock("p", 2).await;
    let (own, other) = (Identity::generate(), Identity::generate());
    let asked = stand.ask_show("p-1", &own).await.unwrap().disclosure_id;
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    let sealed = stand.file(asked).await;
    assert!(sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----"));
    let shown: Value = serde_json::from_slice(&age::decrypt(&own, &sealed).unwrap()).unwrap();
    let pin = format!("p{}", digits(1));
    assert_eq!(
        shown,
        json!({"product": "p", "serial": "p-1", "state": "available", "fields": {"pin": pin}})
    );
    assert!(age::decrypt(&other, &sealed).is_err());
    let audited = "SELECT act || ' ' || who || ' ' || reason FROM audit WHERE subject = 'p/p-1' ORDER BY audit_id";
    assert_eq!(
        stand.sql(audited).await,
        [
            "cards show (asked) tester a payer complains",
            "cards show (answered) tester a payer complains"
        ]
    );
    // Fetched, it is cleared away; not fetched, a day later.
    disclosures::collected(&stand.store, asked, "tester", "a test")
        .await
        .unwrap();
    disclosures::clear_old(&stand.store, 30).await.unwrap();
    assert!(stand.file(asked).await.is_empty() && stand.found(asked).await.cleared_at.is_some());

    // A card whose secrets are gone, and one that never was.
    let sold = id();
    stand.one(reserve(sold, "p")).await;
    stand.one(sell(sold)).await;
    cards::upkeep::shred(&stand.store, &stand.declared().await)
        .await
        .unwrap();
    let asked = stand.ask_show("p-1", &own).await.unwrap().disclosure_id;
    assert!(matches!(&stand.answer_all().await[..], [Answered::Refused(why)] if why.contains("shredded")));
    assert_eq!(stand.found(asked).await.state, "refused");
    let unknown = stand.ask_show("nope", &own).await.unwrap_err();
    assert!(matches!(unknown, StoreError::Changed(_)));
    // Nobody waits any more: nothing is made ready for nobody.
    let asked = stand.ask_show("p-2", &own).await.unwrap().disclosure_id;
    assert!(disclosures::give_up(&stand.store, asked).await.unwrap());
    assert!(!disclosures::give_up(&stand.store, asked).await.unwrap());
    assert!(stand.answer_all().await.is_empty());
    stand.end().await;
}

#[tokio::test]
async fn unsold_cards_are_withdrawn_and_returned_once() {
    let stand = Stand::new().await;
    let optional = json!({"optional": ["login"]});
    stand
        .product("p", json!({"face_value": 5000, "card_file": optional}))
        .await;
    let text = format!(
        "serial,pin,login,expires_on\ns-1,{},a,2999-01-01\ns-2,{},,\ns-3,{},\"b,\"\"c\",2030-01-01\ns-4,{},,\ns-5,{},,\n",
        digits(1),
        digits(2),
        digits(3),
        digits(4),
        digits(5)
    );
    stand.import("p", &text).await;
    // s-1 came back, s-2 is held, s-4 is sold.
    let (back, held) = (id(), id());
    stand.one(reserve(back, "p")).await;
    stand.one(reserve(held, "p")).await;
    stand.one(release(back)).await;
    let issuer = Identity::generate();
    // The one that expires first.
    let first = stand
        .ask_return(&issuer, |wanted| wanted.count = Some(1))
        .await
        .unwrap();
    assert_eq!(
        stand.sql("SELECT serial FROM card WHERE state = 'withdrawn'").await,
        ["s-3"],
        "withdrawn before anybody answers"
    );
    // Asked again with the same words it is the same; with others it is not.
    let again = stand
        .ask_return(&issuer, |wanted| wanted.count = Some(1))
        .await
        .unwrap();
    assert!(again.again && again.disclosure_id == first.disclosure_id);
    let rest = stand.ask_return(&issuer, |_| {}).await.unwrap();
    assert!(!rest.again);
    assert_eq!(stand.answer_all().await, [Answered::Done, Answered::Done]);
    let found = stand.found(rest.disclosure_id).await;
    assert_eq!(
        (found.cards, found.total, found.currency.as_str(), found.missing),
        (3, 15000, "RUB", 0)
    );
    let plain = |file: Vec<u8>| String::from_utf8(age::decrypt(&issuer, &file).unwrap()).unwrap();
    let file = plain(stand.file(rest.disclosure_id).await);
    assert_eq!(
        file,
        format!(
            "serial,expires_on,shown,pin,login\r\ns-1,2999-01-01,yes,{},a\r\ns-4,,,{},\r\ns-5,,,{},\r\n",
            digits(1),
            digits(4),
            digits(5)
        )
    );
    let file = plain(stand.file(first.disclosure_id).await);
    assert_eq!(
        file,
        format!(
            "serial,expires_on,shown,pin,login\r\ns-3,2030-01-01,,{},\"b,\"\"c\"\r\n",
            digits(3)
        )
    );
    // Cleared away, and asked for again: the same cards, and nothing more withdrawn.
    disclosures::collected(&stand.store, first.disclosure_id, "tester", "a test")
        .await
        .unwrap();
    stand
        .sql("UPDATE disclosure SET finished_at = finished_at - interval '31 days'")
        .await;
    disclosures::clear_old(&stand.store, 30).await.unwrap();
    assert!(stand.file(first.disclosure_id).await.is_empty());
    assert!(stand.ask_again(first.disclosure_id).await);
    assert!(!stand.ask_again(first.disclosure_id).await);
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    assert_eq!(plain(stand.file(first.disclosure_id).await), file);
    // What is gone cannot be sold or returned, but paid beats it still.
    assert_eq!(stand.one(reserve(id(), "p")).await["reason"], "out_of_stock");
    let nothing = stand
        .ask_return(&issuer, |wanted| wanted.fresh_only = true)
        .await
        .unwrap_err();
    assert!(matches!(nothing, StoreError::Changed(_)), "{nothing}");
    assert_eq!(stand.one(sell(back)).await["outcome"], "sold");
    assert_eq!(stand.sql("SELECT kind FROM card_case").await, ["withdrawn"]);
    let audited = "SELECT after->>'withdrawn' || ' ' || (after->>'total') FROM audit WHERE act = 'cards return' ORDER BY audit_id";
    assert_eq!(stand.sql(audited).await, ["1 5000", "3 15000"]);
    stand.end().await;
}

#[tokio::test]
async fn a_return_is_taken_over_from_a_worker_that_died_and_tells_what_is_missing() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 2_500).await;
    stand
        .sql("UPDATE card SET sealed = set_byte(sealed, 30, get_byte(sealed, 30) # 1) WHERE serial = 'p-7'")
        .await;
    let issuer = Identity::generate();
    let asked = stand.ask_return(&issuer, |_| {}).await.unwrap().disclosure_id;
    // It fell silent with a chunk written; its lease is over.
    let dead = disclosures::claim(&stand.store, 0).await.unwrap().unwrap();
    let tx = stand.store.begin().await.unwrap();
    disclosures::own(&tx, &dead).await.unwrap();
    disclosures::add_chunk(&tx, &dead, 0, b"half").await.unwrap();
    assert!(
        work_one(&stand.store, &stand.desk).await.unwrap().is_none(),
        "its transaction has it"
    );
    tx.rollback().await.unwrap();
    testkit::wait_for(
        "the dead one's lock to go",
        std::time::Duration::from_secs(30),
        async || work_one(&stand.store, &stand.desk).await.unwrap(),
    )
    .await;
    let found = stand.found(asked).await;
    assert_eq!((found.state.as_str(), found.cards, found.missing), ("done", 2_500, 1));
    let file = stand.file(asked).await;
    assert_eq!(Some(i64::try_from(file.len()).unwrap()), found.bytes);
    let text = String::from_utf8(age::decrypt(&issuer, &file).unwrap()).unwrap();
    assert_eq!(text.lines().count(), 2_501);
    assert!(text.contains("\r\np-7,,,\r\n") && text.contains(&format!("\r\np-2500,,,p{}\r\n", digits(2500))));
    // It was only slow: nothing it writes counts.
    let tx = stand.store.begin().await.unwrap();
    assert!(matches!(
        disclosures::own(&tx, &dead).await,
        Err(StoreError::Changed(_))
    ));
    tx.rollback().await.unwrap();
    stand.end().await;
}

#[tokio::test]
async fn two_who_return_at_once_and_terminals_that_reserve_get_different_cards() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 60).await;
    let issuer = Identity::generate();
    let half = async |count| {
        let asked = stand.ask_return(&issuer, |wanted| wanted.count = Some(count)).await;
        asked.map(|asked| asked.disclosure_id)
    };
    let reserving = async {
        for _ in 0..20 {
            stand.one(reserve(id(), "p")).await;
        }
    };
    let (a, b, c, ()) = tokio::join!(half(20), half(21), half(20), reserving);
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    assert_eq!((a == c, a == b), (true, false), "the same words are the same return");
    let twice = "SELECT count(*) FROM (SELECT card_id FROM disclosure_card GROUP BY card_id HAVING count(*) > 1) d";
    assert_eq!(stand.sql(twice).await, ["0"]);
    let mixed = "SELECT count(*) FROM disclosure_card JOIN card USING (card_id) WHERE state <> 'withdrawn'";
    assert_eq!(stand.sql(mixed).await, ["0"]);
    stand.end().await;
}
