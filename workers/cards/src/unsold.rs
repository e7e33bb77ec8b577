//! Terminals that are shown cards and do not sell them: a broken one, or one that reserves and releases to learn what stands
//! on the cards. A limit stops it (`unsold_per_hour`); with or without one, people are told.

use std::time::Duration;

use domain::declaration::TerminalLimits;
use domain::ids::TerminalId;
use runtime::{Context, Nudge, sweep};
use store::declarations::Declarations;
use store::notices::{self, NewNotice};
use store::reservations::{self, Unsold};
use store::{Store, StoreError};

/// How often terminals are looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(60);
/// So many within an hour are worth telling where no limit says what is usual: more than a busy terminal has payers who walk
/// away.
const UNUSUAL: u32 = 100;
/// Told once within this time, as long as it goes on.
const TOLD_EVERY: Duration = Duration::from_secs(3600);
const KIND: &str = "terminal.unsold";

/// Starts the watch.
pub(crate) fn spawn(context: &Context) {
    let limits = context.settings.terminal_limits;
    sweep::every(context, "cards.terminals", LOOKED_AT_EVERY, move |context| async move {
        let declarations = context.declarations().await?;
        if tell_unsold(&context.store, &declarations, limits).await? > 0 {
            context.nudge(Nudge::Notices);
        }
        Ok(())
    });
}

/// Tells of declared terminals that were shown as many cards as they may, or unusually many, within the last hour without
/// selling them, those that they hold still among them. Returns how many were told.
pub async fn tell_unsold(
    store: &Store,
    declarations: &Declarations,
    installation: TerminalLimits,
) -> Result<usize, StoreError> {
    let limit_of = |terminal: &TerminalId| declarations.limits_of(terminal, installation).unsold_per_hour;
    let asked: Vec<(TerminalId, u32)> = declarations
        .terminals
        .keys()
        .map(|terminal| (terminal.clone(), limit_of(terminal).unwrap_or(UNUSUAL)))
        .collect();
    let mut told = 0;
    for unsold in reservations::unsold(store, &asked).await? {
        let limit = limit_of(&unsold.terminal);
        let tx = store.begin().await?;
        if !notices::was_told(&tx, KIND, unsold.terminal.as_str(), TOLD_EVERY).await? {
            let (terminal, cards) = (&unsold.terminal, unsold.cards);
            tracing::warn!(%terminal, cards, "a terminal was shown cards within an hour that it has not sold");
            notices::add(&tx, &notice(&unsold, limit)).await?;
            told += 1;
        }
        tx.commit().await?;
    }
    Ok(told)
}

fn notice(unsold: &Unsold, limit: Option<u32>) -> NewNotice<'_> {
    let Unsold { terminal, cards } = unsold;
    let stopped = match limit {
        Some(limit) => format!("It may see {limit} (unsold_per_hour): it gets no more until the hour is over"),
        None => "Nothing stops it: its limits, or its group's, have no `unsold_per_hour`".to_owned(),
    };
    NewNotice {
        kind: KIND,
        subject: terminal.as_str(),
        title: format!("Terminal {terminal} was shown {cards} cards or more within an hour and has not sold them"),
        lines: vec![
            stopped,
            "It is broken, or somebody uses it to learn what stands on the cards: those it has seen are `exposed`"
                .to_owned(),
            "Cards that were seen are sold again only where their product says so (reissue_exposed)".to_owned(),
        ],
        mail_to: &[],
    }
}
