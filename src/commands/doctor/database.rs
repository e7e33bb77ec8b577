//! The database: reachable, migrated, writable, durable.

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

    fn judged(forbidden: &[&str], least_roles: &[&str], ungranted: &[&str]) -> Mark {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let server = Server {
            version: "15".into(),
            role: "intake_1".into(),
            read_only: false,
            durable: true,
            max_connections: 100,
            forbidden_tables: owned(forbidden),
            least_roles: owned(least_roles),
            ungranted_tables: owned(ungranted),
            sees_migrations: true,
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
