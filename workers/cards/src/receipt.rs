//! The text to print for a card. It holds the card's secrets and is kept like one.
//!
//! A template that fails on a certain card costs nobody a sale: the plain receipt is printed instead, and the operator is
//! told by the log and a metric, where in the template, and nothing of the card.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::answer::Offer;
use domain::declaration::Product;
use domain::ids::ProductId;
use domain::receipt::{self, Slip};
use jiff::Timestamp;
use secrecy::SecretString;
use store::cards::Card;

use crate::desk::exposed;
use crate::vault::Details;

/// A product whose template fails is spoken of once in so long; the metric counts every time.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Makes receipts, and remembers of which products it was told that their templates fail.
#[derive(Debug, Default)]
pub(crate) struct Receipts(Mutex<HashMap<ProductId, Instant>>);

impl Receipts {
    /// The product's template filled in; without one, or where it fails, a line for each thing there is to know.
    pub(crate) fn text(
        &self,
        (product, offer, card, held_until): (&Product, &Offer, &Card, Timestamp),
        details: &Details,
    ) -> SecretString {
        let fields = exposed(details);
        let slip = Slip {
            product: product.id.as_str(),
            name: &product.name,
            serial: &card.serial,
            price: offer.price,
            face_value: offer.face_value,
            currency: offer.currency,
            held_until,
            expires_on: card.expires_on,
            fields: &fields,
        };
        let Some(template) = &product.receipt else {
            return receipt::plain(&slip).into();
        };
        match receipt::render(template, &slip) {
            Ok(text) => text.into(),
            Err(error) => {
                self.tell(&product.id, &card.serial, &error);
                receipt::plain(&slip).into()
            }
        }
    }

    fn tell(&self, product: &ProductId, serial: &str, error: &domain::TemplateError) {
        metrics::counter!("unigate_receipts_failed_total", "product" => product.to_string()).increment(1);
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(product).is_some_and(|at| at.elapsed() < TOLD_AGAIN) {
            return;
        }
        told.insert(product.clone(), Instant::now());
        tracing::error!(%product, serial, %error, "a receipt template failed: the plain receipt is printed instead");
    }
}
