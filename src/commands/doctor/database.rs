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

fn rights(server: &Server, findings: &mut Findings) {
    if server.forbidden_tables.is_empty() {
        findings.ok(
            "database rights",
            format!("{} may read and write every table", server.role),
        );
    } else {
        findings.fail(
            "database rights",
            format!(
                "{} may not read and write: {}",
                server.role,
                server.forbidden_tables.join(", ")
            ),
            format!("grant select, insert, update, delete on all tables to {}", server.role),
        );
    }
}
