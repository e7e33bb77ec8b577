//! Every queue and exchange of ours, in one table, each flag with its reason.
//!
//! Arguments never change under a name: the broker refuses to declare a queue anew with other ones. A queue that must
//! change gets another name. Everything is durable and names its type, because defaults differ between 3.10 and 4.x.

mod declare;
mod queue;
mod report;
mod table;

use std::time::Duration;

use crate::connect::{self, Link};
use crate::{BusError, BusSettings, Greeting};

pub(crate) use declare::{PROBE, apply_on, check_arguments_on, ensure_queue_on, missing_on};
pub use queue::{HOLDS_SECONDS, Queue};
pub use report::{Difference, Report};
pub use table::{Flag, Row, Value, rows};

pub(crate) use table::{events_exchange, is_of_the_dead, terminal_exchange};

/// A broker that takes longer to declare some forty things is not well.
const LIMIT: Duration = Duration::from_secs(60);

/// Declares what is missing. Safe to run twice and at once. What exists with other arguments is reported, not touched.
pub async fn apply(settings: &BusSettings) -> Result<Report, BusError> {
    let link = Link::open(settings, "topology").await?;
    finish(&link, declare::apply_on(&link, &settings.namespace)).await
}

/// Compares the broker with the table and changes nothing: existence, type and arguments of queues and exchanges, and
/// whether each binding leads where it should. The latter is tried with empty messages that our workers drop.
pub async fn check(settings: &BusSettings) -> Result<Report, BusError> {
    let link = Link::open(settings, "topology").await?;
    finish(&link, declare::check_on(&link, &settings.namespace)).await
}

/// Deletes everything of the namespace, with all messages in it. For tests and the demo.
pub async fn delete(settings: &BusSettings) -> Result<(), BusError> {
    let link = Link::open(settings, "topology").await?;
    finish(&link, declare::delete_on(&link, &settings.namespace)).await
}

/// Says hello to the broker and learns its version. For `doctor`.
pub async fn greet(settings: &BusSettings) -> Result<Greeting, BusError> {
    let link = Link::open(settings, "greeting").await?;
    finish(&link, std::future::ready(Ok(link.broker.clone()))).await
}

async fn finish<T>(link: &Link, work: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
    let outcome = limited(work).await;
    link.close().await;
    outcome
}

/// A queue without a leader can keep a declaration waiting for ever.
pub(crate) async fn limited<T>(work: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
    connect::limited(LIMIT, Box::pin(work)).await
}
