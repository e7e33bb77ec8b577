//! What the log says of a check that was not answered.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use sql::DatabaseError;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber, span};

use super::not_answered;
use crate::check::Unanswered;
use crate::steps::Trouble;
use crate::tests::Books;

type Lines = Arc<Mutex<Vec<(Level, String)>>>;

/// Keeps what is logged here, with its level.
struct Log(Lines);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("databases")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn what_a_database_that_cannot_be_used_said_is_in_the_log_at_debug_only() {
    let source = Books::with("create table payments (number integer, account text, amount integer)").await;
    let source = source.source();
    let logged = Lines::default();
    let _listening = tracing::subscriber::set_default(Log(logged.clone()));
    let place = "databases.check.statement[0]".to_owned();
    // Its cause is what came with it, as a server's text would be.
    let trouble = Trouble::Database {
        place: place.clone(),
        source: DatabaseError::timed_out(),
    };
    let (_, answer) = not_answered(&source, Unanswered::Trouble(trouble));
    assert_eq!(answer.unwrap_err(), "the payee cannot be asked now");
    let logged = logged.lock().unwrap();
    let (quiet, loud): (Vec<_>, Vec<_>) = logged.iter().partition(|(level, _)| *level >= Level::DEBUG);
    assert!(quiet.iter().any(|(_, line)| line.contains("timed out")), "{quiet:?}");
    assert!(loud.iter().any(|(_, line)| line.contains(&place)), "{loud:?}");
    assert!(loud.iter().all(|(_, line)| !line.contains("timed out")), "{loud:?}");
}
