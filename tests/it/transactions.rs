//! Transactions that send statements ahead: what fails on its way behind another one leaves nothing, and says so.

use std::time::Duration;

use domain::declaration::{Gateway, Product};
use domain::ids::{PayeeId, PaymentId, TerminalId};
use domain::money::{Amount, Currency, Fee};
use domain::text::{Account, Fields};
use store::events::{self, Event};
use store::payments::{self, Acceptance, NewPayment, Numbers};
use store::{Store, StoreError, Tx, declarations, parked, scratch};
use testkit::stand::Stand;
use testkit::wait_for;
use unigate::workers::Worker;
use uuid::Uuid;

use crate::fixtures::{MTS, UTILITY};
use crate::world::{PATIENCE, World};

fn event(event_id: Uuid) -> Event {
    Event {
        event_id,
        kind: "payment.accepted".into(),
        body: "{}".into(),
        traceparent: None,
    }
}

async fn add(tx: &Tx, event_id: Uuid) {
    events::add(tx, &[event(event_id)]).await.unwrap();
}

#[tokio::test]
async fn a_statement_sent_with_the_commit_that_fails_leaves_nothing() {
    let stand = Stand::new().await;
    let (twice, beside) = (Uuid::new_v4(), Uuid::new_v4());
    let tx = stand.store().begin().await.unwrap();
    add(&tx, twice).await;
    add(&tx, beside).await;
    add(&tx, twice).await;
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::Data(_)), "{error}");
    assert_eq!(
        events::backlog(&stand.store()).await.unwrap().0,
        0,
        "nothing became true"
    );
}

#[tokio::test]
async fn what_was_left_for_later_is_seen_by_the_next_statement_and_kept_in_order() {
    let stand = Stand::new().await;
    let tx = stand.store().begin().await.unwrap();
    // More than go out in one flight.
    let ids: Vec<Uuid> = std::iter::repeat_with(Uuid::new_v4).take(40).collect();
    for id in &ids {
        add(&tx, *id).await;
    }
    let taken = events::take(&tx, 100).await.unwrap();
    assert_eq!(taken.iter().map(|event| event.event_id).collect::<Vec<_>>(), ids);
    tx.commit().await.unwrap();
    assert_eq!(events::backlog(&stand.store()).await.unwrap().0, 40);
}

#[tokio::test]
async fn who_decided_by_old_declarations_is_told_to_read_them_again() {
    let stand = Stand::new().await;
    let store = stand.store();
    let generation = declarations::generation(&store).await.unwrap();
    // Alone as well, where it is a transaction by itself.
    let alone = async |expected| {
        let tx = store.begin().await.unwrap();
        declarations::expect_generation(&tx, expected).await.unwrap();
        tx.commit().await
    };
    alone(generation).await.unwrap();
    let last = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%declarations_are%' \
                AND pid <> pg_backend_pid()";
    assert_eq!(
        scratch::sql(&stand.store(), last).await.unwrap(),
        [[Some("SELECT declarations_are($1)".to_owned())]],
        "nothing went out before or behind it"
    );
    assert!(matches!(alone(generation - 1).await, Err(StoreError::Outdated)));
    let tx = store.begin().await.unwrap();
    declarations::expect_generation(&tx, generation - 1).await.unwrap();
    add(&tx, Uuid::new_v4()).await;
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::Outdated) && error.is_retryable(), "{error}");
    assert_eq!(events::backlog(&stand.store()).await.unwrap().0, 0);
}

#[tokio::test]
async fn who_waits_in_vain_for_the_batches_at_work_is_told_that_and_nothing_else() {
    let stand = Stand::new().await;
    let store = stand.store();
    let batch = store.begin().await.unwrap();
    let generation = declarations::generation(&store).await.unwrap();
    declarations::expect_generation(&batch, generation).await.unwrap();
    assert_eq!(events::take(&batch, 1).await.unwrap().len(), 0);
    let error = scratch::sql(&store, "SELECT batches_wait()").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "batches at work have not ended within 2 seconds: try again"
    );
    assert!(error.is_retryable(), "{error:?}");
    batch.commit().await.unwrap();
}

