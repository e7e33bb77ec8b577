//! A database that hangs: its connections stand, and nothing comes through them.

use std::time::Duration;

use runtime::{Context, Settings};
use store::{Store, scratch};
use testkit::proxy::FaultProxy;
use testkit::stand::Stand;
use testkit::wait_for;
use tokio_util::sync::CancellationToken;

use crate::PATIENCE;

/// Waits until the process knows whether the database is there.
async fn database_is(context: &Context, there: bool) {
    wait_for("readiness to say it", PATIENCE, async || {
        (context.readiness.is_part_ready("database") == there).then_some(())
    })
    .await;
}

/// A proxy before the stand's database, and the settings that lead through it.
async fn behind_proxy(stand: &Stand) -> (FaultProxy, Settings) {
    let environment = stand.environment();
    let (_, url) = environment
        .iter()
        .find(|(name, _)| name == "UNIGATE_DATABASE_URL")
        .unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let target = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:5432")
    };
    let proxy = FaultProxy::start(target).await.unwrap();
    let user = if user.is_empty() {
        String::new()
    } else {
        format!("{user}@")
    };
    let mut settings = stand.settings();
    settings.store.url = format!("{scheme}://{user}{}/{path}", proxy.addr).into();
    (proxy, settings)
}

#[tokio::test]
async fn a_database_that_hangs_turns_readiness_red() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stand = Stand::new().await;
    let (proxy, mut settings) = behind_proxy(&stand).await;
    // Nothing but the watch itself finds its session asleep.
    settings.sweep_interval = Duration::from_secs(3600);
    let context = Context::start(settings, CancellationToken::new()).await.unwrap();
    database_is(&context, true).await;
    proxy.stall();
    database_is(&context, false).await;
    proxy.mend();
    database_is(&context, true).await;
    context.shutdown.cancel();
    runtime::end_within(&context).await;
}

#[tokio::test]
async fn a_rested_session_that_does_not_answer_is_given_up() {
    let stand = Stand::new().await;
    let (proxy, settings) = behind_proxy(&stand).await;
    let store = Store::connect(&settings.store).unwrap();
    store.ping().await.unwrap();
    // Only a session that has rested for a second is asked whether it is there.
    wait_for("its session to have rested", PATIENCE, async || {
        (proxy.quiet_for() > Duration::from_millis(1500)).then_some(())
    })
    .await;
    proxy.stall();
    let ping = tokio::time::timeout(PATIENCE, store.ping()).await;
    assert!(ping.expect("an end").unwrap_err().is_retryable());
    proxy.mend();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_session_that_does_not_answer_in_time_is_given_up_in_the_middle() {
    let stand = Stand::new().await;
    let mut settings = stand.settings().store;
    settings.pool_size = 1;
    let store = Store::connect(&settings).unwrap();
    let pid = async || scratch::sql(&store, "SELECT pg_backend_pid()").await.unwrap();
    let before = pid().await;
    let error = scratch::in_no_time(&store).await.unwrap_err();
    assert!(error.is_away(), "{error}");
    assert_ne!(pid().await, before, "what it still says is for nobody");
}
