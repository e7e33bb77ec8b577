//! The terminals at work: one errand after the other at each, all terminals at once. What the contract says a terminal
//! may expect is expected here; anything else is remembered as a surprise.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{join_all, try_join_all};
use testkit::register_file::Key;

use super::cards::CardDesk;
use super::memory::Memory;
use super::payments::PaymentDesk;
use super::scenario::{Act, Errand};
use super::spoilt;
use super::stock::Stock;
use super::till::Till;

/// Everything terminals share.
pub(super) struct Players {
    pub(super) till: Till,
    pub(super) memory: Arc<Memory>,
    pub(super) names: Vec<String>,
    pub(super) stock: Stock,
    /// The key of the terminal that gets its cards sealed.
    pub(super) key: Key,
}

impl Players {
    /// Plays acts to their end: those of one terminal in their order, terminals side by side.
    pub(super) async fn play(self: &Arc<Self>, acts: &[Act]) -> anyhow::Result<()> {
        let mut by_terminal: BTreeMap<usize, Vec<Errand>> = BTreeMap::new();
        for act in acts {
            by_terminal.entry(act.terminal).or_default().push(act.errand.clone());
        }
        let terminals = by_terminal.into_iter().map(|(terminal, errands)| {
            let players = self.clone();
            tokio::spawn(async move {
                for errand in errands {
                    players.run(terminal, errand).await;
                }
            })
        });
        try_join_all(terminals).await?;
        Ok(())
    }

    /// The same, but none waits for another: for cards that nobody says anything about for a while.
    pub(super) async fn play_side_by_side(self: &Arc<Self>, acts: &[Act]) {
        join_all(acts.iter().map(|act| self.run(act.terminal, act.errand.clone()))).await;
    }

    async fn run(&self, terminal: usize, errand: Errand) {
        let (cards, payments) = (
            CardDesk {
                players: self,
                terminal,
            },
            PaymentDesk {
                players: self,
                terminal,
            },
        );
        match errand {
            Errand::Look => cards.look().await,
            Errand::Card {
                reservation,
                ending,
                receipt,
            } => cards.serve(reservation, ending, &receipt).await,
            Errand::Pay(payment) => payments.take(&payment).await,
            Errand::RevokedFirst(payment) => payments.revoke_first(&payment).await,
            Errand::Spoilt(spoilt, payment) => spoilt::send(&payments, spoilt, &payment).await,
        }
    }

    pub(super) fn name(&self, terminal: usize) -> &str {
        self.names.get(terminal).map_or("", String::as_str)
    }
}