/// Whether this payment is stored now, by a transaction that looks for its id first or one that does not.
async fn accept(stand: &Stand, numbers: &Numbers, id: PaymentId, looks: bool) -> Result<Acceptance, StoreError> {
    let tx = stand.store().begin().await?;
    let tx = if looks { tx } else { tx.expecting_new() };
    let accepted = accept_in(&tx, numbers, id, ("isp", Gateway::Unikassa)).await?;
    tx.commit().await?;
    Ok(accepted)
}

/// Stores a payment of 1.00 to this payee, who need not be declared.
pub(crate) async fn accept_in(
    tx: &Tx,
    numbers: &Numbers,
    id: PaymentId,
    (payee, gateway): (&str, Gateway),
) -> Result<Acceptance, StoreError> {
    let (terminal, payee) = (TerminalId::parse("T-1").unwrap(), PayeeId::parse(payee).unwrap());
    let is_online = gateway != Gateway::Registers;
    let account = Account::new("1001").unwrap();
    let new = NewPayment {
        payment_id: id,
        fingerprint: [7; 32],
        payee: &payee,
        payee_version: 1,
        gateway,
        terminal: &terminal,
        account: &account,
        amount: Amount::new(100).unwrap(),
        fee: Fee::new(0).unwrap(),
        currency: Currency::parse("RUB").unwrap(),
        fields: &Fields::default(),
        receipt_number: None,
        paid_at: domain::clock::now(),
        series: if is_online { "" } else { "main" },
        give_up_hours: is_online.then_some(24),
        traceparent: None,
        numbered_at_check: false,
    };
    let accepted = payments::accept(tx, numbers, &[new]).await?;
    Ok(accepted[0])
}

#[tokio::test]
async fn a_payment_taken_for_a_new_one_is_stored_once_and_whoever_looks_finds_it() {
    let (stand, numbers) = (Stand::new().await, Numbers::default());
    let id = PaymentId::from_uuid(Uuid::now_v7());
    let first = accept(&stand, &numbers, id, false).await.unwrap();
    let Acceptance::Accepted(number) = first else {
        panic!("{first:?}")
    };
    let error = accept(&stand, &numbers, id, false).await.unwrap_err();
    assert!(matches!(error, StoreError::Repeated) && error.is_retryable(), "{error}");
    assert_eq!(
        accept(&stand, &numbers, id, true).await.unwrap(),
        Acceptance::Already(number)
    );
    assert_eq!(payments::count_identities(&stand.store()).await.unwrap(), 1);
}

/// A server that crashes forgets what a sequence dealt to transactions it has not committed, and deals it again.
#[tokio::test]
async fn numbers_that_a_lost_transaction_drew_are_nobodys() {
    let (stand, numbers) = (Stand::new().await, Numbers::default());
    let id = || PaymentId::from_uuid(Uuid::now_v7());
    let tx = stand.store().begin().await.unwrap();
    accept_in(&tx, &numbers, id(), ("isp", Gateway::Unikassa))
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    scratch::sql(&stand.store(), "ALTER SEQUENCE payment_number RESTART")
        .await
        .unwrap();
    let others = Numbers::default();
    for dealt in [&others, &others, &numbers] {
        let accepted = accept(&stand, dealt, id(), false).await.unwrap();
        assert!(matches!(accepted, Acceptance::Accepted(_)), "{accepted:?}");
    }
}

#[tokio::test]
async fn a_number_dealt_at_a_check_is_kept_while_its_payment_may_come_and_is_never_anothers() {
    let stand = Stand::new().await;
    let store = stand.store();
    let ids: Vec<PaymentId> = (0..4).map(|_| PaymentId::from_uuid(Uuid::now_v7())).collect();
    let check = async |id: &PaymentId| payments::number_at_check(&store, *id).await.unwrap();
    let again = check(&ids[3]).await;
    let (old, older, young) = (check(&ids[0]).await, check(&ids[1]).await, check(&ids[2]).await);
    let aged = format!(
        "UPDATE dealt_number SET dealt_at = now() - CASE number WHEN {young} THEN 429 ELSE 431 END * interval '1 day'"
    );
    scratch::sql(&store, &aged).await.unwrap();
    assert_eq!(check(&ids[3]).await, again);
    // One that was told again the other day stays, and keeps none behind it.
    for forgotten in [1, 1, 0] {
        assert_eq!(payments::forget_dealt(&store, 430, 1).await.unwrap(), forgotten);
    }
    assert_eq!((check(&ids[2]).await, check(&ids[3]).await), (young, again));
    for id in &ids[..2] {
        let anew = check(id).await;
        assert!(anew > young && anew != old && anew != older, "{anew}");
    }
}

