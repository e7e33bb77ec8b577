//! Where answers may go.
//!
//! A request names its own reply address, so the address is a stranger's input: an answer must reach a terminal's
//! queue and nothing else of ours or of anybody's. Direct reply-to addresses need more care still. They hold the
//! broker's own description of a process, and RabbitMQ (seen on 3.10.8) ends the *publisher's* connection with
//! INTERNAL_ERROR over one that is malformed or names a node it does not know, be it forged or left from a node that
//! has gone. So each address tells which node it names, and the publisher trusts a node only after an answer to it
//! went well elsewhere ([`crate::strangers`]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const DIRECT: &str = "amq.rabbitmq.reply-to.";

/// A reply address that may be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A queue of a front-end.
    Queue,
    /// Direct reply-to, through this node of the broker.
    Node(String),
    /// Direct reply-to in a form not known here: a newer broker's, or forged. Never trusted.
    Unclear,
}

/// None: not an address that we answer.
pub(crate) fn address(reply_to: &str, namespace: &str) -> Option<Address> {
    if let Some(token) = reply_to.strip_prefix(DIRECT) {
        return Some(node_of(token).map_or(Address::Unclear, Address::Node));
    }
    let name = reply_to.strip_prefix(namespace)?.strip_prefix(".reply.")?;
    (!name.is_empty()).then_some(Address::Queue)
}

/// The token is `<base64 of a process identifier in Erlang's external format>.<key>`.
fn node_of(token: &str) -> Option<String> {
    let (process, key) = token.split_once('.')?;
    let bytes = STANDARD.decode(process).ok()?;
    let (tail, rest) = match bytes.as_slice() {
        [131, 88, rest @ ..] => (12, rest),
        [131, 103, rest @ ..] => (9, rest),
        _ => return None,
    };
    let (length, rest) = match rest {
        [100 | 118, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [115 | 119, length, rest @ ..] => (usize::from(*length), rest),
        _ => return None,
    };
    if rest.len() != length + tail || key.is_empty() {
        return None;
    }
    let node = std::str::from_utf8(&rest[..length]).ok()?;
    node.contains('@').then(|| node.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RabbitMQ 3.10.8 made it.
    const GENUINE: &str = "amq.rabbitmq.reply-to.g1h2AA1yZXBseUA5MjQ4ODg0AAAEjwAAAABrBFRo.uMzPFCc8fMiuYafKa5ROJA==";

    #[test]
    fn terminals_queues_are_answered_and_no_others() {
        assert_eq!(address("unigate.reply.kiosk-7", "unigate"), Some(Address::Queue));
        for foreign in [
            "",
            "kiosk-7",
            "unigate.reply.",
            "unigate.intake.facts",
            "other.reply.x",
            "amq.rabbitmq.reply-to",
        ] {
            assert_eq!(address(foreign, "unigate"), None, "{foreign}");
        }
    }

    #[test]
    fn a_direct_address_names_its_node() {
        assert_eq!(address(GENUINE, "unigate"), Some(Address::Node("reply@9248884".into())));
        let named = [&[131, 103, 100, 0, 8][..], b"rabbit@h", &[0; 9]].concat();
        let older = format!("{DIRECT}{}.key", STANDARD.encode(named));
        assert_eq!(address(&older, "unigate"), Some(Address::Node("rabbit@h".into())));
    }

    #[test]
    fn a_forged_direct_address_is_unclear() {
        let cut = GENUINE.replace("a4BFRo", "");
        for forged in ["garbage", "g1h2AA.bbb", "!!!!.x", "g2EF.x", ""] {
            assert_eq!(
                address(&format!("{DIRECT}{forged}"), "unigate"),
                Some(Address::Unclear),
                "{forged}"
            );
        }
        assert_eq!(address(&cut.replace("Ro.", "."), "unigate"), Some(Address::Unclear));
    }
}
