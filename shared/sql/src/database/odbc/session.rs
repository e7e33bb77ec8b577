//! A connection and the thread it lives on.

use std::time::Duration;

use odbc_api::{ConnectionOptions, environment};
use tokio::sync::{mpsc, oneshot};

use super::super::DatabaseError;
use super::fault::of_driver;

pub(super) type Connection = odbc_api::Connection<'static>;
type Order = Box<dyn FnOnce(&Connection) + Send>;

/// A connection. Dropped, it is rolled back and closed once the driver is done with what it was asked last.
pub(super) struct Session {
    orders: mpsc::Sender<Order>,
}

impl Session {
    pub(super) async fn connect(source: &str, patience: Duration) -> Result<Self, DatabaseError> {
        let (orders, inbox) = mpsc::channel(1);
        let (tell, told) = oneshot::channel();
        let source = source.to_owned();
        std::thread::Builder::new()
            .name("odbc".to_owned())
            .spawn(move || live(&source, patience, tell, inbox))
            .map_err(|error| DatabaseError::Away(error.into()))?;
        told.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(Self { orders })
    }

    /// Has something done on the connection. A caller that gives up hears nothing of it; nothing else is done after it then.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (tell, told) = oneshot::channel();
        let order: Order = Box::new(move |connection| {
            let _ = tell.send(act(connection));
        });
        self.orders.send(order).await.map_err(|_| gone())?;
        told.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn live(
    source: &str,
    patience: Duration,
    tell: oneshot::Sender<Result<(), DatabaseError>>,
    mut inbox: mpsc::Receiver<Order>,
) {
    let connection = match open(source, patience) {
        Ok(connection) => connection,
        Err(error) => {
            let _ = tell.send(Err(error));
            return;
        }
    };
    if tell.send(Ok(())).is_ok() {
        while let Some(order) = inbox.blocking_recv() {
            order(&connection);
        }
    }
    // Some databases keep what was done when a connection ends in good order.
    let _ = connection.rollback();
}

/// Whatever is wrong with a session that is only being made, no statement is to blame.
fn open(source: &str, patience: Duration) -> Result<Connection, DatabaseError> {
    let seconds = u32::try_from(patience.as_secs()).unwrap_or(u32::MAX).max(1);
    let options = ConnectionOptions {
        login_timeout_sec: Some(seconds),
        ..ConnectionOptions::default()
    };
    let environment = environment().map_err(of_driver)?;
    let connection = environment
        .connect_with_connection_string(source, options)
        .and_then(|connection| connection.set_autocommit(false).map(|()| connection));
    connection.map_err(|error| match of_driver(error) {
        DatabaseError::Contended(error) | DatabaseError::Refused(error) => DatabaseError::Away(error),
        other => other,
    })
}

fn gone() -> DatabaseError {
    DatabaseError::Away(sqlx::Error::WorkerCrashed)
}
