//! The vault and what it shows, by hand: commands on a running installation.

use age::x25519::Identity;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use testkit::process::{Process, run};
use testkit::wait_for;

use crate::cli::{Files, done, failed, rows, unigate};
use crate::faults::{bare, environment};
use crate::fixtures::{MTS, new_id, reservation};
use crate::world::{PATIENCE, World};

async fn reserves(world: &World) -> String {
    let reserved = world.ask("card.reserve", &reservation(&new_id())).await;
    assert_eq!(reserved["outcome"], "reserved", "{reserved}");
    reserved["card"]["serial"].as_str().unwrap().to_owned()
}

async fn shown(world: &World) -> Value {
    done(world, &["cards", "vault", "show", "--format", "json"])
        .await
        .rows()
        .remove(0)
}

#[tokio::test]
async fn an_identity_is_rotated_under_workers_that_run() {
    let world = bare().await;
    world.product(MTS).await;
    let escrow = Identity::generate();
    let named = escrow.to_public().to_string();
    done(&world, &["cards", "vault", "init", "--escrow", &named]).await;
    failed(
        &unigate(&world, &["cards", "vault", "init", "--escrow", &named]).await,
        1,
        "add-recipient",
    );
    world.cards("mts-100", 1, 10).await;
    let first = std::fs::read_to_string(&world.stand.settings().vault_identity_file).unwrap();
    let by_variable = environment(&world, &[("UNIGATE_VAULT_IDENTITY", &*first)]);
    let elsewhere = Process::start_ready(&by_variable, &["run", "cards"]).await;
    let here = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    reserves(&world).await;

    let rotate = ["cards", "vault", "rotate", "--reason", "yearly"];
    done(&world, &rotate).await;
    // The same again finds it under way and goes on.
    done(&world, &rotate).await;
    let state = shown(&world).await;
    assert_eq!((&state["version"], &state["rotating"]), (&json!(2), &json!(true)));
    let roles: Vec<&str> = state["recipients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["leaving", "escrow", "workers"]);
    wait_for("both workers to have said what they have", PATIENCE, async || {
        let workers = shown(&world).await["workers"].clone();
        let ready: Vec<bool> = workers
            .as_array()?
            .iter()
            .map(|one| one["has_present_identity"] == true)
            .collect();
        let version = workers.as_array()?.iter().all(|one| one["version"] == 2);
        (version && ready.len() == 2 && ready.iter().filter(|ready| **ready).count() == 1).then_some(())
    })
    .await;
    let finish = ["cards", "vault", "rotate", "--finish", "--reason", "yearly"];
    failed(&unigate(&world, &finish).await, 1, "have not got the new identity");
    reserves(&world).await;
    // The one that has it only as a variable is started again with both.
    assert!(elsewhere.end().await.success());
    let both = std::fs::read_to_string(&world.stand.settings().vault_identity_file).unwrap();
    let by_variable = environment(&world, &[("UNIGATE_VAULT_IDENTITY", &*both)]);
    world.sql("DELETE FROM vault_holder RETURNING 1").await;
    let elsewhere = Process::start_ready(&by_variable, &["run", "cards"]).await;
    done(&world, &finish).await;
    reserves(&world).await;
    let checked = done(&world, &["cards", "vault", "verify", "--all"]).await;
    assert!(
        checked.stderr.contains("10 cards looked at; 0 do not fit"),
        "{checked:?}"
    );
    done(
        &world,
        &["cards", "vault", "rotate", "--index-key", "--reason", "yearly"],
    )
    .await;
    wait_for("the cards to be moved", PATIENCE, async || {
        let keys = shown(&world).await["index_keys"].clone();
        (keys[1]["cards"] == 10 && keys[1]["all_cards_moved_at"].is_string()).then_some(())
    })
    .await;
    done(&world, &["cards", "vault", "verify"]).await;
    assert!(here.end().await.success() && elsewhere.end().await.success());

    // A worker with the old one alone does not start, and says what is missing; in escrow there is one that opens all.
    let old = environment(&world, &[("UNIGATE_VAULT_IDENTITY", &*first)]);
    failed(&run(&old, &["run", "cards"]).await, 64, "put the present one there");
    let kept = escrow.to_string();
    let kept = environment(&world, &[("UNIGATE_VAULT_IDENTITY", kept.expose_secret())]);
    let by_escrow = run(&kept, &["cards", "vault", "verify", "--all"]).await;
    assert_eq!(by_escrow.code, Some(0), "{by_escrow:?}");
    done(
        &world,
        &["cards", "vault", "remove-recipient", &named, "--reason", "left"],
    )
    .await;
    assert_eq!(run(&kept, &["cards", "vault", "verify", "--all"]).await.code, Some(64));
    let acts = world
        .value("SELECT count(*) FROM audit WHERE subject_kind = 'vault' AND who = 'tester'")
        .await;
    assert_eq!(acts, "6", "init, rotate, a finish denied, finish, index key, remove");
}

/// No worker has it in memory: it is not there, and only a copy of the database may have it.
#[tokio::test]
async fn the_end_of_a_rotation_names_a_damaged_key_and_how_to_put_it_back() {
    let world = bare().await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 3).await;
    let keep = "CREATE TABLE copy AS SELECT batch_id, wrapped_key FROM card_batch";
    let damage = "UPDATE card_batch SET wrapped_key = 'x'";
    let put_back = "UPDATE card_batch b SET wrapped_key = copy.wrapped_key FROM copy WHERE copy.batch_id = b.batch_id";
    for act in [keep, damage] {
        world.sql(act).await;
    }
    let rotate = ["cards", "vault", "rotate", "--reason", "yearly"];
    let begun = unigate(&world, &rotate).await;
    failed(&begun, 1, "do not open");
    let finished = unigate(&world, &[&rotate[..], &["--finish"]].concat()).await;
    failed(&finished, 1, "the key of batch 1 (import ");
    assert!(finished.stderr.contains("put that back"), "{finished:?}");
    assert_eq!(
        unigate(&world, &["cards", "vault", "verify", "--all"]).await.code,
        Some(1)
    );
    // As it says: the old identity is still beside the new one.
    world.sql(put_back).await;
    let worker = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    wait_for("the key to be wrapped anew", PATIENCE, async || {
        let verified = unigate(&world, &["cards", "vault", "verify", "--all"]).await;
        (verified.code == Some(0)).then_some(())
    })
    .await;
    reserves(&world).await;
    assert!(worker.end().await.success());
}

