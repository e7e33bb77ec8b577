//! Payees that cannot be called for a reason of ours: somebody is told, nothing is done at the speed of the database, and what else
//! waits for them gets through.

use serde_json::json;
use testkit::payee::Payee;
use testkit::wait_for;

use crate::cli::{Files, unigate};
use crate::cli_lanes::{lane, pay_often, tried};
use crate::dialects::Spoken;
use crate::fixtures::{SECRET, internet_provider, new_id, online_payment};
use crate::unikassa::{ONLINE, provider};
use crate::world::{PATIENCE, World, with};

const TOLD: &str = "SELECT coalesce(string_agg(kind || ' x' || times, ', '), 'nothing') FROM notice";
const ONCE: &str = "payee.cannot_be_called x1";

/// A payee whose secret is in a file that is not there.
async fn without_secret(files: &Files) -> (World, Payee) {
    let (world, payee) = provider("retry_seconds = [600]").await;
    let secret = format!("file:{}", files.path().join("secret").display());
    let declared = internet_provider(&payee.url(), "retry_seconds = [600]").replace(SECRET, &secret);
    world.payee(&declared).await;
    (world, payee)
}

#[tokio::test]
async fn a_payee_that_cannot_be_called_from_here_is_told_of_once_until_it_is() {
    let files = Files::new();
    let (world, payee) = without_secret(&files).await;
    pay_often(&world, 4).await;
    tried(&world, 4).await;
    assert_eq!(world.value(TOLD).await, "nothing", "four may be about the payments");
    pay_often(&world, 3).await;
    tried(&world, 7).await;
    assert_eq!(world.value(TOLD).await, ONCE);
    let title = world.value("SELECT title FROM notice").await;
    assert!(
        title.starts_with("Payee isp cannot be called from here: unikassa.secret: "),
        "{title}"
    );
    let stands = lane(&world).await;
    assert_eq!(stands["breaker"], "closed", "whether it is there nobody knows");
    let error = stands["last_error"].as_str().unwrap();
    assert!(title.ends_with(error), "{error}");
    let ill = unigate(&world, &["doctor"]).await.stdout;
    assert!(
        ill.contains("payee isp") && ill.contains("cannot be called from here"),
        "{ill}"
    );

    files.write("secret", SECRET);
    world.hurry().await;
    payee.wait_for_credits(7, PATIENCE).await;
    tried(&world, 14).await;
    assert!(lane(&world).await["last_error"].is_null());
    let well = unigate(&world, &["doctor"]).await.stdout;
    assert!(!well.contains("cannot be called from here"), "{well}");
    let events = "SELECT count(*) FROM event WHERE kind LIKE 'payee.%'";
    assert_eq!(world.value(events).await, "0", "nobody has called it down");
}

/// Where a terminal asks first, no payment comes that could tell.
#[tokio::test]
async fn checks_that_cannot_be_made_are_told_of_too() {
    let files = Files::new();
    let (world, _payee) = without_secret(&files).await;
    for asked in 0..6 {
        assert_eq!(world.value(TOLD).await, if asked < 5 { "nothing" } else { ONCE });
        let check = json!({
            "payment_id": new_id(), "terminal": "T-0001", "payee": "isp", "account": "user-17", "amount": 50000,
            "currency": "RUB"
        });
        let answer = world.ask("payment.check", &check).await;
        assert_eq!(answer["outcome"], "unavailable", "{answer}");
        if asked == 0 {
            // Another worker tries whether it is back, and this one's lack is nothing to that.
            world
                .sql("UPDATE lane SET breaker = 'trial', opened_at = now(), recovered_to = 0")
                .await;
        }
    }
    assert_eq!(world.value(TOLD).await, ONCE);
    assert_eq!(world.value("SELECT breaker FROM lane").await, "trial");
}

#[tokio::test]
async fn a_trial_that_cannot_be_made_waits_for_the_next_probe_and_holds_up_nobody() {
    let world = World::start(&ONLINE).await;
    let payee = Payee::start().await.unwrap();
    let declared = Spoken::Template
        .declared("isp", &payee, true, false, "")
        .replace("probe_seconds = 1", "probe_seconds = 600")
        .replace("\"/payments/{{ number }}\"", "\"/{{ account }}/{{ number }}\"");
    world.payee(&declared).await;
    let mut events = world.listen("payee.*").await;
    // An account that comes to no path, alone, when its payee comes back.
    world
        .sql("UPDATE lane SET breaker = 'open', opened_at = now(), probe_at = now() + interval '1 hour'")
        .await;
    let odd = with(online_payment(&new_id()), "account", json!(".."));
    assert_eq!(world.tell("payment.accepted", &odd).await["outcome"], "accepted");
    let probed = async || {
        world.sql("UPDATE lane SET probe_at = now()").await;
        world.context.nudge(runtime::Nudge::Probes);
    };
    let put_off = "SELECT breaker || ' ' || (probe_at > now() + interval '9 minutes') FROM lane";
    let tries = "SELECT count(*) FROM attempt WHERE ending = 'not_sent'";
    for tried in ["1", "2"] {
        probed().await;
        wait_for("one try, and then a pause", PATIENCE, async || {
            (world.value(tries).await == tried && world.value(put_off).await == "open true").then_some(())
        })
        .await;
    }
    assert!(events.all(&world, "payee.up").await.is_empty(), "it was never up");

    // Another one gets through at the next probe.
    let good = with(online_payment(&new_id()), "account", json!("payments"));
    assert_eq!(world.tell("payment.accepted", &good).await["outcome"], "accepted");
    probed().await;
    events.item("payee.up", "payee", "isp").await;
    world.reaches(good["payment_id"].as_str().unwrap(), "delivered").await;
}
