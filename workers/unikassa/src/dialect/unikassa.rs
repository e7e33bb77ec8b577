//! Our own protocol, with all its verbs: signed JSON, the number echoed in every answer.

use contract::message::PaymentCheck;
use contract::unikassa::{
    Cancel, CancelAnswer, CancelResult, Check, CheckAnswer, List, ListAnswer, Pay, PayAnswer, PayResult, Request,
    Status, StatusAnswer, StatusResult, Unreadable, reason,
};
use contract::webhook::{self, ID_HEADER, SIGNATURE_HEADER, Secrets, TIMESTAMP_HEADER};
use domain::Invalid;
use domain::declaration::UnikassaProfile;
use domain::delivery::{Ending, Flag, Verdict};
use domain::ids::Number;
use domain::money::{Amount, Currency};
use domain::payment::Act;
use domain::text::{Account, Fields};
use reqwest::Method;
use store::deliveries::Due;

use super::{Dialect, HttpRequest};
use crate::client::Answer;
use couriers::Told;

/// The protocol towards one payee.
#[derive(Debug)]
pub(super) struct Unikassa {
    profile: UnikassaProfile,
    secrets: Secrets,
}

impl Unikassa {
    pub(super) fn new(profile: UnikassaProfile, secrets: Secrets) -> Self {
        Self { profile, secrets }
    }

    /// Signed anew each time: the receiver compares the time with its own clock; nothing of ours is judged by it.
    fn signed(&self, request: &Request) -> HttpRequest {
        let body = request.to_body();
        let id = request.webhook_id();
        let timestamp = domain::clock::now().as_second();
        let signature = webhook::sign(&self.secrets, &id, timestamp, &body);
        let header = |name: &str, value: String| (name.to_owned(), value);
        HttpRequest {
            method: Method::POST,
            url: self.profile.endpoint(request.act()),
            headers: vec![
                header("content-type", "application/json".to_owned()),
                header(ID_HEADER, id),
                header(TIMESTAMP_HEADER, timestamp.to_string()),
                header(SIGNATURE_HEADER, signature),
            ],
            shown: String::from_utf8_lossy(&body).into_owned(),
            body,
        }
    }
}

impl Dialect for Unikassa {
    fn act(&self, act: Act, due: &Due) -> Result<HttpRequest, String> {
        let request = request(act, due).map_err(|why| why.to_string())?;
        Ok(self.signed(&request))
    }

    fn read_act(&self, act: Act, due: &Due, answer: &Answer) -> Told {
        read_body(act, due.number, &answer.body)
    }

    fn check(&self, asked: &PaymentCheck, _: Option<Number>) -> Result<HttpRequest, String> {
        Ok(self.signed(&Request::Check(Check {
            payment_id: asked.payment_id,
            number: None,
            account: asked.account.clone(),
            amount: asked.amount,
            currency: asked.currency,
            fields: asked.fields.clone(),
        })))
    }

    fn read_check(&self, _: Option<Number>, answer: &Answer) -> Result<CheckAnswer, String> {
        CheckAnswer::read(&answer.body, None).map_err(|unreadable| unreadable.to_string())
    }

    fn list(&self, page: &List) -> Result<HttpRequest, String> {
        Ok(self.signed(&Request::List(page.clone())))
    }

    fn read_list(&self, body: &[u8]) -> Result<ListAnswer, String> {
        ListAnswer::read(body).map_err(|unreadable| unreadable.to_string())
    }

    fn probe(&self, number: Number) -> Option<HttpRequest> {
        self.profile
            .offers_status()
            .then(|| self.signed(&Request::Status(Status { number })))
    }

    fn read_probe(&self, number: Number, answer: &Answer) -> Told {
        read_body(Act::Status, number, &answer.body)
    }
}

fn request(act: Act, due: &Due) -> Result<Request, Invalid> {
    Ok(match act {
        Act::Pay => Request::Pay(Pay {
            number: due.number,
            payment_id: due.payment_id,
            account: Account::new(due.account.as_str())?,
            amount: Amount::new(due.amount)?,
            currency: Currency::parse(&due.currency)?,
            paid_at: due.paid_at,
            fields: fields_of(due)?,
        }),
        Act::Status => Request::Status(Status { number: due.number }),
        Act::Cancel => Request::Cancel(Cancel {
            number: due.number,
            reason: due
                .revoke_reason
                .clone()
                .unwrap_or_else(|| "revoked by the terminal".to_owned()),
        }),
    })
}

fn fields_of(due: &Due) -> Result<Fields, Invalid> {
    serde_json::from_value(due.fields.clone()).map_err(|error| Invalid::new("fields", error.to_string()))
}

