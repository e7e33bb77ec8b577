//! How a gateway stands, for whoever runs more or fewer of its processes.

use std::time::Duration;

use domain::declaration::Gateway as Word;
use runtime::{Context, sweep};
use store::deliveries;

/// Apart from the work: what is shown is a few seconds old, and costs a look at one index entry per lane.
const PAUSE: Duration = Duration::from_secs(5);

/// Looks now and then.
pub(crate) fn spawn(context: &Context, name: &'static str, gateway: Word) {
    sweep::every(context, name, PAUSE, move |context| async move {
        let standing = deliveries::standing(&context.store, gateway.as_str()).await?;
        let gateway = gateway.as_str();
        metrics::gauge!("unigate_deliveries_due_seconds", "gateway" => gateway).set(standing.due_seconds);
        metrics::gauge!("unigate_deliveries_open", "gateway" => gateway).set(standing.open as f64);
        Ok(())
    });
}
