//! The rights of `deploy/grants.sql` are enough for the cards worker, and for whoever settles cases and returns cards.

use age::x25519::Identity;
use serde_json::json;
use store::disclosures::{self, Show};
use store::{Store, StoreSettings, scratch};
use testkit::process::{Process, run};

use crate::cli::Files;
use crate::fixtures::{MTS, about, new_id, reservation, sale};
use crate::rights::{Site, User};
use crate::world::{World, with};

/// Nothing is mailed here.
const NO_MAIL: &str = "smtp://127.0.0.1:1?tls=none";

/// A conflict that was paid 50 above the price, without a card left to give.
async fn conflict(world: &World) {
    let (first, second) = (new_id(), new_id());
    world.ask("card.reserve", &reservation(&first)).await;
    world.tell("card.release", &about("reservation_id", &first)).await;
    world.ask("card.reserve", &reservation(&second)).await;
    world.tell("card.sell", &sale(&second)).await;
    let paid = world
        .tell("card.sell", &with(sale(&first), "amount", json!(10_050)))
        .await;
    assert_eq!(paid["outcome"], "conflict", "{paid}");
}

#[tokio::test]
async fn cards_are_sold_given_instead_and_returned_with_the_rights_of_each_role() {
    let site = Site::found().await;
    let world = &site.world;
    world.product(MTS).await;
    world.cards("mts-100", 1, 1).await;
    site.grant().await;
    let operator = site.user("unigate_operator").await;
    let seller = site.user("unigate_cards").await;
    let worker = Process::start_ready(&seller.environment(world, NO_MAIL), &["run", "cards"]).await;
    let by_hand = operator.environment(world, NO_MAIL);
    let done = async |arguments: &[&str]| {
        let done = run(&by_hand, arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        done.stdout
    };

    conflict(world).await;
    world.cards("mts-100", 2, 4).await;
    let case = world.value("SELECT case_id FROM card_case").await;
    let given = done(&["cards", "cases", "resolve", &case, "--as", "replaced"]).await;
    assert!(given.contains("card 0002"), "{given}");
    let open = "SELECT kind || ' ' || surplus FROM card_case JOIN reservation USING (reservation_id)
                WHERE resolution IS NULL";
    assert_eq!(world.value(open).await, "surplus 50");
    let faulty = [
        "cards",
        "faulty",
        "0002",
        "--product",
        "mts-100",
        "--reason",
        "does not work",
        "--replace",
    ];
    assert!(done(&faulty).await.contains("card 0003"));

    returned_to_another_issuer(world, &by_hand).await;

    // A file in the wrong place is taken back, though nobody but the owner may delete a card.
    world.cards("mts-100", 6, 2).await;
    let wrong = world
        .value("SELECT import_id FROM card_import ORDER BY requested_at DESC LIMIT 1")
        .await;
    let told = done(&["cards", "cancel-import", &wrong, "--reason", "wrong product"]).await;
    assert!(told.contains("its cards (2) are in stock no longer"), "{told}");

    // The worker owns no table, and the planner hears of new cards all the same.
    let known = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'card'::regclass";
    assert_eq!(world.value(known).await, "-1");
    let settings = StoreSettings {
        url: seller.url.clone().into(),
        ..world.stand.settings().store
    };
    let store = Store::connect(&settings).unwrap();
    store::imports::refresh_statistics(&store).await.unwrap();
    assert_eq!(world.value(known).await, "5");
    drop(store);

    assert!(worker.end().await.success());
}

/// Back to the issuer, once more, and to another one.
async fn returned_to_another_issuer(world: &World, by_hand: &[(String, String)]) {
    let (issuer, other, files) = (Identity::generate(), Identity::generate(), Files::new());
    let [to_issuer, to_other] = [&issuer, &other].map(|identity| identity.to_public().to_string());
    let [first, second] = ["first.age", "second.age"].map(|name| files.path().join(name).display().to_string());
    let back = async |which: [&str; 2], to: &str, reason: &str, file: &str| {
        let command = [
            &["cards", "return"][..],
            &which,
            &["--to", to, "--reason", reason, file],
        ]
        .concat();
        run(by_hand, &command).await
    };
    let returned = back(["--product", "mts-100"], &to_issuer, "over", &first).await;
    assert_eq!(returned.code, Some(0), "{returned:?}");
    let unknown = back(["--again", &new_id()], &to_other, "sold", &second).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let denied = "SELECT reason FROM audit WHERE act = 'cards return --again' AND NOT allowed";
    assert_eq!(world.value(denied).await, "sold");
    let id = world.value("SELECT disclosure_id FROM disclosure").await;
    let again = back(["--again", &id], &to_other, "sold", &second).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let [first, second] = [first, second].map(|file| std::fs::read(file).unwrap());
    assert_eq!(
        age::decrypt(&issuer, &first).unwrap(),
        age::decrypt(&other, &second).unwrap()
    );
    assert!(age::decrypt(&issuer, &second).is_err());
}

/// Whoever may send a return to another issuer could else have what a colleague asked for sealed to a key of his own.
#[tokio::test]
async fn what_a_colleague_asked_to_see_is_sealed_to_nobody_else() {
    let site = Site::found().await;
    let world = &site.world;
    world.product(MTS).await;
    world.cards("mts-100", 1, 1).await;
    site.grant().await;
    let (asks, peeps) = (site.user("unigate_operator").await, site.user("unigate_operator").await);
    let [mine, other] = [(); 2].map(|()| Identity::generate().to_public().to_string());
    let store = |user: &User| {
        let settings = StoreSettings {
            url: user.url.clone().into(),
            ..world.stand.settings().store
        };
        Store::connect(&settings).unwrap()
    };
    let show = Show {
        product: &"mts-100".parse().unwrap(),
        serial: "0001",
        recipient: &mine,
        reason: "the payer cannot read it",
        who: "tester",
    };
    let asked = disclosures::ask_show(&store(&asks), &show).await.unwrap();

    let redirect = format!("UPDATE disclosure SET recipients = ARRAY['{other}']");
    let refused = scratch::sql(&store(&peeps), &redirect).await.unwrap_err();
    assert!(
        refused.to_string().contains("shown to nobody but who asked"),
        "{refused}"
    );
    let recipients = "SELECT recipients = ARRAY['{}'] FROM disclosure".replace("{}", &mine);
    assert_eq!(world.value(&recipients).await, "t");
    assert!(disclosures::give_up(&store(&peeps), asked.disclosure_id).await.unwrap());
}
