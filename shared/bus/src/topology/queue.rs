//! The queues by name.

/// The ladder of holds, in seconds: one wait queue each, since a TTL is acted on at a queue's head only.
pub const HOLDS_SECONDS: [u32; 8] = [15, 30, 60, 120, 300, 600, 1800, 3600];

/// A queue of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Payments and revocations.
    IntakeFacts,
    /// Checks and status questions.
    IntakeQuestions,
    /// Sales and releases.
    CardsFacts,
    /// Reservations, availability, reprints.
    CardsQuestions,
    /// Checks to be asked of online payees.
    UnikassaQuestions,
    /// Payments of online payees are due.
    UnikassaWake,
    /// Checks to be asked of payees' databases.
    DatabasesQuestions,
    /// Payments of payees' databases are due.
    DatabasesWake,
    /// A register may be due.
    RegistersWake,
    /// A mail waits.
    MailerWake,
    /// A card file waits.
    CardsWake,
    /// Holds that ran out.
    CardsExpiry,
    /// Holds that run, by length in seconds: one of [`HOLDS_SECONDS`].
    CardsExpiryWait(u32),
    /// What no queue wanted.
    Unrouted,
    /// What facts' queues and that one gave up.
    Parked,
}

impl Queue {
    /// Every queue there is.
    pub fn all() -> impl Iterator<Item = Self> {
        const FIXED: [Queue; 14] = [
            Queue::Parked,
            Queue::Unrouted,
            Queue::IntakeFacts,
            Queue::IntakeQuestions,
            Queue::CardsFacts,
            Queue::CardsQuestions,
            Queue::UnikassaQuestions,
            Queue::UnikassaWake,
            Queue::DatabasesQuestions,
            Queue::DatabasesWake,
            Queue::RegistersWake,
            Queue::MailerWake,
            Queue::CardsWake,
            Queue::CardsExpiry,
        ];
        FIXED.into_iter().chain(HOLDS_SECONDS.map(Self::CardsExpiryWait))
    }

    /// Its name at the broker.
    pub fn name(self, namespace: &str) -> String {
        match self {
            Self::CardsExpiryWait(seconds) => format!("{namespace}.{}.{seconds}s", self.label()),
            _ => format!("{namespace}.{}", self.label()),
        }
    }

    /// Whether intake forwards questions to it, under headers of ours.
    pub(crate) fn is_forwarded_to(self) -> bool {
        matches!(self, Self::UnikassaQuestions | Self::DatabasesQuestions)
    }

    /// Its name without the namespace, and without the length of a hold: for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::IntakeFacts => "intake.facts",
            Self::IntakeQuestions => "intake.questions",
            Self::CardsFacts => "cards.facts",
            Self::CardsQuestions => "cards.questions",
            Self::UnikassaQuestions => "unikassa.questions",
            Self::UnikassaWake => "unikassa.wake",
            Self::DatabasesQuestions => "databases.questions",
            Self::DatabasesWake => "databases.wake",
            Self::RegistersWake => "registers.wake",
            Self::MailerWake => "mailer.wake",
            Self::CardsWake => "cards.wake",
            Self::CardsExpiry => "cards.expiry",
            Self::CardsExpiryWait(_) => "cards.expiry.wait",
            Self::Unrouted => "unrouted",
            Self::Parked => "parked",
        }
    }

    /// What terminals send that comes here.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::IntakeFacts => &["payment.accepted", "payment.revoke"],
            Self::IntakeQuestions => &["payment.check", "payment.status"],
            Self::CardsFacts => &["card.sell", "card.release"],
            Self::CardsQuestions => &["card.reserve", "card.availability", "card.reprint"],
            _ => &[],
        }
    }
}
