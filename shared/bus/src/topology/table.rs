//! The table itself.

use std::fmt;

use super::Queue;

/// A broker's argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word.
    Text(String),
    /// A number.
    Number(i64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// An argument and why it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// As the broker calls it.
    pub name: &'static str,
    /// What it is set to.
    pub value: Value,
    /// Why.
    pub reason: &'static str,
}

/// One queue or exchange with everything that is declared about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// At the broker.
    pub name: String,
    /// `queue`, `topic exchange` or `fanout exchange`.
    pub kind: &'static str,
    /// Arguments.
    pub flags: Vec<Flag>,
    /// Exchange and key of each binding that leads here.
    pub bindings: Vec<(String, &'static str)>,
}

/// The whole table for a namespace, exchanges first.
pub fn rows(namespace: &str) -> Vec<Row> {
    exchanges(namespace)
        .into_iter()
        .map(|exchange| Row {
            kind: if exchange.fanout {
                "fanout exchange"
            } else {
                "topic exchange"
            },
            name: exchange.name,
            flags: exchange.flags,
            bindings: Vec::new(),
        })
        .chain(Queue::all().map(|queue| Row {
            name: queue.name(namespace),
            kind: "queue",
            flags: flags(queue, namespace),
            bindings: bindings(queue, namespace),
        }))
        .collect()
}

pub(crate) fn terminal_exchange(namespace: &str) -> String {
    format!("{namespace}.terminal")
}

pub(crate) fn events_exchange(namespace: &str) -> String {
    format!("{namespace}.events")
}

pub(super) fn unroutable_exchange(namespace: &str) -> String {
    format!("{namespace}.unroutable")
}

pub(super) fn dead_exchange(namespace: &str) -> String {
    format!("{namespace}{DEAD}")
}

/// Whether it is an exchange by which the broker alone sends: what a queue gave up.
pub(crate) fn is_of_the_dead(exchange: &str) -> bool {
    exchange.ends_with(DEAD)
}

const DEAD: &str = ".dead";

pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) fanout: bool,
    /// Closed to clients: only the broker itself publishes there.
    pub(super) internal: bool,
    pub(super) flags: Vec<Flag>,
}

pub(super) fn exchanges(namespace: &str) -> Vec<Exchange> {
    let exchange = |name, fanout, internal, flags| Exchange {
        name,
        fanout,
        internal,
        flags,
    };
    let parking = text(
        "alternate-exchange",
        unroutable_exchange(namespace),
        "a fact with a wrong routing key goes to the parking lot instead of nowhere",
    );
    vec![
        // Reached as alternate exchange only.
        exchange(unroutable_exchange(namespace), true, true, vec![]),
        // Not internal: `check` publishes there to see whether the parking lot is bound.
        exchange(dead_exchange(namespace), true, false, vec![]),
        exchange(terminal_exchange(namespace), false, false, vec![parking]),
        // An event nobody listens to is nobody's loss: no alternate exchange.
        exchange(events_exchange(namespace), false, false, vec![]),
    ]
}

/// Exchange and key of each binding of a queue.
pub(super) fn bindings(queue: Queue, namespace: &str) -> Vec<(String, &'static str)> {
    match queue {
        Queue::Unrouted => vec![(unroutable_exchange(namespace), "")],
        Queue::Parked => vec![(dead_exchange(namespace), "")],
        _ => queue
            .keys()
            .iter()
            .map(|&key| (terminal_exchange(namespace), key))
            .collect(),
    }
}

/// Bindings that there were once, and that are taken away: what comes by them would come twice.
pub(super) fn former_bindings(namespace: &str) -> Vec<(Queue, String)> {
    vec![(Queue::Parked, unroutable_exchange(namespace))]
}

/// The arguments of a queue.
pub(super) fn flags(queue: Queue, namespace: &str) -> Vec<Flag> {
    match queue {
        // Nobody knows what an unknown key carries, and it may carry an expiration: `parked` has nowhere to dead-letter it to.
        Queue::IntakeFacts | Queue::CardsFacts | Queue::Unrouted => facts(namespace),
        Queue::CardsExpiryWait(seconds) => expiry_wait(seconds, namespace),
        Queue::Parked => parked(),
        Queue::IntakeQuestions | Queue::CardsQuestions | Queue::UnikassaQuestions | Queue::DatabasesQuestions => {
            vec![classic(
                "a question is asked again when the broker loses it; classic answers sooner",
            )]
        }
        Queue::UnikassaWake | Queue::DatabasesWake | Queue::RegistersWake | Queue::MailerWake | Queue::CardsWake => {
            wake_up()
        }
        Queue::CardsExpiry => {
            vec![classic(
                "a hint whose truth is a row with a due time; what is lost here the sweep finds",
            )]
        }
    }
}

