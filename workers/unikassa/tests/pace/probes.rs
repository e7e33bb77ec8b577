//! What a payee that is down is asked about: no number of which it cannot speak keeps it down for all the others.

use store::Store;
use store::lanes::{self, Breaker, Probing};
use testkit::stand::Stand;

use super::{NOBODY, back, many};
use crate::{CALL, declare, note, sql};

/// The number the next probe asks about, now.
async fn probed(store: &Store) -> Option<i64> {
    sql(store, "UPDATE lane SET probe_at = now()").await;
    let probes = lanes::claim_probes(store, |_, _| Some(Probing::new(CALL, None)))
        .await
        .unwrap();
    assert_eq!(probes.len(), 1);
    probes[0].number
}

#[tokio::test]
async fn probes_ask_about_one_waiting_number_after_the_other() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    for _ in 0..5 {
        note(&store, "isp", false).await;
    }
    assert_eq!(probed(&store).await, None, "nothing waits");
    sql(&store, "UPDATE lane SET probe_count = 0").await;
    // One that nobody can tell us anything about, and one that came after it and waits to be paid.
    many(&store, "isp", 1, 1, "unknown", "now() - interval '1 hour'").await;
    sql(&store, "UPDATE payment SET next_act = 'status'").await;
    many(&store, "isp", 2, 1, "accepted", "now()").await;
    let mut asked = Vec::new();
    for _ in 0..6 {
        asked.push(probed(&store).await);
    }
    // Neither is anything it need know of: in between, any sign of life will do.
    assert_eq!(asked, [Some(1), Some(2), Some(2), Some(2), None, Some(1)]);

    // Alone, it is asked about first; then any sign of life will do, and the payee is back.
    sql(
        &store,
        "DELETE FROM payment WHERE number = 2; UPDATE lane SET probe_count = 0",
    )
    .await;
    assert_eq!((probed(&store).await, probed(&store).await), (Some(1), None));
    assert_eq!(back(&store, "isp").await, Some(Breaker::Closed));
}
