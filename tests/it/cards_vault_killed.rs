//! A change of the vault killed at its worst moments: every card opens all the time, and the same command goes on.

use age::x25519::Identity;
use secrecy::ExposeSecret;
use testkit::leak;
use testkit::process::{Process, run};
use testkit::wait_for;

use crate::cli::{Files, done, failed, unigate};
use crate::faults::{bare, dying_at, environment};
use crate::fixtures::MTS;
use crate::world::{PATIENCE, World};

async fn killed_at(world: &World, point: &str, arguments: &[&str]) {
    let killed = run(&dying_at(world, &format!("cards.vault:{point}")), arguments).await;
    assert_eq!(killed.code, None, "{point}: {killed:?}");
}

/// Every key and every card opens here, and is indexed as it should be. All that is told of is keys that a worker has yet to
/// wrap for the vault's present version.
async fn everything_opens(world: &World, cards: usize) {
    let behind = behind(world).await;
    let verified = unigate(world, &["cards", "vault", "verify", "--all"]).await;
    assert_eq!(verified.code, Some(i32::from(behind != "0")), "{verified:?}");
    let told = format!("{cards} cards looked at; {behind} do not fit");
    assert!(verified.stderr.contains(&told), "{verified:?}");
    let yet_to_be_wrapped = verified.stdout.matches("a worker does it within a minute").count();
    assert_eq!(yet_to_be_wrapped.to_string(), behind, "{verified:?}");
}

async fn version(world: &World) -> String {
    world.value("SELECT max(version) FROM vault").await
}

async fn behind(world: &World) -> String {
    world
        .value("SELECT count(*) FROM card_batch WHERE vault_version < (SELECT max(version) FROM vault)")
        .await
}

fn identities(world: &World) -> usize {
    let file = std::fs::read_to_string(world.stand.settings().vault_identity_file).unwrap();
    file.lines().filter(|line| line.starts_with("AGE-SECRET-KEY-")).count()
}

#[tokio::test]
async fn a_rotation_killed_anywhere_leaves_every_card_openable_and_goes_on() {
    let world = bare().await;
    world.product(MTS).await;
    for first in [1, 4, 7] {
        world.cards("mts-100", first, 3).await;
    }
    let old = std::fs::read_to_string(world.stand.settings().vault_identity_file).unwrap();
    let rotate = ["cards", "vault", "rotate", "--reason", "yearly"];
    let finish = ["cards", "vault", "rotate", "--finish", "--reason", "yearly"];
    // (where, then: version, batch keys that are not wrapped for it)
    for (point, at, left) in [
        ("identity_added", "1", "0"),
        ("before_commit", "1", "0"),
        ("after_commit", "2", "3"),
        ("key_wrapped", "2", "2"),
    ] {
        killed_at(&world, point, &rotate).await;
        assert_eq!((&*version(&world).await, &*behind(&world).await), (at, left), "{point}");
        assert_eq!(identities(&world), 2, "{point}: what was added once is used");
        everything_opens(&world, 9).await;
    }
    failed(
        &unigate(&world, &finish).await,
        1,
        "run `unigate cards vault rotate` again",
    );
    done(&world, &rotate).await;
    assert_eq!((&*version(&world).await, &*behind(&world).await), ("2", "0"));

    killed_at(&world, "before_commit", &finish).await;
    assert_eq!(version(&world).await, "2");
    everything_opens(&world, 9).await;
    killed_at(&world, "after_commit", &finish).await;
    assert_eq!((&*version(&world).await, &*behind(&world).await), ("3", "3"));
    everything_opens(&world, 9).await;
    // Nobody has to know that it was cut off: a worker wraps what is left.
    let worker = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    wait_for("the keys to be wrapped", PATIENCE, async || {
        (behind(&world).await == "0").then_some(())
    })
    .await;
    assert!(worker.end().await.success());
    let old = environment(&world, &[("UNIGATE_VAULT_IDENTITY", &*old)]);
    failed(
        &run(&old, &["cards", "vault", "verify"]).await,
        64,
        "put the present one there",
    );
    everything_opens(&world, 9).await;
    let acts = "SELECT count(*) FROM audit WHERE subject_kind = 'vault' AND after ? 'version'";
    assert_eq!(world.value(acts).await, "2", "each change once: begun, finished");
}

