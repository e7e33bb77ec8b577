//! How an online payee is called: where, in which dialect, how many calls at a time, how long and how often. What the file
//! leaves out depends on the dialect, so it is asked through methods; the declaration keeps what was written.

mod access;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::online::{
    Online, default_give_up_hours, default_probe_seconds, default_retry_seconds, default_timeout_seconds,
};
use super::pace::{QuietWindow, Rate};
use super::{Described, Findings, OsmpProfile, Payee, SecretRef, SecretSource, Zone, is_false, is_private_address};
use crate::exchange::Verb;

pub use access::{BasicAuth, ClientCertificate, mask_secrets};

/// How secrets of the Standard Webhooks specification are written.
const WEBHOOK_SECRET_PREFIX: &str = "whsec_";

/// The `[unikassa]` of a payee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnikassaProfile {
    /// The base URL; `/check`, `/pay` and so on are put under it.
    pub url: Url,
    /// Which protocol is spoken.
    #[serde(default)]
    pub dialect: Dialect,
    /// What requests are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// The zone of times without one in the dialect.
    #[serde(default = "Zone::utc")]
    pub time_zone: Zone,
    /// As declared; ask `idempotent()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// As declared; ask `concurrency()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How long an answer is waited for.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u32,
    /// The waits between attempts; the last one repeats.
    #[serde(default = "default_retry_seconds")]
    pub retry_seconds: Vec<u32>,
    /// How long after acceptance the last attempt is made.
    #[serde(default = "default_give_up_hours")]
    pub give_up_hours: u32,
    /// Whether private and loopback addresses may be called, and `http://` to them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_private: bool,
    /// The breaker's first probe interval; it doubles up to ten minutes.
    #[serde(default = "default_probe_seconds")]
    pub probe_seconds: u32,
    /// As declared; ask `offers_status()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers_status: Option<bool>,
    /// As declared; ask `offers_cancel()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers_cancel: Option<bool>,
    /// As declared; ask `offers_check()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers_check: Option<bool>,
    /// As declared; ask `offers_list()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers_list: Option<bool>,
    /// The secret that `secret` replaces: requests are signed with both until it is taken out here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret: Option<SecretRef>,
    /// A user and a password for HTTP Basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuth>,
    /// The certificate we show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
    /// PEM: who may have signed the payee's certificate, instead of the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretRef>,
    /// How many calls in how many seconds; nothing = as many as `concurrency` allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// When it is left alone, in its `time_zone`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quiet_hours: Vec<QuietWindow>,
    /// A check costs a payment over there: the payee is never asked, its declaration answers.
    #[serde(default, skip_serializing_if = "is_false")]
    pub credits_on_check: bool,
    /// For dialect `osmp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub osmp: Option<OsmpProfile>,
    /// For dialect `template`; in dialect `osmp`, what it has besides check and pay.
    #[serde(default, skip_serializing_if = "Described::is_empty")]
    pub template: Described,
}

/// Which protocol an online payee speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Our own, for payees that have none.
    #[default]
    Unikassa,
    /// Billing systems that speak the OSMP provider protocol.
    Osmp,
    /// Any other: its requests and answers are described in the profile.
    Template,
}

impl UnikassaProfile {
    /// Whether the payee credits a number once however often it is sent: only then is a *maybe* sent again by itself.
    pub fn idempotent(&self) -> bool {
        self.idempotent.unwrap_or(self.dialect == Dialect::Unikassa)
    }

    /// Whether the payee may know a payment's number from a check. Our own dialect never tells one then.
    pub fn numbers_at_check(&self) -> bool {
        self.dialect != Dialect::Unikassa
    }

