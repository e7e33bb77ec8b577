//! A payee's answer that comes late: it is in the hands of a courier that is cut off from the database, and another goes on without.

use testkit::payee::{Payee, Verb};
use testkit::process::Process;

use crate::faults::{Cut, environment, expire_leases};
use crate::fixtures::{internet_provider, new_id, online_payment};
use crate::world::{PATIENCE, World};

/// A payment whose payee has answered the first call, which is closed as *maybe* meanwhile.
pub(crate) struct LateAnswer {
    /// The payment.
    pub(crate) id: String,
    /// Who goes on.
    pub(crate) other: Process,
    intake: Process,
    cut_off: Process,
    database: Cut,
}

impl LateAnswer {
    /// Of a payee with this profile that holds its first call until it is released; nothing is said of what it does with others.
    pub(crate) async fn in_hand(world: &World, payee: &Payee, profile: &str) -> Self {
        let profile = format!("timeout_seconds = 30\n{profile}");
        world.payee(&internet_provider(&payee.url(), &profile)).await;
        let database = Cut::before_database(world).await;
        let cut_off = Process::start_ready(&environment(world, &[database.variable()]), &["run", "unikassa"]).await;
        let intake = Process::start_ready(&environment(world, &[]), &["run", "intake"]).await;
        let id = new_id();
        world.tell("payment.accepted", &online_payment(&id)).await;
        payee.wait_for_requests(Verb::Pay, 1, PATIENCE).await;
        database.proxy.cut().await;
        payee.release();
        cut_off.wait_for_log("waits for the database").await;
        let other = Process::start_ready(&environment(world, &[]), &["run", "unikassa"]).await;
        expire_leases(world).await;
        Self {
            id,
            other,
            intake,
            cut_off,
            database,
        }
    }

    /// The courier that has the answer writes it down as soon as it can.
    pub(crate) fn comes(&self) {
        self.database.proxy.mend();
    }

    /// Ends all that was started, well.
    pub(crate) async fn end(self) {
        for process in [self.cut_off, self.other, self.intake] {
            assert!(process.end().await.success());
        }
    }
}
