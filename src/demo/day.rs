//! The day itself, from the first card file to the last register mailed. Chapters follow one another; the cards that
//! nobody pays in time run beside them, since they take the longest.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use store::payments::Filter;
use uuid::Uuid;

use super::memory::{Company, Memory, in_short};
use super::operator::{self, Acts, Imported};
use super::players::Players;
use super::progress::Progress;
use super::scarce;
use super::scenario::Scenario;
use super::services::Services;
use super::till::Till;
use super::wait::until;

/// The breaker opens after five failures in a row, within seconds even on a machine that has other things to do.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);
/// A put-back fact is taken up by the next sweep.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(10);

/// What is known of the day when it is over, besides what the database says.
pub(super) struct Played {
    pub(super) memory: Arc<Memory>,
    pub(super) imported: Imported,
    pub(super) acts: Acts,
    pub(super) outage: Outage,
}

/// How the provider's absence went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outage {
    /// It was told that the payee is down.
    pub(super) noticed: bool,
    /// What a check was answered meanwhile said so too.
    pub(super) told_to_terminals: bool,
    /// Payments that were waiting for it when it came back.
    pub(super) waiting: i64,
}

/// Plays the day.
pub(super) async fn play(
    services: &mut Services,
    scenario: &Scenario,
    user: Option<String>,
    out: &Path,
    progress: &mut Progress,
) -> anyhow::Result<Played> {
    let context = services.context.clone();
    let memory = Arc::<Memory>::default();
    progress.watch(context.store.clone(), memory.clone());
    progress.chapter("card files are handed in");
    let imported = operator::import(&context, &scenario.stock, &out.join("cards")).await?;

    let till = Till::open(&context.settings.bus, user, memory.clone()).await?;
    let key = services
        .terminal_key
        .take()
        .context("the terminal's key is with somebody else")?;
    let names = scenario.terminals.clone();
    let players = Arc::new(Players {
        till,
        memory: memory.clone(),
        names,
        stock: scenario.stock.clone(),
        key,
    });

    let (outage, ()) = tokio::try_join!(
        shifts(services, &players, scenario, progress),
        nobody_pays_in_time(&players, scenario)
    )?;

    progress.chapter("the operator tidies up");
    let acts = operator::tidy_up(&context).await?;
    tell_again(services, &players, &acts).await?;
    progress.chapter("the day is closed: registers are built and mailed");
    operator::close_registers(&context).await?;
    players.till.close().await;
    Ok(Played {
        memory,
        imported,
        acts,
        outage,
    })
}

/// What takes the longest: cards whose holds and graces end, payers who are late, and who comes after them.
async fn nobody_pays_in_time(players: &Arc<Players>, scenario: &Scenario) -> anyhow::Result<()> {
    let (played, ()) = tokio::join!(
        scarce::play(players, &scenario.scarce),
        players.play_side_by_side(&scenario.opening)
    );
    played
}

/// Morning, noon and evening.
async fn shifts(
    services: &Services,
    players: &Arc<Players>,
    scenario: &Scenario,
    progress: &Progress,
) -> anyhow::Result<Outage> {
    progress.chapter("the provider's first answer of the day is lost on its way");
    services.billing.lose_next_answer();
    players.play(std::slice::from_ref(&scenario.first)).await?;
    let store = &services.context.store;
    let lost = until(NOTICED_WITHIN, async || {
        Ok(store::payments::list(
            store,
            &Filter {
                online: true,
                ..Filter::default()
            },
        )
        .await?
        .iter()
        .any(|row| row.maybes > 0))
    });
    if !lost.await? {
        bail!("the provider was not called within {NOTICED_WITHIN:?}");
    }
    progress.chapter("morning: cards, utility payments, the provider");
    let memory = &players.memory;
    memory.in_company(Company::WithBadOnes);
    players.play(&scenario.morning).await?;
    memory.in_company(Company::Any);
    let outage = noon(services, players, scenario, progress).await?;
    progress.chapter("evening: everything at once");
    memory.in_company(Company::WithoutBadOnes);
    players.play(&scenario.evening).await?;
    memory.in_company(Company::Any);
    progress.chapter("waiting for holds and graces to end, for late payers, and for who comes after them");
    Ok(outage)
}

/// The provider is down while its payers go on paying; then it comes back.
async fn noon(
    services: &Services,
    players: &Arc<Players>,
    scenario: &Scenario,
    progress: &Progress,
) -> anyhow::Result<Outage> {
    progress.chapter("noon: the provider's billing is down");
    services.billing.go_down().await;
    players.play(&scenario.noon).await?;
    let begun = Instant::now();
    let noticed = until(NOTICED_WITHIN, async || {
        let down = ("payee.down".to_owned(), "isp".to_owned());
        Ok(services.witness.look(|heard| heard.payees.contains(&down)))
    });
    let noticed = noticed.await?;
    tracing::info!(noticed, after = ?begun.elapsed(), "the provider is down");
    let told_to_terminals = is_unavailable(players).await;
    let waiting = store::invariants::underway(&services.context.store).await?.deliveries;
    progress.chapter("the provider's billing is back");
    services.billing.come_back();
    Ok(Outage {
        noticed,
        told_to_terminals,
        waiting,
    })
}

async fn is_unavailable(players: &Players) -> bool {
    let body = json!({"payment_id": Uuid::new_v4(), "terminal": players.name(0), "payee": "isp", "account": "1001"});
    let answer = players.till.ask(0, "payment.check", &body).await.unwrap_or_default();
    in_short(&answer) == "unavailable"
}

/// The terminals whose facts the operator has dealt with send them again, as they came: they are told what became of them.
async fn tell_again(services: &Services, players: &Players, acts: &Acts) -> anyhow::Result<()> {
    let store = &services.context.store;
    if let Some((parked_id, payment)) = acts.put_back {
        let taken_up = until(TAKEN_UP_WITHIN, async || {
            Ok(store::parked::find(store, parked_id)
                .await?
                .is_some_and(|row| row.state == "resolved"))
        });
        if !taken_up.await? {
            bail!("the payment that was put back was not taken up within {TAKEN_UP_WITHIN:?}");
        }
        let answer = again(services, players, parked_id, &["already_accepted"]).await?;
        let number = answer["number"].as_str().map(str::to_owned);
        players
            .memory
            .note(|all| all.payments.entry(payment).or_default().number = number);
    }
    if let Some(parked_id) = acts.discarded {
        again(services, players, parked_id, &["refused settled_by_operator"]).await?;
    }
    Ok(())
}

async fn again(services: &Services, players: &Players, parked_id: Uuid, expected: &[&str]) -> anyhow::Result<Value> {
    let row = store::parked::find(&services.context.store, parked_id)
        .await?
        .context("a parked fact vanished")?;
    let answer = players
        .till
        .tell_bytes(0, &row.routing_key, row.body)
        .await
        .unwrap_or_default();
    players.memory.expect(&row.routing_key, &answer, expected);
    Ok(answer)
}
