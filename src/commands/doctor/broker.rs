//! The broker: reachable, of a version we know, with the topology this version needs.

use bus::BusSettings;
use bus::topology;

use super::Findings;

/// The oldest RabbitMQ that dead-letters at least once.
const OLDEST: (u32, u32) = (3, 10);

pub(super) async fn look(settings: &BusSettings, findings: &mut Findings) {
    match topology::greet(settings).await {
        Ok(broker) => {
            let found = format!("{} {}", broker.product, broker.version);
            if is_too_old(&broker.version) {
                findings.fail(
                    "broker",
                    found,
                    "install RabbitMQ 3.10 or newer: older ones lose dead-lettered messages",
                );
            } else {
                findings.ok("broker", found);
            }
        }
        Err(error) => {
            findings.fail(
                "broker",
                error.to_string(),
                "is RabbitMQ running, and UNIGATE_BROKER_URL (user, vhost) right?",
            );
            return;
        }
    }
    match topology::check(settings).await {
        Ok(report) if report.in_order() => {
            findings.ok(
                "topology",
                format!("{} queues, exchanges and bindings in order", report.items),
            );
            if let Some(why) = report.bindings_untried {
                findings.warn(
                    "topology",
                    format!("bindings were not looked at: {why}"),
                    rights(&settings.namespace),
                );
            }
        }
        Ok(report) => {
            for difference in report.differences {
                findings.fail(
                    "topology",
                    difference.to_string(),
                    "what is missing: run `unigate topology apply`; what differs: empty and delete it, then apply",
                );
            }
        }
        Err(error) => findings.fail(
            "topology",
            error.to_string(),
            "try again; then look into the broker's log",
        ),
    }
}

/// Whom to look as, and what a worker has to be allowed, as `deploy/broker-users.md` says: configure, write, read. Granted
/// anew, the three replace what there was.
fn rights(namespace: &str) -> String {
    let name = namespace.replace('.', r"\.");
    let operator = format!(r"'^({name}\.|amq\.gen)' '^({name}\.|amq\.default$|amq\.gen)' '^({name}\.|amq\.gen)'");
    let worker = format!(r"'^{name}\.' '^({name}\.|amq\.default$)' '^{name}\.'");
    format!("run doctor as the operator's user of the broker ({operator}); a worker needs no more than {worker}")
}

fn is_too_old(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    // No number at all: a broker that hides its version is not judged by it.
    found != (0, 0) && found < OLDEST
}

#[cfg(test)]
mod tests {
    use super::{is_too_old, rights};

    #[test]
    fn rights_are_those_of_the_document() {
        let document = include_str!("../../../deploy/broker-users.md");
        let advised = rights("unigate");
        for user in ["unigate-operator ", "unigate-worker "] {
            let said = document.split_once(&format!("set_permissions -p / {user}")).unwrap().1;
            let granted = said.lines().next().unwrap();
            assert!(advised.contains(granted), "{granted} in {advised}");
        }
        assert!(rights("a.b").contains(r"'^a\.b\.'"));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, old) in [
            ("3.9.29", true),
            ("3.10.0", false),
            ("3.13.7", false),
            ("4.1.2", false),
            ("", false),
        ] {
            assert_eq!(is_too_old(version), old, "{version}");
        }
    }
}