#[tokio::test]
async fn a_recovery_killed_anywhere_is_finished_by_repeating_it() {
    let world = bare().await;
    world.product(MTS).await;
    for first in [1, 4, 7] {
        world.cards("mts-100", first, 3).await;
    }
    let file = world.stand.settings().vault_identity_file.clone();
    let escrow = Identity::generate();
    let named = escrow.to_public().to_string();
    let add = ["cards", "vault", "add-recipient", &named, "--reason", "in a safe"];
    done(&world, &add).await;
    // The workers' own is lost, and what was in the safe is brought.
    std::fs::write(&file, escrow.to_string().expose_secret()).unwrap();
    let recover = ["cards", "vault", "rotate", "--recover", "--reason", "the disk is gone"];
    // (where, then: version, batch keys that are not wrapped for it)
    for (point, at, left) in [
        ("identity_added", "2", "0"),
        ("before_commit", "2", "0"),
        ("after_commit", "3", "3"),
        ("key_wrapped", "3", "2"),
        ("key_wrapped", "3", "1"),
    ] {
        killed_at(&world, point, &recover).await;
        assert_eq!((&*version(&world).await, &*behind(&world).await), (at, left), "{point}");
        assert_eq!(identities(&world), 2, "{point}: what was added once is used");
        everything_opens(&world, 9).await;
    }
    done(&world, &recover).await;
    assert_eq!((&*version(&world).await, &*behind(&world).await), ("3", "0"));
    failed(&unigate(&world, &recover).await, 1, "nothing is lost");
    let kept = std::fs::read_to_string(&file).unwrap();
    let new = kept.lines().rfind(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    std::fs::write(&file, new).unwrap();
    everything_opens(&world, 9).await;
}

#[tokio::test]
async fn another_index_key_killed_anywhere_leaves_every_card_known() {
    let world = bare().await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 40).await;
    // The same details under other serials: known by their index alone.
    let rows = (1..=40).map(|n| format!("other-{n},{},*111*{}#\n", leak::pin(n), leak::digits(n)));
    let files = Files::new();
    let file = files.write(
        "again.csv",
        &format!("serial,pin,activation\n{}", rows.collect::<String>()),
    );
    let import = ["cards", "import", "--product", "mts-100", &file];
    let rotate = ["cards", "vault", "rotate", "--index-key", "--reason", "yearly"];

    killed_at(&world, "before_commit", &rotate).await;
    assert_eq!(version(&world).await, "1");
    killed_at(&world, "after_commit", &rotate).await;
    assert_eq!(version(&world).await, "2");
    everything_opens(&world, 40).await;
    let mut doomed = Process::start(&dying_at(&world, "cards.vault:cards_moved"), &["run", "cards"]);
    doomed.dies().await;
    let of_each = "SELECT string_agg(index_version || ':' || n, ' ' ORDER BY index_version)
        FROM (SELECT index_version, count(*) AS n FROM card_identity GROUP BY 1) counted";
    assert_eq!(world.value(of_each).await, "1:8 2:32", "killed between two steps");
    everything_opens(&world, 40).await;
    let worker = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    let again = done(&world, &import).await;
    assert!(again.stdout.contains("0 cards added, 40 duplicates"), "{again:?}");
    wait_for("the cards to be moved", PATIENCE, async || {
        (world.value(of_each).await == "2:40").then_some(())
    })
    .await;
    assert!(worker.end().await.success());
    everything_opens(&world, 40).await;
}
