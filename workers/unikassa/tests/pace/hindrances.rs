//! Calls that cannot be made from one process, while another makes them: whoever watches is told once.

use store::Store;
use store::lanes::{self, Asking, Said};
use testkit::stand::Stand;

use super::{NOBODY, back};
use crate::{PROBE, declare, sql, value};

/// A payment cannot be sent from here. Whether people are to be told so.
async fn not_made(store: &Store) -> bool {
    let mut said = Said::new("isp", PROBE);
    said.hindered(Asking::Payment, Some("no secret"));
    let tx = store.begin().await.unwrap();
    let noted = lanes::note(&tx, &[said]).await.unwrap();
    tx.commit().await.unwrap();
    noted.first().is_some_and(|noted| noted.hindered)
}

/// As if what this process noted had been noted by another one.
async fn was_another(store: &Store) {
    sql(store, "UPDATE lane SET hindered_by = gen_random_uuid()").await;
}

#[tokio::test]
async fn what_one_process_cannot_call_is_told_of_once_whatever_others_call() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    let stands = async || value(&store, "SELECT hindered || coalesce(' ' || last_error, '') FROM lane").await;
    let mut told = Vec::new();
    for _ in 0..10 {
        told.push(not_made(&store).await);
        was_another(&store).await;
        assert_eq!(back(&store, "isp").await, None);
    }
    let once: Vec<bool> = (1..=10).map(|call| call == 5).collect();
    assert_eq!(told, once);
    assert_eq!(stands().await, "5 no secret");
    // The other one has ended, or somebody has seen to it.
    sql(&store, "UPDATE lane SET hindered_at = now() - interval '11 minutes'").await;
    assert_eq!(back(&store, "isp").await, None);
    assert_eq!(stands().await, "0");
    // What this one can do again it takes back itself.
    for _ in 0..5 {
        not_made(&store).await;
    }
    assert_eq!(stands().await, "5 no secret");
    assert_eq!(back(&store, "isp").await, None);
    assert_eq!(stands().await, "0");
}

/// As long as it goes on it is not over, however little is written of it.
#[tokio::test]
async fn what_goes_on_is_written_down_now_and_then() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    for _ in 0..5 {
        not_made(&store).await;
    }
    let written = "SELECT xmin::text FROM lane";
    let before = value(&store, written).await;
    assert!(!not_made(&store).await);
    assert_eq!(value(&store, written).await, before, "the same once more is no news");
    sql(&store, "UPDATE lane SET hindered_at = now() - interval '2 minutes'").await;
    assert!(!not_made(&store).await);
    let lately = "SELECT (hindered_at > now() - interval '1 minute')::text FROM lane";
    assert_eq!(value(&store, lately).await, "true");
}
