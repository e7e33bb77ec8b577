//! Another card, given for one that was sold twice: sealed, printed again and shredded like any other.

use age::x25519::Identity;
use serde_json::{Value, json};
use testkit::leak::digits;

use crate::stand::{Stand, id, reprint, reserve, reserve_briefly, sell};

#[tokio::test]
async fn another_card_is_sealed_printed_and_shredded_as_the_first_would_be() {
    let stand = Stand::new().await;
    stand
        .product(
            "p",
            json!({"grace_seconds": 0, "replace_on_conflict": true, "reprint_days": 2}),
        )
        .await;
    let key = Identity::generate();
    stand
        .terminal(json!({"id": "T-1", "age_recipient": key.to_public().to_string()}))
        .await;
    stand.stock("p", 1).await;
    let (a, b) = (id(), id());
    stand.one(reserve_briefly(a, "p")).await;
    stand.sweep().await;
    stand.one(reserve(b, "p")).await;
    stand.one(sell(b)).await;
    stand.import("p", &format!("serial,pin\nq-1,{}\n", digits(77))).await;
    let conflict = stand.one(sell(a)).await;
    let opened = |answer: &Value| -> Value {
        assert!(answer["card"].is_null() && !testkit::leak::is_in(answer.to_string().as_bytes()));
        let sealed = answer["sealed_card"].as_str().unwrap();
        serde_json::from_slice(&age::decrypt(&key, sealed.as_bytes()).unwrap()).unwrap()
    };
    let first = opened(&conflict["replacement"]);
    assert_eq!(
        (&first["serial"], &first["fields"]["pin"]),
        (&json!("q-1"), &json!(digits(77)))
    );
    assert_eq!(opened(&stand.one(sell(a)).await["replacement"]), first);
    let instead: uuid::Uuid = conflict["replacement"]["reservation_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(opened(&stand.one(reprint(instead)).await), first);

    let shred = async || {
        cards::upkeep::shred(&stand.store, &stand.declared().await)
            .await
            .unwrap()
    };
    let left = "SELECT serial FROM card WHERE sealed IS NOT NULL ORDER BY serial";
    stand
        .sql("UPDATE card SET updated_at = updated_at - interval '47 hours'")
        .await;
    assert_eq!(shred().await, 0);
    assert_eq!(stand.sql(left).await, ["p-1", "q-1"]);
    stand
        .sql(
            "UPDATE card SET updated_at = updated_at - interval '2 hours';
              UPDATE reservation SET ended_at = ended_at - interval '49 hours'",
        )
        .await;
    assert_eq!(shred().await, 2, "both, each after its own window");
    assert_eq!(stand.sql(left).await, Vec::<String>::new());
    assert_eq!(stand.one(reprint(instead)).await["reason"], "reprint_over");
    // Told once more, the conflict has no card to show any more.
    let again = stand.one(sell(a)).await;
    assert_eq!(again["outcome"], "conflict");
    assert!(again.get("replacement").is_none_or(Value::is_null), "{again}");
    stand.end().await;
}