fn read_body(act: Act, number: Number, body: &[u8]) -> Told {
    let answer = match act {
        Act::Pay => PayAnswer::read(body, number).map(of_pay),
        Act::Status => StatusAnswer::read(body, number).map(of_status),
        Act::Cancel => CancelAnswer::read(body, number).map(of_cancel),
    };
    answer.unwrap_or_else(|unreadable: Unreadable| Told {
        flag: (unreadable == Unreadable::OtherNumber).then_some(Flag::EchoedNumberDiffers),
        ..Told::maybe(format!("HTTP 200, but the answer {unreadable}"))
    })
}

fn of_pay(answer: PayAnswer) -> Told {
    let conflict = answer.reason.as_deref() == Some(reason::NUMBER_CONFLICT);
    let verdict = match answer.result {
        PayResult::Accepted => Verdict::Accepted,
        PayResult::AlreadyAccepted => Verdict::AlreadyAccepted,
        PayResult::Pending => Verdict::Pending,
        PayResult::Refused if conflict => Verdict::NumberConflict,
        PayResult::Refused => Verdict::Refused,
    };
    said(
        verdict,
        answer.result.as_str(),
        answer.reason,
        answer.provider_reference,
    )
}

fn of_status(answer: StatusAnswer) -> Told {
    let verdict = match answer.result {
        StatusResult::Accepted => Verdict::Accepted,
        StatusResult::Pending => Verdict::Pending,
        StatusResult::Refused => Verdict::Refused,
        StatusResult::Cancelled => Verdict::Cancelled,
        StatusResult::NotFound => Verdict::NotFound,
    };
    said(
        verdict,
        answer.result.as_str(),
        answer.reason,
        answer.provider_reference,
    )
}

fn of_cancel(answer: CancelAnswer) -> Told {
    let verdict = match answer.result {
        CancelResult::Cancelled | CancelResult::AlreadyCancelled => Verdict::Cancelled,
        CancelResult::Refused => Verdict::Refused,
        CancelResult::NotFound => Verdict::NotFound,
    };
    said(verdict, answer.result.as_str(), answer.reason, None)
}

fn said(verdict: Verdict, result: &str, reason: Option<String>, provider_reference: Option<String>) -> Told {
    let error = reason.map(|reason| format!("{result}: {reason}"));
    Told {
        result: Some(result.to_owned()),
        error,
        provider_reference,
        ..Told::bare(Ending::Answered(verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::read_body;
    use crate::client::{Answer, Wire};
    use domain::delivery::{Ending, Verdict};
    use domain::ids::Number;
    use domain::payment::Act;

    fn ending(act: Act, status: u16, body: &str) -> Ending {
        let wire = Wire::Answer(Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
            whole: true,
        });
        crate::heard::of_act(
            wire,
            &crate::mask::Mask::of(&[], None),
            |status| status == 200,
            |answer| read_body(act, Number::new(7).unwrap(), &answer.body),
        )
        .ending
    }

    #[test]
    fn every_answer_has_one_of_three_ends() {
        let maybe = Ending::Maybe { retry_safe: false };
        for (status, body, expected) in [
            (
                200,
                r#"{"number":"7","result":"accepted"}"#,
                Ending::Answered(Verdict::Accepted),
            ),
            (
                200,
                r#"{"number":"7","result":"pending"}"#,
                Ending::Answered(Verdict::Pending),
            ),
            (
                200,
                r#"{"number":"7","result":"refused","reason":"closed"}"#,
                Ending::Answered(Verdict::Refused),
            ),
            (
                200,
                r#"{"number":"7","result":"refused","reason":"number_conflict"}"#,
                Ending::Answered(Verdict::NumberConflict),
            ),
            (200, r#"{"number":"8","result":"accepted"}"#, maybe),
            (200, r#"{"result":"accepted"}"#, maybe),
            (200, r#"{"number":"7","result":"splendid"}"#, maybe),
            (200, "", maybe),
            (200, "<html>", maybe),
            (
                201,
                r#"{"number":"7","result":"accepted"}"#,
                Ending::Answered(Verdict::Concerning),
            ),
            (302, "", Ending::Answered(Verdict::Concerning)),
            (401, "", Ending::Answered(Verdict::Concerning)),
            (408, "", Ending::Maybe { retry_safe: true }),
            (429, "", Ending::Maybe { retry_safe: true }),
            (500, "", maybe),
            (503, "", maybe),
        ] {
            assert_eq!(ending(Act::Pay, status, body), expected, "{status} {body}");
        }
        assert_eq!(
            ending(Act::Status, 200, r#"{"number":"7","result":"not_found"}"#),
            Ending::Answered(Verdict::NotFound)
        );
        assert_eq!(
            ending(Act::Cancel, 200, r#"{"number":"7","result":"already_cancelled"}"#),
            Ending::Answered(Verdict::Cancelled)
        );
    }
}
