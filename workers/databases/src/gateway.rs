//! The gateway: payees are paid, asked and looked for in their own data.

use bus::Queue;
use contract::message::PaymentCheck;
use contract::unikassa::CheckAnswer;
use couriers::{Gateway, Names, Report, Told, kept};
use domain::declaration::{Gateway as Word, Payee};
use domain::ids::Number;
use domain::payment::Act;
use runtime::{Context, Nudge};
use sql::Access;
use store::StoreError;
use store::deliveries::Due;

use crate::breaker::{Breakers, Door};
use crate::check::{self, Unanswered};
use crate::file::UNUSABLE;
use crate::source::{Place, Source, Sources};
use crate::{pay, settle};

/// Payees whose own data are worked with.
pub(crate) struct Databases {
    context: Context,
    pub(crate) sources: Sources,
    breakers: Breakers,
}

impl Databases {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            context,
            sources: Sources::default(),
            breakers: Breakers::default(),
        }
    }

    /// Asks, without regard to doors and turns.
    async fn ask(&self, source: &Source, payee: &Payee, asked: &PaymentCheck) -> Result<CheckAnswer, String> {
        let checked = check::check(source, asked).await;
        let (told, answer) = match checked {
            Ok(checked) => {
                for line in &checked.trace {
                    tracing::debug!(payee = %payee.id, line, "a check");
                }
                (Told::present(), Ok(checked.answer))
            }
            Err(unanswered) => not_answered(source, unanswered),
        };
        if let Err(error) = self.breakers.tell(&self.context, payee, &told).await {
            tracing::warn!(%error, payee = %payee.id, "the end of a check could not be recorded");
        }
        answer
    }
}

/// What a terminal is told, in the payee's language where there are words for it, and what the breaker is. The whole of it is
/// in the log: it may quote what the payee says about a payer, so not above debug.
fn not_answered(source: &Source, unanswered: Unanswered) -> (Told, Result<CheckAnswer, String>) {
    let payee = &source.payee.id;
    let words = |reason: &str, otherwise: &str| {
        let message = source.profile.messages.get(reason).cloned();
        Err(message.unwrap_or_else(|| otherwise.to_owned()))
    };
    let down = "the payee cannot be asked now";
    match unanswered {
        Unanswered::Later => (
            Told::present(),
            words("retry", "the payee cannot say now: try again later"),
        ),
        Unanswered::Timeout => {
            let why = format!("a check was not answered within {} s", source.timeout().as_secs());
            tracing::warn!(%payee, "{why}");
            (Told::maybe(why), words("unavailable", down))
        }
        Unanswered::NoFile(why) => {
            tracing::error!(%payee, why, "the payee's file cannot be used");
            (Told::not_sent(UNUSABLE.to_owned()), words("unavailable", down))
        }
        Unanswered::Trouble(trouble) if trouble.is_away() => {
            // Where it is not reached it has said nothing about a payer.
            let said = if trouble.is_unreached() {
                trouble.in_full()
            } else {
                trouble.to_string()
            };
            tracing::warn!(%payee, trouble = said, "the payee's database cannot be used");
            tracing::debug!(%payee, trouble = trouble.in_full(), "in detail");
            (Told::not_sent(trouble.to_string()), words("unavailable", down))
        }
        Unanswered::Trouble(trouble) if trouble.is_contention() => {
            tracing::warn!(%payee, %trouble, "a check found others in the way twice");
            (
                Told::present(),
                words("retry", "the payee cannot say now: try again later"),
            )
        }
        Unanswered::Trouble(trouble) => {
            tracing::error!(%payee, "the payee's scenario does not fit its data: see `unigate databases check-config {payee}`");
            tracing::debug!(%payee, trouble = trouble.in_full(), "in detail");
            (Told::present(), words("unavailable", down))
        }
    }
}

impl Gateway for Databases {
    const NAMES: Names = Names {
        courier: "databases",
        questions: "databases.questions",
        expired: "databases.expired",
        probe: "databases.probe",
        acts: "databases.acts",
        gauges: "databases.gauges",
    };
    const WORD: Word = Word::Databases;
    const QUESTIONS: Queue = Queue::DatabasesQuestions;
    const WAKE: Queue = Queue::DatabasesWake;
    const NUDGE: Nudge = Nudge::Entries;

