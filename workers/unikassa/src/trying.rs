//! Trying a payee's profile, step by step, as an operator does who sets it up or looks for what is wrong: is it complete here,
//! does the name lead somewhere, does anybody listen, is it the payee, and what does it say. It asks nothing that owes
//! anybody anything, and tells what it finds in words for people.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::message::PaymentCheck;
use contract::unikassa::CheckResult;
use domain::declaration::Payee;
use domain::ids::Number;
use domain::payment::Act;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error as TlsError};
use tokio::net::TcpStream;

use crate::client::{Caller, Connections, Wire};
use crate::dialect::HttpRequest;
use crate::profiles::Target;
use couriers::Told;

/// What the payee is asked in the end.
#[derive(Clone, Debug)]
pub enum Question {
    /// May this account be paid? With the number that the payment would have, for dialects that tell it at a check.
    Check(Box<PaymentCheck>, Option<Number>),
    /// What became of this number? Where the payee can be asked that; else it is greeted.
    Status(Number),
    /// Is anybody there?
    Greeting,
}

/// One step of the way to a payee.
#[derive(Clone, Debug)]
pub struct Step {
    /// `profile`, `name`, `connection`, `tls`, `check`, `status` or `greeting`.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// What was found, or what is wrong.
    pub found: Result<String, String>,
}

/// Whether everything a payee is called with can be had and used here: secrets, password, certificates. The error names what
/// cannot.
pub fn complete(payee: &Payee) -> Result<(), String> {
    let target = Target::of(payee)?;
    match &target.certificates {
        None => Ok(()),
        Some(certificates) => Connections::new()?.tls(Some(certificates)).map(drop),
    }
}

/// Goes all steps up to the first that fails. Never takes longer than three times the payee's timeout.
pub async fn steps(caller: &Caller, payee: &Payee, question: &Question) -> Vec<Step> {
    let mut way = Way::default();
    // A failed step is the last; its error is in it.
    let _ = way.go(caller, payee, question).await;
    way.0
}

struct Failed;

#[derive(Default)]
struct Way(Vec<Step>);

impl Way {
    async fn go(&mut self, caller: &Caller, payee: &Payee, question: &Question) -> Result<(), Failed> {
        let complete = self.step("profile", async {
            let target = Target::of(payee)?;
            // Certificates are read here, so that a file that is none is not taken for a payee that is away.
            let tls = caller.connections.tls(target.certificates.as_ref())?;
            Ok(("secrets and certificates are there".to_owned(), (target, tls)))
        });
        let (target, tls) = complete.await?;
        let found = self.within(target.timeout, "name", look_up(&target)).await?;
        let stream = self.within(target.timeout, "connection", connect(&found)).await?;
        if target.url.scheme() == "https" {
            self.within(target.timeout, "tls", shake_hands(&target, tls, stream))
                .await?;
        }
        let (name, request) = asked(&target, question);
        self.step(name, async {
            let request = request?;
            Ok((ask(caller, &target, question, request).await?, ()))
        })
        .await
    }

    async fn within<T>(
        &mut self,
        limit: Duration,
        name: &'static str,
        step: impl Future<Output = Result<(String, T), String>>,
    ) -> Result<T, Failed> {
        let nothing = || {
            Err(format!(
                "nothing came back within {} s: does a firewall drop it?",
                limit.as_secs()
            ))
        };
        self.step(name, async {
            tokio::time::timeout(limit, step).await.unwrap_or_else(|_| nothing())
        })
        .await
    }

    async fn step<T>(
        &mut self,
        name: &'static str,
        step: impl Future<Output = Result<(String, T), String>>,
    ) -> Result<T, Failed> {
        let begun = Instant::now();
        let (found, reached) = match step.await {
            Ok((found, reached)) => (Ok(found), Ok(reached)),
            Err(wrong) => (Err(wrong), Err(Failed)),
        };
        self.0.push(Step {
            name,
            took: begun.elapsed(),
            found,
        });
        reached
    }
}

async fn look_up(target: &Target) -> Result<(String, Vec<SocketAddr>), String> {
    let host = target
        .url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let port = target.url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let found: Vec<_> = found
        .map_err(|error| {
            format!("{host} is not known here: is it written right, and does this machine resolve names? ({error})")
        })?
        .collect();
    let (mut allowed, mut wrong) = (Vec::new(), format!("{host} leads to no address"));
    for address in found {
        match target.reach.forbids(address.ip()) {
            Some(why) => wrong = format!("{host}: {why}"),
            None => allowed.push(address),
        }
    }
    if allowed.is_empty() {
        return Err(wrong);
    }
    let shown: Vec<String> = allowed.iter().map(|address| address.ip().to_string()).collect();
    Ok((format!("{host} is {}", shown.join(", ")), allowed))
}