#[tokio::test]
async fn a_look_at_a_card_and_a_return_are_answered_by_a_worker_for_one_key() {
    let world = bare().await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 5).await;
    let (own, issuer, files) = (Identity::generate(), Identity::generate(), Files::new());
    let (to_me, to_issuer) = (own.to_public().to_string(), issuer.to_public().to_string());
    let show = |serial: &'static str, wait: &'static str| {
        [
            "cards",
            "show",
            serial,
            "--product",
            "mts-100",
            "--reason",
            "lost receipt",
            "--to",
            &to_me,
            "--wait",
            wait,
        ]
        .map(str::to_owned)
    };
    let text = |args: &'_ [String]| -> Vec<String> { args.to_vec() };
    let call = async |args: Vec<String>| unigate(&world, &args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // Nobody is there to answer.
    failed(&call(text(&show("0002", "0"))).await, 1, "is one running?");
    let target = files.path().join("back.csv.age").display().to_string();
    let back = [
        "cards",
        "return",
        "--product",
        "mts-100",
        "--to",
        &to_issuer,
        "--count",
        "2",
        "--reason",
        "over",
        &target,
    ];
    let early = unigate(&world, &[&back[..], &["--wait", "0"]].concat()).await;
    failed(&early, 1, "give the same command again");
    assert_eq!(
        world.value("SELECT count(*) FROM card WHERE state = 'withdrawn'").await,
        "2"
    );

    let worker = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    let answered = call(text(&show("0001", "45"))).await;
    assert_eq!(answered.code, Some(0), "{answered:?}");
    let opened: Value = serde_json::from_slice(&age::decrypt(&own, answered.stdout.as_bytes()).unwrap()).unwrap();
    assert_eq!(opened["fields"]["pin"], testkit::leak::pin(1));
    failed(&call(text(&show("9999", "45"))).await, 1, "serial");
    let told = done(&world, &back).await;
    assert!(told.stdout.contains("2 cards of mts-100 worth 20000 RUB"), "{told:?}");
    let file = age::decrypt(&issuer, &std::fs::read(&target).unwrap()).unwrap();
    assert_eq!(String::from_utf8(file).unwrap().lines().count(), 3);
    failed(&unigate(&world, &back).await, 1, "not written over");
    assert_eq!(
        world.value("SELECT count(*) FROM card WHERE state = 'withdrawn'").await,
        "2"
    );
    let listed = rows(&world, &["cards", "disclosures"]).await;
    let kinds: Vec<_> = listed
        .iter()
        .map(|row| (row["kind"].as_str().unwrap(), row["state"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [("show", "done"), ("return", "done"), ("show", "refused")]);
    let again = files.path().join("again.csv.age").display().to_string();
    done(
        &world,
        &[
            "cards",
            "return",
            "--again",
            listed[1]["disclosure_id"].as_str().unwrap(),
            "--reason",
            "the first copy is lost",
            &again,
        ],
    )
    .await;
    let fetched =
        "SELECT count(*) FROM audit WHERE act = 'cards disclosure fetched' AND reason = 'the first copy is lost'";
    assert_eq!(world.value(fetched).await, "1");
    let acts = world
        .sql("SELECT act || CASE WHEN allowed THEN '' ELSE ' denied' END FROM audit WHERE act LIKE 'cards %show%' ORDER BY audit_id")
        .await;
    let acts: Vec<&str> = acts.iter().filter_map(|row| row[0].as_deref()).collect();
    assert_eq!(
        acts,
        [
            "cards show (asked)",
            "cards show (asked)",
            "cards show (answered)",
            "cards show (asked) denied"
        ]
    );
    for wrong in [
        &["cards", "show", "1", "--product", "mts-100", "--to", &to_me][..],
        &[
            "cards",
            "show",
            "1",
            "--product",
            "mts-100",
            "--to",
            "age1no",
            "--reason",
            "x",
        ],
        &[
            "cards",
            "show",
            "1",
            "--product",
            "mts-100",
            "--to",
            &to_me,
            "--reason",
            " ",
        ],
        &["cards", "return", "--product", "mts-100", "--reason", "x", "f"],
        &["cards", "vault", "rotate", "--finish", "--cancel", "--reason", "x"],
    ] {
        assert_eq!(unigate(&world, wrong).await.code, Some(2), "{wrong:?}");
    }
    assert!(worker.end().await.success());
}