    async fn act(&self, payee: &Payee, act: Act, due: &Due) -> Report {
        let source = match self.sources.of(payee).await {
            Ok(source) => source,
            Err(why) => return Report::without_request(Told::not_made(why)),
        };
        let (told, trace) = match (act, &source.place) {
            (Act::Pay, _) => {
                let entered = pay::pay(&source, due).await;
                (entered.told, entered.trace)
            }
            (Act::Status, Place::Database(server)) => {
                let asked = settle::ask(&source, server, due);
                match tokio::time::timeout(source.timeout(), asked).await {
                    Ok(Ok(asked)) => asked,
                    Ok(Err(trouble)) => {
                        let told = match trouble.is_away() {
                            true => Told::not_sent(trouble.to_string()),
                            false => settle::of_trouble(&trouble),
                        };
                        (told, vec![trouble.in_full()])
                    }
                    Err(_) => (Told::maybe("status was not answered in time".to_owned()), Vec::new()),
                }
            }
            (Act::Cancel, Place::Database(server)) => settle::cancel(&source, server, due).await,
            (Act::Status | Act::Cancel, Place::File(_)) => {
                let why = "a file can be asked neither: its payments are in its registers";
                (Told::not_made(why.to_owned()), Vec::new())
            }
        };
        let response = (!trace.is_empty()).then(|| kept(trace.join("\n").as_bytes()));
        Report {
            request: Some(shown(act, due)),
            told: Told { response, ..told },
        }
    }

    async fn check(
        &self,
        payee: &Payee,
        asked: &PaymentCheck,
        _: Option<&str>,
    ) -> Result<Result<CheckAnswer, String>, StoreError> {
        let Some(online) = payee.online() else {
            return Ok(Err("the payee is not asked".to_owned()));
        };
        let source = match self.sources.of(payee).await {
            Ok(source) => source,
            Err(why) => {
                tracing::error!(payee = %payee.id, why, "the payee cannot be asked");
                couriers::note_question(&self.context.store, payee, &Told::not_made(why)).await?;
                return Ok(Err("the payee's profile is not in order".to_owned()));
            }
        };
        match self.breakers.door(&self.context.store, payee).await? {
            Door::Open => {}
            Door::Down => return Ok(Err("the payee cannot be asked now: it is down".to_owned())),
            Door::HeldBack => return Ok(Err("the payee is not asked now".to_owned())),
        }
        if let Some(until) = online.quiet_until(domain::clock::now()) {
            return Ok(Err(online.quiet_in_words(until)));
        }
        let Some(_turn) = source.turn().await else {
            return Ok(Err("the payee cannot be asked now: it is busy".to_owned()));
        };
        Ok(self.ask(&source, payee, asked).await)
    }

    async fn probe(&self, payee: &Payee, _: Option<Number>) -> Told {
        let source = match self.sources.of(payee).await {
            Ok(source) => source,
            Err(why) => return Told::not_made(why),
        };
        let greeted = async {
            match &source.place {
                Place::File(listed) => listed.table().await.map(drop).map_err(|_| UNUSABLE.to_owned()),
                Place::Database(server) => {
                    let tx = server
                        .write
                        .begin(Access::Read)
                        .await
                        .map_err(|error| error.in_short())?;
                    tx.rollback().await.map_err(|error| error.in_short())
                }
            }
        };
        match tokio::time::timeout(source.timeout(), greeted).await {
            Ok(Ok(())) => Told::present(),
            Ok(Err(why)) => Told::not_sent(why),
            Err(_) => Told::not_sent("no answer in time".to_owned()),
        }
    }
}

/// What operators may read of it.
fn shown(act: Act, due: &Due) -> String {
    let Due {
        number,
        account,
        amount,
        currency,
        fields,
        ..
    } = due;
    format!(
        "{} number={number} account={account} amount={amount} {currency} fields={fields}",
        act.as_str()
    )
}

#[cfg(test)]
mod tests;
