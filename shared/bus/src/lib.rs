//! The broker: topology, publishing, consuming, and the supervisor that keeps both alive.
//!
//! The only crate that names lapin. It speaks RabbitMQ plainly (3.10 to 4.x) and hides nothing of it behind an
//! abstraction over other brokers. It refuses to know what messages mean: bodies are bytes, and whether something was
//! done is the caller's word, given by acknowledging.

mod armour;
mod backoff;
mod bus;
mod connect;
mod delivery;
mod error;
pub mod frontend;
mod metrics;
mod outbox;
pub mod peek;
mod publish;
mod reply;
mod session;
mod settings;
mod strangers;
mod supervisor;
mod survive;
pub mod topology;
mod wire;

pub use crate::armour::Greeting;
pub use crate::backoff::reconnect_delay;
pub use crate::bus::Bus;
pub use crate::delivery::{Death, Delivery, Envelope, is_traceparent, version_of};
pub use crate::error::{BusError, SessionEnded};
pub use crate::metrics::describe_metrics;
pub use crate::session::{Session, Tags};
pub use crate::settings::BusSettings;
pub use crate::survive::{persist, survive};
pub use crate::topology::Queue;