async fn connect(found: &[SocketAddr]) -> Result<(String, TcpStream), String> {
    let mut wrong = String::new();
    for address in found {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((format!("{address} answers"), stream)),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                wrong = format!("nobody listens at {address}: is the payee's program running, and the port right?");
            }
            Err(error) => wrong = format!("{address} cannot be reached: {error}"),
        }
    }
    Err(wrong)
}

async fn shake_hands(target: &Target, tls: rustls::ClientConfig, stream: TcpStream) -> Result<(String, ()), String> {
    let host = target
        .url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let name =
        ServerName::try_from(host.clone()).map_err(|_| format!("{host} is no name that a certificate could be for"))?;
    let connected = tokio_rustls::TlsConnector::from(Arc::new(tls))
        .connect(name, stream)
        .await;
    let connected = connected.map_err(|error| explained(&error))?;
    let (_, session) = connected.get_ref();
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    Ok((
        format!("{version}; its certificate is for {host}, in date, and of an authority that is trusted"),
        (),
    ))
}

/// What is wrong with the other side's TLS, and what can be done about it.
fn explained(error: &std::io::Error) -> String {
    use CertificateError as C;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    let advice = match tls {
        Some(TlsError::InvalidCertificate(C::Expired | C::ExpiredContext { .. })) => {
            "the payee's certificate is out of date: the payee has to renew it (or a clock is wrong)"
        }
        Some(TlsError::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. })) => {
            "the payee's certificate is not valid yet: a clock is wrong, here or there"
        }
        Some(TlsError::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. })) => {
            "the payee's certificate is for another name: correct the host in url, or the payee its certificate"
        }
        Some(TlsError::InvalidCertificate(C::UnknownIssuer)) => {
            "the payee's certificate is of an authority that is not trusted: if it is the payee's own, declare it as ca"
        }
        Some(TlsError::AlertReceived(_)) => {
            "the payee broke it off: does it ask for a client certificate of its own authority?"
        }
        Some(_) => "TLS cannot be agreed upon",
        None => "the connection ended in the middle of it: is it TLS that is spoken there?",
    };
    format!("{advice} ({error})")
}

fn asked(target: &Target, question: &Question) -> (&'static str, Result<Option<HttpRequest>, String>) {
    match question {
        Question::Check(asked, number) => ("check", target.dialect.check(asked, *number).map(Some)),
        Question::Status(number) => match target.dialect.probe(*number) {
            Some(request) => ("status", Ok(Some(request))),
            None => ("greeting", Ok(None)),
        },
        Question::Greeting => ("greeting", Ok(None)),
    }
}

async fn ask(
    caller: &Caller,
    target: &Target,
    question: &Question,
    request: Option<HttpRequest>,
) -> Result<String, String> {
    let Some(request) = request else {
        return match caller.greet(target).await {
            Err(Wire::NotMade(why) | Wire::NotSent(why)) => Err(worded(&why)),
            _ => Ok("it answers; nothing was asked".to_owned()),
        };
    };
    let answer = match caller.call(target, request, None).await {
        Wire::NotMade(why) | Wire::NotSent(why) | Wire::Lost(why) => return Err(worded(&why)),
        Wire::Answer(answer) => answer,
    };
    match answer.status {
        status if is_read(target, question, status) && !answer.whole => {
            return Err(format!("HTTP {status}: the answer could not be read to its end"));
        }
        _ if is_read(target, question, answer.status) => {}
        401 | 403 => {
            return Err(format!(
                "HTTP {}: it does not accept our signature, password or address",
                answer.status
            ));
        }
        404 => return Err("HTTP 404: there is nothing at this path; is the base URL right?".to_owned()),
        status => return Err(format!("HTTP {status}")),
    }
    match question {
        Question::Check(_, number) => match target.read_check(*number, &answer)?.result {
            CheckResult::Refused => Ok("it answers: this account may not be paid".to_owned()),
            CheckResult::Payable | CheckResult::Ask => Ok("it answers: this account may be paid".to_owned()),
        },
        Question::Status(number) => read_status(&target.mask.told(target.dialect.read_probe(*number, &answer))),
        Question::Greeting => Ok("it answers".to_owned()),
    }
}

fn is_read(target: &Target, question: &Question, status: u16) -> bool {
    match question {
        Question::Check(..) => target.dialect.judges_check(status),
        Question::Status(_) => target.dialect.judges(Act::Status, status),
        Question::Greeting => status == 200,
    }
}

fn read_status(told: &Told) -> Result<String, String> {
    match (&told.result, &told.error) {
        (Some(result), _) if told.is_alive() => Ok(format!("it answers: {result}")),
        (_, Some(error)) if !told.is_alive() => Err(error.clone()),
        _ => Ok("it answers".to_owned()),
    }
}

/// What the wire says, with a hint where it is one of the usual things.
fn worded(why: &str) -> String {
    if why.contains("CertificateRequired") || why.contains("certificate required") {
        return format!("the payee asks for our certificate: declare client_certificate ({why})");
    }
    why.to_owned()
}

#[cfg(test)]
mod tests;
