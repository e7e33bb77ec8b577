//! The checker: what a payee credited, beside what we say. Every difference must be visible.

use std::collections::HashMap;

use domain::PaymentId;
use store::deliveries;
use store::payments::{self, Filter, PaymentRow};
use testkit::payee::{EntryState, Payee};

use crate::world::World;

/// Statuses by which a payee says itself that it did not take a request.
const NOT_TAKEN: [i32; 3] = [408, 425, 429];

/// Compares everything that was paid to one payee (all payments whose number its ledger or its requests know).
pub(crate) async fn every_difference_is_seen(world: &World, payee: &Payee, idempotent: bool) {
    let rows = payments::list(world.store(), &Filter::default()).await.unwrap();
    let rows: HashMap<String, PaymentRow> = rows.into_iter().map(|row| (row.number.to_string(), row)).collect();
    let ledger = payee.ledger();
    for (number, entry) in &ledger {
        let row = rows
            .get(number)
            .unwrap_or_else(|| panic!("{number} was paid and nobody knows it"));
        let credited = entry.credits > 0 && entry.state == EntryState::Credited;
        let (state, flagged) = (row.shown_state.as_str(), !row.flags.is_empty());
        assert!(
            !idempotent || entry.credits <= 1,
            "{number} was credited {} times",
            entry.credits
        );
        match state {
            "delivered" => assert!(credited || flagged, "{row:?} is not credited"),
            "refused" | "failed" => assert!(!credited, "{row:?} is credited {} times", entry.credits),
            "unknown" => {}
            other => panic!("{row:?} is not at its end: {other}"),
        }
        assert!(
            entry.credits <= 1 || flagged || state == "unknown",
            "{row:?}: {entry:?}"
        );
        assert!(row.amount == entry.amount() || flagged, "{row:?}: {entry:?}");
    }
    for row in rows
        .values()
        .filter(|row| row.shown_state == "delivered" && row.flags.is_empty())
    {
        let paid_here = payee
            .requests()
            .iter()
            .any(|asked| asked.number() == Some(row.number.to_string()));
        assert!(
            !paid_here || ledger.contains_key(&row.number.to_string()),
            "{row:?} is in no ledger"
        );
    }
}

/// To a payee that is not idempotent nothing is sent again by itself once it may have been credited.
pub(crate) async fn nothing_was_sent_after_a_maybe(world: &World, ids: &[String]) {
    for id in ids {
        let attempts = deliveries::attempts(world.store(), PaymentId::parse(id).unwrap())
            .await
            .unwrap();
        let mut after_maybe = false;
        for attempt in attempts.iter().filter(|attempt| attempt.act.as_str() == "pay") {
            assert!(!after_maybe, "{id} was sent again: {attempts:?}");
            let not_taken = attempt.http_status.is_some_and(|status| NOT_TAKEN.contains(&status));
            after_maybe = attempt.ending == "maybe" && !not_taken;
        }
    }
}
