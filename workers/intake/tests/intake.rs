//! The door on real services: what no message may do to its neighbours, and what no caller may do to the pool.

use std::time::Duration;

use bus::frontend::{Frontend, Message};
use domain::declaration::Payee;
use domain::ids::PayeeId;
use futures::FutureExt;
use runtime::Context;
use serde_json::{Value, json};
use store::parked::{self, Filter};
use store::{Store, declarations, scratch};
use testkit::stand::Stand;
use testkit::wait_for;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod bugs;
mod hanging;
mod order;

const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    context: Context,
    frontend: Frontend,
    store: Store,
    _stand: Stand,
}

async fn world() -> World {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stand = Stand::new().await;
    let store = stand.store();
    for id in ["gorvodokanal", "strange"] {
        declare(&store, id).await;
    }
    let context = Context::start(stand.settings(), CancellationToken::new())
        .await
        .unwrap();
    intake::start(&context);
    context.bus.wait_ready().await;
    World {
        frontend: stand.frontend().await,
        context,
        store,
        _stand: stand,
    }
}

async fn declare(store: &Store, id: &str) {
    let payee: Payee = serde_json::from_value(json!({
        "id": id, "name": id, "gateway": "registers", "currency": "RUB", "account": {"pattern": "^[0-9]+$"},
        "amount": {"min": 1, "max": 100_000},
        "register": {"schedule": "0 0 * * *", "time_zone": "UTC", "format": "csv", "mail_to": ["buh@example.org"]}
    }))
    .unwrap();
    payee.check().unwrap();
    let tx = store.begin().await.unwrap();
    declarations::apply_payee(&tx, &payee, "test").await.unwrap();
    tx.commit().await.unwrap();
}

fn payment(id: &Uuid, payee: &str) -> Value {
    json!({"payment_id": id, "terminal": "T-1", "payee": payee, "account": "17", "amount": 500, "currency": "RUB",
        "paid_at": domain::clock::now().to_string()})
}

impl World {
    async fn tell(&self, key: &str, body: &Value) -> Value {
        let answer = self
            .frontend
            .tell(&Message::new(key, body.to_string()), PATIENCE)
            .await
            .unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }

    async fn parked(&self) -> Vec<parked::Parked> {
        parked::list(&self.store, &Filter::default()).await.unwrap()
    }

    async fn end(self) {
        self.context.shutdown.cancel();
        runtime::end_within(&self.context).await;
    }
}

#[tokio::test]
async fn a_key_that_the_database_would_refuse_does_not_stop_the_parking_lot() {
    let world = world().await;
    for key in ["payment\0accepted", "payment.acepted"] {
        world
            .frontend
            .send(&Message::new(key, payment(&Uuid::new_v4(), "gorvodokanal").to_string()))
            .await
            .unwrap();
    }
    let mut keys = wait_for("both to be parked", PATIENCE, async || {
        let keys: Vec<_> = world.parked().await.into_iter().map(|row| row.routing_key).collect();
        (keys.len() == 2).then_some(keys)
    })
    .await;
    keys.sort_unstable();
    assert_eq!(keys, ["payment.acepted", "payment\u{fffd}accepted"]);
    world.end().await;
}

#[tokio::test]
async fn one_declaration_that_cannot_be_read_stops_nobody_else() {
    let world = world().await;
    scratch::sql(
        &world.store,
        "UPDATE payee SET declaration = declaration || '{\"novelty\": 1}' WHERE payee_id = 'strange';
         UPDATE declaration_generation SET generation = generation + 1",
    )
    .await
    .unwrap();
    let (good, bad) = (Uuid::new_v4(), Uuid::new_v4());
    let refused = world.tell("payment.accepted", &payment(&bad, "strange")).await;
    assert_eq!(refused["reason"], "unknown_payee", "{refused}");
    let accepted = world.tell("payment.accepted", &payment(&good, "gorvodokanal")).await;
    assert_eq!(accepted["outcome"], "accepted", "{accepted}");
    let parked = world.parked().await;
    assert_eq!(
        parked.iter().map(|row| row.payment_id).collect::<Vec<_>>(),
        [Some(bad)],
        "kept in sight"
    );
    world.end().await;
}

#[tokio::test]
async fn discarding_a_revocation_leaves_its_payment_welcome() {
    let world = world().await;
    let id = Uuid::new_v4();
    let body = payment(&id, "gorvodokanal");
    let unreadable = json!({"payment_id": id, "terminal": "T-1", "reason": 7});
    assert_eq!(
        world.tell("payment.revoke", &unreadable).await["reason"],
        "invalid_request"
    );
    let row = world.parked().await.remove(0);
    assert_eq!(row.payment_id, Some(id));
    let tx = world.store.begin().await.unwrap();
    parked::discard(&tx, row.parked_id, "test", "nonsense").await.unwrap();
    tx.commit().await.unwrap();
    let accepted = world.tell("payment.accepted", &body).await;
    assert_eq!(accepted["outcome"], "accepted", "its money has a home: {accepted}");
    world.end().await;
}

#[tokio::test]
async fn a_caller_that_is_cancelled_leaves_no_begun_session_in_the_pool() {
    let stand = Stand::new().await;
    let mut settings = stand.settings().store;
    settings.pool_size = 1;
    let store = Store::connect(&settings).unwrap();
    for polls in 0..60 {
        let mut beginning = Box::pin(store.begin());
        for _ in 0..polls {
            if beginning.as_mut().now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(beginning);
        // Within a transaction that was begun before, `now()` is the time it was begun.
        let alone = scratch::sql(&store, "SELECT now() = statement_timestamp()")
            .await
            .unwrap();
        assert_eq!(alone[0][0].as_deref(), Some("t"), "cancelled after {polls} polls");
    }
}

#[tokio::test]
async fn what_will_never_succeed_is_not_called_an_outage() {
    let stand = Stand::new().await;
    let missing = declarations::payee_version(&stand.store(), &PayeeId::parse("nobody").unwrap(), 7).await;
    assert!(!missing.unwrap_err().is_retryable());
}
