//! Payees as they are called. What one is called with (secrets, certificates) is fetched from where its declaration says it is, and kept
//! for a moment: a payee with a hundred calls a second is looked at a few times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::declaration::Payee;
use runtime::aside::Aside;

use crate::profiles::Target;

/// So soon a renewed secret is used, and one that was taken away is not.
const KEPT_FOR: Duration = Duration::from_millis(250);

/// Those of a process.
#[derive(Debug)]
pub(super) struct Targets {
    /// Where payees' secrets are fetched: one may lie on a share that hangs.
    aside: Aside,
    kept_for: Duration,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    declared: Payee,
    target: Arc<Target>,
    since: Instant,
}

impl Default for Targets {
    fn default() -> Self {
        Self::kept_for(KEPT_FOR)
    }
}

impl Targets {
    fn kept_for(kept_for: Duration) -> Self {
        Self {
            aside: Aside::default(),
            kept_for,
            kept: Mutex::default(),
        }
    }

    /// A payee with its secrets as they were a moment ago, or why it cannot be called from here. That is asked anew each time.
    pub(super) async fn of(&self, payee: &Payee) -> Result<Arc<Target>, String> {
        if let Some(target) = self.kept(payee) {
            return Ok(target);
        }
        let (declared, since) = (payee.clone(), Instant::now());
        let looked = self.aside.look(payee.id.as_str(), move || {
            let target = Arc::new(Target::of(&declared)?);
            Ok::<_, String>(Kept {
                declared,
                target,
                since,
            })
        });
        let looked = looked.await.flatten()?;
        let target = looked.target.clone();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(payee.id.to_string(), looked);
        Ok(target)
    }

    fn kept(&self, payee: &Payee) -> Option<Arc<Target>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(payee.id.as_str())?;
        (found.since.elapsed() < self.kept_for && found.declared == *payee).then(|| found.target.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payee(secret: &std::path::Path, url: &str) -> Payee {
        let secret = format!("file:{}", secret.display());
        serde_json::from_value(serde_json::json!({
            "id": "isp", "name": "isp", "gateway": "unikassa", "currency": "RUB", "account": {"pattern": "^.+$"},
            "amount": {"min": 1, "max": 100_000}, "unikassa": {"url": url, "secret": secret}
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn what_a_payee_is_called_with_is_kept_for_a_moment_and_while_it_is_declared_so() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        let signing = |key: &str| std::fs::write(&file, format!("whsec_{key}")).unwrap();
        signing("b25lLW9uZS1vbmUtb25lLW9uZS1vbmU=");
        let (kept, asked) = (Targets::kept_for(Duration::MAX), Targets::kept_for(Duration::ZERO));
        let declared = payee(&file, "https://isp.example/");
        for targets in [&kept, &asked] {
            targets.of(&declared).await.unwrap();
        }
        std::fs::remove_file(&file).unwrap();
        assert!(kept.of(&declared).await.is_ok());
        let gone = asked.of(&declared).await.unwrap_err();
        assert!(gone.starts_with("unikassa.secret: "), "{gone}");
        // Under another declaration it is fetched anew; and what failed is, too.
        let another = payee(&file, "https://isp.example/other");
        assert!(kept.of(&another).await.is_err());
        signing("dHdvLXR3by10d28tdHdvLXR3by10d28=");
        assert_eq!(kept.of(&another).await.unwrap().url.path(), "/other");
    }
}
