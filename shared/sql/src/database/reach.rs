//! Why there is no connection to a server. A pool goes on trying for as long as it may and then says that it timed out, whatever
//! the server has said meanwhile: it is asked once more, and for little longer.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Pool;
use url::Url;

use super::{DatabaseError, Limits};

/// How long the server is asked for its reason.
const REASON_WAIT_MAX: Duration = Duration::from_secs(1);

/// A server, and how long it is waited for.
#[derive(Clone)]
pub(super) struct Reach {
    /// `host:port`, or the path of a socket.
    place: String,
    wait: Duration,
    /// What no error may tell.
    secrets: Vec<SecretString>,
}

impl Reach {
    pub(super) fn of(url: &str, place: String, limits: &Limits) -> Self {
        let parsed = Url::parse(url).ok();
        let password = parsed.iter().filter_map(|url| url.password());
        // As it stands there, and as it is meant.
        let decoded = password.clone().flat_map(|password| {
            let meant = format!("password={}", password.replace('+', "%2B"));
            url::form_urlencoded::parse(meant.as_bytes())
                .map(|(_, value)| value.into_owned())
                .collect::<Vec<_>>()
        });
        let named = parsed.iter().flat_map(Url::query_pairs);
        let named = named
            .filter(|(key, _)| key == "password")
            .map(|(_, value)| value.into_owned());
        let secrets = password.map(str::to_owned).chain(decoded).chain(named);
        Self {
            place,
            wait: limits.connection_wait(),
            secrets: secrets.filter(|one| !one.is_empty()).map(SecretString::from).collect(),
        }
    }

    /// What became of a pool's attempt; `once_more` makes a connection beside it, as the pool would, and closes it.
    pub(super) async fn error<DB: sqlx::Database>(
        &self,
        pool: &Pool<DB>,
        error: sqlx::Error,
        once_more: impl Future<Output = Result<(), sqlx::Error>>,
    ) -> DatabaseError {
        let connections = pool.options().get_max_connections();
        let plain = |why: String| (why.clone(), why);
        let (why, kind) = match error {
            sqlx::Error::PoolTimedOut if pool.size() >= connections => {
                plain(format!("all {connections} are in use, and none was given back in time"))
            }
            sqlx::Error::PoolTimedOut => {
                let wait = REASON_WAIT_MAX.min(self.wait / 2);
                match tokio::time::timeout(wait, once_more).await {
                    Ok(Err(error)) => words(&error),
                    Ok(Ok(())) => plain(format!("none was made within {:?}", self.wait)),
                    Err(_) => plain("it does not answer".to_owned()),
                }
            }
            other => words(&other),
        };
        DatabaseError::Unreached {
            place: self.place.clone(),
            why: self
                .secrets
                .iter()
                .fold(why, |why, secret| why.replace(secret.expose_secret(), "***")),
            kind,
        }
    }
}

/// What was said, and of what kind it is, which quotes nothing; each with the server's code.
fn words(error: &sqlx::Error) -> (String, String) {
    match error {
        sqlx::Error::Io(error) => (error.to_string(), error.kind().to_string()),
        sqlx::Error::Database(reported) => {
            let code = reported.code().map(|code| format!(" ({code})")).unwrap_or_default();
            (
                format!("{}{code}", reported.message()),
                format!("the server refuses it{code}"),
            )
        }
        other => (other.to_string(), "it could not be made".to_owned()),
    }
}