fn facts(namespace: &str) -> Vec<Flag> {
    vec![
        quorum("facts carry money: replicated, and on disk before the confirm"),
        number(
            "x-delivery-limit",
            50,
            "a message that kills its worker must end somewhere; 4.x would say 20, 3.x never",
        ),
        text(
            "x-dead-letter-exchange",
            dead_exchange(namespace),
            "what is given up, or carries an expiration, is parked",
        ),
        text(
            "x-dead-letter-strategy",
            "at-least-once".into(),
            "the default may lose a message on its way to be parked",
        ),
        text(
            "x-overflow",
            "reject-publish".into(),
            "at-least-once dead-lettering requires it",
        ),
    ]
}

fn expiry_wait(seconds: u32, namespace: &str) -> Vec<Flag> {
    vec![
        quorum("only a quorum queue can dead-letter at least once"),
        number(
            "x-message-ttl",
            i64::from(seconds) * 1000,
            "one TTL per queue: it is acted on at the head only",
        ),
        text(
            "x-dead-letter-exchange",
            String::new(),
            "the default exchange, which needs no binding",
        ),
        text(
            "x-dead-letter-routing-key",
            Queue::CardsExpiry.name(namespace),
            "where holds that ran out are handled",
        ),
        text(
            "x-dead-letter-strategy",
            "at-least-once".into(),
            "what expires while the broker restarts can vanish else",
        ),
        text(
            "x-overflow",
            "reject-publish".into(),
            "at-least-once dead-lettering requires it",
        ),
        number(
            "x-delivery-limit",
            1_000_000,
            "nobody consumes here; said because 4.x has a default",
        ),
    ]
}

fn parked() -> Vec<Flag> {
    vec![
        quorum("money without a home must not be lost either"),
        number(
            "x-delivery-limit",
            1_000_000,
            "the last stop: no dead-letter exchange, so 4.x must not drop after 20",
        ),
    ]
}

fn wake_up() -> Vec<Flag> {
    vec![
        classic("a hint: cheap, and what is lost the sweep finds"),
        number(
            "x-max-length",
            1000,
            "hints pile up while their worker is away; a thousand say no more than one",
        ),
        text(
            "x-overflow",
            "drop-head".into(),
            "the oldest hint goes; never refuse a publisher over a hint",
        ),
    ]
}

fn quorum(reason: &'static str) -> Flag {
    text("x-queue-type", "quorum".into(), reason)
}

fn classic(reason: &'static str) -> Flag {
    text("x-queue-type", "classic".into(), reason)
}

fn text(name: &'static str, value: String, reason: &'static str) -> Flag {
    Flag {
        name,
        value: Value::Text(value),
        reason,
    }
}

fn number(name: &'static str, value: i64, reason: &'static str) -> Flag {
    Flag {
        name,
        value: Value::Number(value),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::super::HOLDS_SECONDS;
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        assert_eq!(
            Queue::CardsExpiryWait(300).name("unigate"),
            "unigate.cards.expiry.wait.300s"
        );
        assert_eq!(Queue::Parked.name("unigate"), "unigate.parked");
        let names: Vec<_> = rows("unigate").into_iter().map(|row| row.name).collect();
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(names.len(), 4 + 14 + HOLDS_SECONDS.len());
    }

    #[test]
    fn every_key_of_a_terminal_leads_to_one_queue() {
        let mut keys: Vec<_> = Queue::all().flat_map(Queue::keys).collect();
        keys.sort_unstable();
        let expected = [
            "card.availability",
            "card.release",
            "card.reprint",
            "card.reserve",
            "card.sell",
            "payment.accepted",
            "payment.check",
            "payment.revoke",
            "payment.status",
        ];
        assert_eq!(keys.into_iter().copied().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_queue_names_its_type_and_dead_letters_safely() {
        for row in rows("unigate").into_iter().filter(|row| row.kind == "queue") {
            let value = |name| {
                row.flags
                    .iter()
                    .find(|flag| flag.name == name)
                    .map(|flag| flag.value.to_string())
            };
            assert!(value("x-queue-type").is_some(), "{}", row.name);
            if value("x-dead-letter-exchange").is_some() {
                assert_eq!(
                    value("x-dead-letter-strategy").as_deref(),
                    Some("at-least-once"),
                    "{}",
                    row.name
                );
                assert_eq!(value("x-overflow").as_deref(), Some("reject-publish"), "{}", row.name);
            }
            assert!(row.flags.iter().all(|flag| !flag.reason.is_empty()));
        }
    }
}
