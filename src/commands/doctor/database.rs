//! The database: reachable, migrated, writable, durable.

use store::Store;
use store::server::{self, Server};

use super::Findings;
use crate::operator::Operator;

/// Returns whether it has this version's schema, so that there is something to look at in it.
pub(super) async fn look(operator: &Operator, findings: &mut Findings) -> bool {
    let server = match server::look(&operator.store).await {
        Ok(server) => server,
        Err(error) => {
            let advice = if error.to_string().contains("3D000") {
                "run `unigate migrate`: it creates the database"
            } else {
                "is PostgreSQL running, and UNIGATE_DATABASE_URL right?"
            };
            findings.fail("database", error.to_string(), advice);
            return false;
        }
    };
    judge(&server, findings);
    clock(&operator.store, findings).await;
    tidiness(&server, findings);
    if !server.sees_migrations {
        rights(&server, findings);
        findings.warn(
            "migrations",
            format!("{} may not see which are applied", server.role),
            "run doctor as unigate_operator or as the owner to find out",
        );
        return true;
    }
    match store::pending_migrations(&operator.settings.store).await {
        Ok(pending) if pending.is_empty() => {
            findings.ok("migrations", "all are applied");
            rights(&server, findings);
            true
        }
        Ok(pending) => {
            findings.fail(
                "migrations",
                format!("not applied: {}", pending.join(", ")),
                "run `unigate migrate`",
            );
            false
        }
        Err(error) => {
            findings.fail("migrations", error.to_string(), "run `unigate migrate`");
            false
        }
    }
}

fn judge(server: &Server, findings: &mut Findings) {
    let found = format!(
        "PostgreSQL {} as {}, {} connections",
        server.version, server.role, server.max_connections
    );
    if server.read_only {
        findings.fail(
            "database",
            format!("{found}; read-only"),
            "point UNIGATE_DATABASE_URL at the primary",
        );
    } else if !server.durable {
        findings.fail(
            "database",
            format!("{found}; fsync or synchronous_commit is off"),
            "turn both on: what is acknowledged to a terminal must survive a power cut",
        );
    } else {
        findings.ok("database", found);
    }
}

/// What is due is judged by the database's clock, and payees judge by their own when a request of ours was signed.
async fn clock(store: &Store, findings: &mut Findings) {
    let advice = "keep both machines' clocks in step (NTP): a payee may take no request that is signed at another time than its own";
    match server::clock_ahead(store).await {
        Ok(ahead) if ahead.abs() < server::CLOCKS_APART => findings.ok("clock", "agrees with the database's"),
        Ok(ahead) => {
            let way = if ahead.is_positive() { "ahead of" } else { "behind" };
            findings.warn("clock", format!("is {:#} {way} the database's", ahead.abs()), advice);
        }
        Err(error) => findings.no_data("clock", &error),
    }
}

/// Rows change several times in their lives, and what they were stays until it is cleared away.
fn tidiness(server: &Server, findings: &mut Findings) {
    let advice = "turn it on (and track_counts): what is due is looked for among all that was, and statistics are what plans go by";
    if !server.autovacuum {
        findings.warn("autovacuum", "is off: nothing clears dead rows away", advice);
    } else if server.untended_tables.is_empty() {
        findings.ok("autovacuum", "clears dead rows away");
    } else {
        let found = format!("is off for: {}", server.untended_tables.join(", "));
        findings.warn(
            "autovacuum",
            found,
            "ALTER TABLE … RESET (autovacuum_enabled) for each of them",
        );
    }
}

/// Whoever owns everything may do everything; a role of least rights is judged by what `deploy/grants.sql` grants.
fn rights(server: &Server, findings: &mut Findings) {
    let role = &server.role;
    if server.forbidden_tables.is_empty() {
        findings.ok("database rights", format!("{role} may read and write every table"));
    } else if server.least_roles.is_empty() {
        findings.fail(
            "database rights",
            format!("{role} may not read and write: {}", server.forbidden_tables.join(", ")),
            format!("grant {role} a role of deploy/grants.sql, or make it the owner of the tables"),
        );
    } else if server.ungranted_tables.is_empty() {
        findings.ok(
            "database rights",
            format!("{role} has those of {}", server.least_roles.join(", ")),
        );
    } else {
        findings.fail(
            "database rights",
            format!("no role has any on: {}", server.ungranted_tables.join(", ")),
            "run deploy/grants.sql again, as after every `unigate migrate`",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Mark;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn server() -> Server {
        Server {
            version: "15".into(),
            role: "intake_1".into(),
            read_only: false,
            durable: true,
            autovacuum: true,
            untended_tables: Vec::new(),
            max_connections: 100,
            forbidden_tables: Vec::new(),
            least_roles: Vec::new(),
            ungranted_tables: Vec::new(),
            sees_migrations: true,
        }
    }

    #[test]
    fn dead_rows_that_nothing_clears_away_are_told_of() {
        let told = |autovacuum, untended: &[&str]| {
            let mut findings = Findings::default();
            let server = Server {
                autovacuum,
                untended_tables: owned(untended),
                ..server()
            };
            tidiness(&server, &mut findings);
            (findings.0[0].result, findings.0[0].found.clone())
        };
        assert_eq!(told(true, &[]).0, Mark::Ok);
        assert_eq!(told(false, &[]).0, Mark::Warn);
        assert_eq!(told(true, &["card"]), (Mark::Warn, "is off for: card".to_owned()));
    }

    fn judged(forbidden: &[&str], least_roles: &[&str], ungranted: &[&str]) -> Mark {
        let server = Server {
            forbidden_tables: owned(forbidden),
            least_roles: owned(least_roles),
            ungranted_tables: owned(ungranted),
            ..server()
        };
        let mut findings = Findings::default();
        rights(&server, &mut findings);
        findings.0[0].result
    }

    #[test]
    fn a_role_of_least_rights_is_judged_by_what_it_needs() {
        assert_eq!(judged(&[], &[], &[]), Mark::Ok);
        assert_eq!(judged(&["card"], &["unigate_intake"], &[]), Mark::Ok);
        assert_eq!(judged(&["card"], &[], &[]), Mark::Fail);
        assert_eq!(judged(&["card", "newer"], &["unigate_intake"], &["newer"]), Mark::Fail);
    }
}
