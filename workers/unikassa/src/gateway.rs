//! The gateway: payees are paid, asked and greeted by requests over HTTP, in the dialect of each.

use std::sync::Arc;

use bus::Queue;
use contract::message::PaymentCheck;
use contract::unikassa::CheckAnswer;
use couriers::{Gateway, Names, Report, Told, question};
use domain::declaration::{Gateway as Word, Payee};
use domain::ids::Number;
use domain::payment::Act;
use runtime::{Context, Nudge};
use store::deliveries::Due;
use store::{StoreError, payments};

use crate::client::{Caller, Wire};
use crate::heard;
use crate::profiles::Target;

/// Payees that are called over HTTP.
pub(crate) struct Unikassa {
    pub(crate) context: Context,
    pub(crate) caller: Arc<Caller>,
}

impl Gateway for Unikassa {
    const NAMES: Names = Names {
        courier: "unikassa",
        questions: "unikassa.questions",
        expired: "unikassa.expired",
        probe: "unikassa.probe",
        acts: "unikassa.acts",
        gauges: "unikassa.gauges",
    };
    const WORD: Word = Word::Unikassa;
    const QUESTIONS: Queue = Queue::UnikassaQuestions;
    const WAKE: Queue = Queue::UnikassaWake;
    const NUDGE: Nudge = Nudge::Payments;

    async fn act(&self, payee: &Payee, act: Act, due: &Due) -> Report {
        let target = match self.caller.target(payee).await {
            Ok(target) => target,
            Err(why) => return Report::without_request(Told::not_made(why)),
        };
        let request = match target.dialect.act(act, due) {
            Ok(request) => request,
            Err(why) => return Report::without_request(Told::not_made(why)),
        };
        let shown = request.shown.clone();
        let wire = self.caller.call(&target, request, due.traceparent.as_deref()).await;
        Report {
            request: Some(shown),
            told: heard::of_act(
                wire,
                &target.mask,
                |status| target.dialect.judges(act, status),
                |answer| target.dialect.read_act(act, due, answer),
            ),
        }
    }

    async fn check(
        &self,
        payee: &Payee,
        asked: &PaymentCheck,
        traceparent: Option<&str>,
    ) -> Result<Result<CheckAnswer, String>, StoreError> {
        let not_in_order = || Ok(Err("the payee's profile is not in order".to_owned()));
        let target = match self.caller.target(payee).await {
            Ok(target) => target,
            Err(why) => {
                tracing::error!(payee = %payee.id, why, "the payee cannot be called");
                couriers::note_question(&self.context.store, payee, &Told::not_made(why)).await?;
                return not_in_order();
            }
        };
        let number = if target.dialect.number_at_check() {
            Some(payments::number_at_check(&self.context.store, asked.payment_id).await?)
        } else {
            None
        };
        let request = match target.dialect.check(asked, number) {
            Ok(request) => request,
            Err(why) => {
                // Perhaps because of what the payer entered: nobody is told of that.
                tracing::error!(payee = %payee.id, why, "the payee cannot be asked");
                return not_in_order();
            }
        };
        let call = async {
            let wire = self.caller.call(&target, request, traceparent).await;
            let read = read(payee, &target, number, &wire);
            (wire, read)
        };
        // Whoever answers what was asked is there, with whatever status it says so.
        let told = |(wire, read): &(Wire, Result<CheckAnswer, String>)| match read {
            Ok(_) => Told::present(),
            Err(_) => heard::of_question(wire),
        };
        let asked = question::ask(&self.context.store, &self.caller.lines, payee, call, told).await?;
        // Its slot is free: a payment may be waiting for it.
        self.context.nudge(Self::NUDGE);
        Ok(asked.and_then(|(_, read)| read))
    }

    async fn probe(&self, payee: &Payee, number: Option<Number>) -> Told {
        let target = match self.caller.target(payee).await {
            Ok(target) => target,
            Err(why) => return Told::not_made(why),
        };
        let dialect = &target.dialect;
        let asked = number.and_then(|number| Some((number, dialect.probe(number)?)));
        let Some((number, request)) = asked else {
            let greeted = self.caller.greet(&target).await;
            return greeted.map_or_else(|none| heard::of_question(&none), |()| Told::present());
        };
        let wire = self.caller.call(&target, request, None).await;
        heard::of_act(
            wire,
            &target.mask,
            |status| status == 200,
            |answer| dialect.read_probe(number, answer),
        )
    }
}

/// What the payee says to a check. An error, to whoever asks: why it says nothing.
fn read(payee: &Payee, target: &Target, number: Option<Number>, wire: &Wire) -> Result<CheckAnswer, String> {
    let answer = match wire {
        Wire::Answer(answer) if answer.whole && target.dialect.judges_check(answer.status) => answer,
        _ => return Err("the payee did not answer".to_owned()),
    };
    target.read_check(number, answer).map_err(|unreadable| {
        // What exactly is wrong may quote what the payee says about a payer.
        tracing::warn!(payee = %payee.id, "the payee's answer to a check cannot be read");
        tracing::debug!(payee = %payee.id, %unreadable, "in detail");
        "the payee's answer cannot be read".to_owned()
    })
}