/// Of locks: those of this database. A table has the same number in every database that was made from the same template.
const OURS: &str = "database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Waits until so many sessions have a lock on `parked` that nobody can share, or wait for any on it.
async fn locks(store: &Store, granted: bool, count: usize) {
    let locks = format!(
        "SELECT FROM pg_locks WHERE relation = 'parked'::regclass AND granted = {granted}
         AND (NOT granted OR mode = 'AccessExclusiveLock') AND {OURS}"
    );
    // A session's own patience at a lock is ten seconds.
    wait_for("the sessions to be at the lock", Duration::from_secs(8), async || {
        (scratch::sql(store, &locks).await.unwrap().len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_query_that_is_given_up_ends_and_nobody_waits_behind_it() {
    let stand = Stand::new().await;
    let mut settings = stand.settings().store;
    settings.pool_size = 1;
    let (store, looking) = (Store::connect(&settings).unwrap(), stand.store());
    let locking = stand.store();
    let locked = tokio::spawn(async move {
        let sql = "BEGIN; LOCK TABLE parked; SELECT pg_sleep(30)";
        scratch::sql(&locking, sql).await.unwrap();
    });
    locks(&looking, true, 1).await;
    tokio::select! {
        counted = parked::count_by_reason(&store) => panic!("the table is locked, and yet: {counted:?}"),
        () = locks(&looking, false, 1) => {}
    }
    tokio::time::timeout(Duration::from_secs(5), store.ping())
        .await
        .expect("the only session of the pool is not the one that waits")
        .unwrap();
    // On the server as well, long before the lock or its own patience ends; and so does the one that holds the lock.
    locks(&looking, false, 0).await;
    assert!(!locked.is_finished(), "the lock was there all the time");
    locked.abort();
    locks(&looking, true, 0).await;
}

#[tokio::test]
async fn a_product_is_declared_anew_while_a_file_of_its_cards_comes_in() {
    let stand = Stand::new().await;
    let store = stand.store();
    let mut product: Product = toml::from_str(MTS).unwrap();
    let apply = async |product: &Product| {
        let tx = store.begin().await.unwrap();
        declarations::lock_for_apply(&tx).await.unwrap();
        declarations::apply_product(&tx, product, "tester").await.unwrap();
        tx.commit().await.unwrap();
    };
    apply(&product).await;
    let entering = stand.store();
    let held = tokio::spawn(async move {
        // As the batch that names the product, for as long as a million cards take.
        let sql = "BEGIN; SELECT FROM product FOR KEY SHARE; SELECT pg_sleep(30)";
        scratch::sql(&entering, sql).await.unwrap();
    });
    wait_for("the product to be held", Duration::from_secs(8), async || {
        let held = format!(
            "SELECT FROM pg_locks WHERE relation = 'product'::regclass AND mode = 'RowShareLock' AND granted AND {OURS}"
        );
        (!scratch::sql(&store, &held).await.unwrap().is_empty()).then_some(())
    })
    .await;
    product.suspended = true;
    tokio::time::timeout(Duration::from_secs(8), apply(&product))
        .await
        .expect("sales can be stopped at once");
    assert!(!held.is_finished(), "it was held all the time");
    held.abort();
}

#[tokio::test]
async fn workers_that_look_for_work_keep_their_sessions() {
    let world = World::start(&Worker::ALL).await;
    world.payee(UTILITY).await;
    let begun = async || {
        let sql =
            "SELECT sessions, xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        let found = world.sql(sql).await;
        let number = |at: usize| found[0][at].as_deref().unwrap().parse::<i64>().unwrap();
        (number(0), number(1))
    };
    let (sessions, transactions) = begun().await;
    let more = wait_for("them to look many times", PATIENCE, async || {
        let (more, since) = begun().await;
        (since > transactions + 1000).then(|| more - sessions)
    })
    .await;
    // As many as the pool has may be begun on the way, and no session for a single look.
    assert!(more < 20, "{more} sessions were begun");
}
