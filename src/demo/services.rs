//! Everything that runs: the workers, all of them in this process as in a small installation, the provider's billing, the data
//! of payees that have their own, and the mail server of the payees with registers.

use std::time::Duration;

use anyhow::Context as _;
use rand::RngCore;
use runtime::{Context, end_within};
use secrecy::SecretString;
use testkit::mail::{Behaviour, MailServer, MailSettings, Step};
use testkit::register_file::Key;
use tokio_util::sync::CancellationToken;

use super::billing::Billing;
use super::books::Books;
use super::declared::{Declared, Local};
use super::place::Place;
use super::scenario::Scenario;
use super::witness::Witness;
use crate::workers::{self, Worker};

/// Who acts as the operator, for the audit log.
pub(super) const OPERATOR: &str = "demo";

const READY_WITHIN: Duration = Duration::from_secs(30);

/// What runs.
pub(super) struct Services {
    pub(super) context: Context,
    pub(super) billing: Billing,
    pub(super) books: Books,
    pub(super) mail: MailServer,
    pub(super) witness: Witness,
    /// The heating company's key: its registers are sealed to it.
    pub(super) payee_key: Key,
    /// The key of the terminal that gets its cards sealed; handed over to whoever plays it.
    pub(super) terminal_key: Option<Key>,
}

impl Services {
    /// Declares everything and starts it.
    pub(super) async fn start(place: &Place, scenario: &Scenario) -> anyhow::Result<Self> {
        let secret = format!("whsec_{}", in_base64(32));
        let billing = Billing::start(&place.out.join("billing.db"), &secret).await?;
        let books = place.sites.fill(&scenario.debtors, &place.out).await?;
        let mail = start_mail(place).await?;
        let (payee_key, terminal_key) = (Key::new(), Key::new());
        let mut settings = place.settings.clone();
        settings.smtp_url = Some(SecretString::from(relay_url(&mail)));
        let witness = Witness::listen(&settings.bus).await?;
        let context = Context::start(settings, CancellationToken::new()).await?;
        let services = Self {
            context,
            billing,
            books,
            mail,
            witness,
            payee_key,
            terminal_key: Some(terminal_key),
        };
        let started = services.declare_and_start(place, secret, &scenario.terminals).await;
        match started {
            Ok(()) => Ok(services),
            Err(error) => {
                services.end().await;
                Err(error)
            }
        }
    }

    async fn declare_and_start(&self, place: &Place, secret: String, terminals: &[String]) -> anyhow::Result<()> {
        let local = Local {
            billing_url: self.billing.url(),
            billing_secret: secret,
            payee_recipient: self.payee_key.recipient(),
            terminal_recipient: self.terminal_key.as_ref().map(Key::recipient).unwrap_or_default(),
            user: place.user.clone(),
            terminals: terminals.to_vec(),
            places: self.books.places.clone(),
        };
        Declared::local(&local)?
            .apply(&self.context.store, OPERATOR)
            .await
            .context("declaring the examples")?;
        let ready = tokio::time::timeout(READY_WITHIN, self.context.bus.wait_ready()).await;
        ready.context("the broker was not ready in time")?;
        Ok(workers::start(&self.context, &Worker::ALL).await?)
    }

    /// Where mails are handed over.
    pub(super) fn relay_url(&self) -> String {
        relay_url(&self.mail)
    }

    /// Ends it, workers first: what they have in hand is finished.
    pub(super) async fn end(self) {
        self.context.shutdown.cancel();
        end_within(&self.context).await;
        self.witness.close().await;
        self.billing.stop().await;
        self.books.stop().await;
    }
}

fn relay_url(mail: &MailServer) -> String {
    format!("smtp://{}?tls=none", mail.addr)
}

/// The mail server keeps the very first mail and denies it, as servers do that are in trouble: the mail comes again, and
/// has to be the same.
async fn start_mail(place: &Place) -> anyhow::Result<MailServer> {
    let settings = MailSettings {
        directory: Some(place.out.join("mail")),
        ..MailSettings::default()
    };
    let mail = MailServer::start_with("127.0.0.1:0", settings)
        .await
        .context("a mail server")?;
    mail.script([Behaviour::Answer {
        at: Step::Kept,
        code: 451,
    }]);
    Ok(mail)
}

/// Random bytes as base64. The secret of a day is not planned by its seed: nothing depends on it.
fn in_base64(bytes: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = vec![0_u8; bytes / 3 * 4];
    rand::rng().fill_bytes(&mut random);
    // Any four of its letters are three bytes.
    random
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 63)]))
        .collect()
}