    /// How many calls at a time, across all processes.
    pub fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or(match self.dialect {
            Dialect::Unikassa => 4,
            Dialect::Osmp | Dialect::Template => 1,
        })
    }

    /// Whether the payee can be asked what became of a number.
    pub fn offers_status(&self) -> bool {
        self.offers_status
            .unwrap_or(self.dialect == Dialect::Unikassa || self.template.get(Verb::Status).is_some())
    }

    /// Whether the payee can be asked to take a payment back. Not unless declared: `/cancel` is optional in the protocol.
    pub fn offers_cancel(&self) -> bool {
        self.offers_cancel.unwrap_or(self.template.get(Verb::Cancel).is_some())
    }

    /// What its OSMP protocol does.
    pub fn osmp(&self) -> OsmpProfile {
        self.osmp.clone().unwrap_or_default()
    }

    /// Whether the payee can be asked about an account before it is paid; else its declaration answers.
    pub fn offers_check(&self) -> bool {
        let asked = self.dialect != Dialect::Template || self.template.get(Verb::Check).is_some();
        !self.credits_on_check && self.offers_check.unwrap_or(asked)
    }

    /// Whether the payee can be asked what it credited in a period. In our own dialect unless declared otherwise: a payee without
    /// it says so, and nothing follows from that.
    pub fn offers_list(&self) -> bool {
        self.offers_list
            .unwrap_or(self.dialect == Dialect::Unikassa || self.template.get(Verb::List).is_some())
    }

    /// What it says about calls.
    pub fn online(&self) -> Online<'_> {
        Online {
            idempotent: self.idempotent(),
            asks_first: false,
            offers_status: self.offers_status(),
            offers_cancel: self.offers_cancel(),
            offers_check: self.offers_check(),
            concurrency: self.concurrency(),
            timeout_seconds: self.timeout_seconds,
            retry_seconds: &self.retry_seconds,
            give_up_hours: self.give_up_hours,
            probe_seconds: self.probe_seconds,
            rate: self.rate,
            quiet_hours: &self.quiet_hours,
            time_zone: &self.time_zone,
        }
    }

    /// The URL of one request (`pay`, `status`, …) under the base URL.
    pub fn endpoint(&self, request: &str) -> Url {
        let mut url = self.url.clone();
        // `check` refuses URLs that cannot have a path, so this always finds one to extend.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(request);
        }
        url
    }

    pub(super) fn check(&self, payee: &Payee) -> Findings {
        let mut found = Findings::default();
        self.check_url(&mut found);
        self.check_secret(&mut found);
        self.check_dialect(payee, &mut found);
        found.0.extend(self.online().check().0);
        self.check_access(&mut found);
        found
    }

    fn check_access(&self, found: &mut Findings) {
        if let Some(basic) = &self.basic {
            found.within("basic", basic.check());
        }
        if let Some(ours) = &self.client_certificate {
            found.take(access::check_reference(
                "client_certificate.certificate",
                &ours.certificate,
            ));
            found.take(access::check_reference("client_certificate.key", &ours.key));
        }
        if let Some(ca) = &self.ca {
            found.take(access::check_reference("ca", ca));
        }
        let tls = self.client_certificate.is_some() || self.ca.is_some();
        found.refuse_if(
            tls && self.url.scheme() == "http",
            "url",
            "must begin with https:// where a certificate or a ca is declared",
        );
    }

    /// A section that the dialect does not read is refused: whoever wrote it expects it to count.
    fn check_dialect(&self, payee: &Payee, found: &mut Findings) {
        match (&self.osmp, self.dialect == Dialect::Osmp) {
            (Some(osmp), true) => found.within("osmp", osmp.check()),
            (Some(_), false) => found.refuse_if(true, "osmp", "is read only with dialect = \"osmp\""),
            (None, _) => {}
        }
        let described = |verb| self.template.get(verb).is_some();
        match self.dialect {
            Dialect::Unikassa => {
                let why = "is not read with dialect = \"unikassa\", which has all its requests";
                found.refuse_if(!self.template.is_empty(), "template", why);
            }
            Dialect::Osmp => {
                for verb in [Verb::Check, Verb::Pay] {
                    let place = format!("template.{}", verb.as_str());
                    found.refuse_if(described(verb), &place, "is the dialect's own in osmp");
                }
            }
            Dialect::Template => {
                found.refuse_if(
                    !described(Verb::Pay),
                    "template.pay",
                    "is missing: how is a payment made?",
                );
            }
        }
        if self.dialect != Dialect::Unikassa {
            let status = self.offers_status == Some(true) && !described(Verb::Status);
            found.refuse_if(
                status,
                "offers_status",
                "needs template.status: how is the payee asked?",
            );
            let cancel = self.offers_cancel == Some(true) && !described(Verb::Cancel);
            found.refuse_if(
                cancel,
                "offers_cancel",
                "needs template.cancel: how is the payee asked?",
            );
            let list = self.offers_list == Some(true) && !described(Verb::List);
            found.refuse_if(list, "offers_list", "needs template.list: how is the payee asked?");
        }
        found.within("template", self.template.check(&self.url, &self.time_zone, payee));
    }

    fn check_url(&self, found: &mut Findings) {
        let url = &self.url;
        let plain = url.scheme() == "http";
        found.refuse_if(
            !plain && url.scheme() != "https",
            "url",
            "must begin with https:// (or http:// to a private address)",
        );
        found.refuse_if(
            plain && !self.allow_private,
            "url",
            "must begin with https://; http:// goes only to private addresses, with allow_private = true",
        );
        found.refuse_if(
            url.cannot_be_a_base() || url.host().is_none(),
            "url",
            "must name a host",
        );
        found.refuse_if(
            !url.username().is_empty() || url.password().is_some(),
            "url",
            "must not carry a user or a password: URLs are logged",
        );
        found.refuse_if(
            url.query().is_some() || url.fragment().is_some(),
            "url",
            "must end with its path: /pay and the others are put under it",
        );
        // What a name resolves to is judged when it is called; an address can be judged here.
        if let Some(inside) = is_inside(url) {
            found.refuse_if(
                inside && !self.allow_private,
                "url",
                "is a private address: say allow_private = true to call it",
            );
            found.refuse_if(
                !inside && plain,
                "url",
                "must begin with https://; http:// goes only to private addresses",
            );
        }
    }

    fn check_secret(&self, found: &mut Findings) {
        let needed = self.dialect == Dialect::Unikassa;
        found.refuse_if(
            needed && self.secret.is_none(),
            "secret",
            "is missing: requests of dialect unikassa are signed",
        );
        found.refuse_if(
            self.previous_secret.is_some() && self.secret.is_none(),
            "previous_secret",
            "stands beside secret, which is missing",
        );
        for (field, secret) in [("secret", &self.secret), ("previous_secret", &self.previous_secret)] {
            if let (true, Some(SecretSource::Value(value))) = (needed, secret.as_ref().map(SecretRef::source)) {
                // Several may stand side by side in one place.
                found.refuse_if(
                    !value.expose_secret().split(' ').all(is_webhook_secret),
                    field,
                    "must be written whsec_<base64>, or refer to one by env:NAME or file:PATH",
                );
            }
        }
    }
}

fn is_webhook_secret(text: &str) -> bool {
    text.strip_prefix(WEBHOOK_SECRET_PREFIX).is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    })
}

/// Whether a URL's host is a private address; `None` when it is a name that has to be resolved first.
fn is_inside(url: &Url) -> Option<bool> {
    match url.host()? {
        Host::Ipv4(v4) => Some(is_private_address(v4.into())),
        Host::Ipv6(v6) => Some(is_private_address(v6.into())),
        Host::Domain(name) if name == "localhost" || name.ends_with(".localhost") => Some(true),
        Host::Domain(_) => None,
    }
}
