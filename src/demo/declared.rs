//! What the operator of the day declares: the examples as they stand in the repository, built into the program, with
//! nothing changed but what is local (addresses, keys, secrets, users) and what would take longer than the day does.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use domain::declaration::{Declaration, Payee, Product, SecretRef, Terminal, TerminalLimits};
use domain::ids::TerminalId;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use store::{Store, declarations, registers};

use super::books::Where;

const PAYEES: [&str; 3] = [
    include_str!("../../examples/payees/gorvodokanal.toml"),
    include_str!("../../examples/payees/isp.toml"),
    include_str!("../../examples/payees/teploset.toml"),
];
/// Those whose own data are worked with.
const WITH_DATA: [&str; 4] = [
    include_str!("../../examples/databases/utility.toml"),
    include_str!("../../examples/databases/provider.toml"),
    include_str!("../../examples/databases/fines.toml"),
    include_str!("../../examples/databases/housing.toml"),
];
const PRODUCTS: [&str; 2] = [
    include_str!("../../examples/products/mts-100.toml"),
    include_str!("../../examples/products/radio-300.toml"),
];
const TERMINALS: &str = include_str!("../../examples/terminals/kiosks.toml");

/// The shortest hold there is, so that the day sees holds and graces end.
const HOLD_SECONDS: u32 = 15;
const GRACE_SECONDS: u32 = 5;
/// The terminal that gets its cards sealed.
pub(super) const SEALED_TERMINAL: &str = "T-0004";

/// What is local.
pub(super) struct Local {
    /// Where the provider's billing is.
    pub(super) billing_url: String,
    /// What requests to it are signed with.
    pub(super) billing_secret: String,
    /// The heating company's public key.
    pub(super) payee_recipient: String,
    /// The sealed terminal's public key.
    pub(super) terminal_recipient: String,
    /// The broker's user that front-ends are.
    pub(super) user: Option<String>,
    /// How many terminals there are.
    pub(super) terminals: Vec<String>,
    /// Where payees keep their own data; one that has none here is not declared.
    pub(super) places: BTreeMap<&'static str, Where>,
}

/// Everything that is declared.
pub(super) struct Declared {
    pub(super) payees: Vec<Payee>,
    pub(super) products: Vec<Product>,
    pub(super) terminals: Vec<Terminal>,
}

/// Their groups are left out: the day takes minutes, and limits are per hour.
#[derive(Deserialize)]
struct Kiosks {
    terminal: Vec<Terminal>,
}

impl Declared {
    /// The examples as they stand.
    fn examples() -> anyhow::Result<Self> {
        let payees = PAYEES
            .iter()
            .chain(&WITH_DATA)
            .map(|text| Ok(toml::from_str(text)?))
            .collect::<anyhow::Result<_>>()?;
        let products = PRODUCTS
            .iter()
            .map(|text| Ok(toml::from_str(text)?))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            payees,
            products,
            terminals: toml::from_str::<Kiosks>(TERMINALS)?.terminal,
        })
    }

    /// The examples, made local.
    pub(super) fn local(local: &Local) -> anyhow::Result<Self> {
        let mut declared = Self::examples().context("the declarations of the examples")?;
        declared
            .payees
            .retain(|payee| payee.databases.is_none() || local.places.contains_key(payee.id.as_str()));
        for payee in &mut declared.payees {
            make_local(payee, local)?;
        }
        for product in &mut declared.products {
            product.holds_seconds = vec![HOLD_SECONDS, 60];
            product.grace_seconds = GRACE_SECONDS;
        }
        for id in local.terminals.iter().skip(declared.terminals.len()) {
            let id = TerminalId::parse(id)?;
            declared.terminals.push(Terminal {
                id,
                group: Some("center".into()),
                users: Vec::new(),
                age_recipient: None,
                limits: TerminalLimits::default(),
            });
        }
        for terminal in &mut declared.terminals {
            terminal.users.extend(local.user.clone());
            if terminal.id.as_str() == SEALED_TERMINAL {
                terminal.age_recipient = Some(local.terminal_recipient.clone());
            }
        }
        declared.check()?;
        Ok(declared)
    }

    fn check(&self) -> anyhow::Result<()> {
        fn check_all<T: Declaration>(all: &[T]) -> anyhow::Result<()> {
            for one in all {
                if let Err(wrong) = one.check() {
                    bail!(
                        "{} {}: {}",
                        T::KIND,
                        one.id(),
                        wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
                    );
                }
            }
            Ok(())
        }
        check_all(&self.payees)?;
        check_all(&self.products)?;
        check_all(&self.terminals)
    }

    /// Declares everything in one transaction, as the `apply` commands do.
    pub(super) async fn apply(&self, store: &Store, who: &str) -> anyhow::Result<()> {
        let tx = store.begin().await?;
        declarations::lock_for_apply(&tx).await?;
        registers::close_before_change(store, &tx, &self.payees).await?;
        for payee in &self.payees {
            declarations::apply_payee(&tx, payee, who).await?;
        }
        for product in &self.products {
            declarations::apply_product(&tx, product, who).await?;
        }
        for terminal in &self.terminals {
            declarations::apply_terminal(&tx, terminal, who).await?;
        }
        Ok(tx.commit().await?)
    }
}

fn make_local(payee: &mut Payee, local: &Local) -> anyhow::Result<()> {
    if let Some(profile) = &mut payee.unikassa {
        profile.url = local.billing_url.parse()?;
        profile.secret = Some(SecretRef::parse(&local.billing_secret)?);
        profile.timeout_seconds = 5;
        profile.retry_seconds = vec![1, 2, 5];
        profile.probe_seconds = 2;
    }
    if let Some(profile) = &mut payee.databases {
        match local.places.get(payee.id.as_str()) {
            Some(Where::Database(url)) => profile.url = Some(SecretRef::parse(url.expose_secret())?),
            Some(Where::File(path)) => {
                if let Some(file) = &mut profile.file {
                    file.path.clone_from(path);
                    file.header = 1;
                }
            }
            None => bail!("payee {} has no data here", payee.id),
        }
        profile.read_url = None;
        profile.retry_seconds = vec![1, 1, 2, 5];
        profile.probe_seconds = 2;
    } else if let Some(profile) = &mut payee.register {
        // Nobody waits for midnight here.
        profile.every_seconds = Some(8);
        if payee.id.as_str() == "teploset" {
            profile.age_recipients = vec![local.payee_recipient.clone()];
        } else {
            profile.every_payments = Some(60);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_can_be_declared_as_they_stand() {
        let examples = Declared::examples().unwrap();
        examples.check().unwrap();
        assert_eq!(examples.terminals.len(), super::super::scenario::DECLARED_TERMINALS);
        assert!(
            examples
                .terminals
                .iter()
                .any(|terminal| terminal.id.as_str() == SEALED_TERMINAL)
        );
    }

    /// Payees with a protocol of their own: their other side is played by tests only (`tests/it/dialects`).
    const NOT_PLAYED: [&str; 3] = ["billing.toml", "energosbyt.toml", "parking.toml"];

    #[test]
    fn every_example_is_built_in() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/");
        for (directory, known) in [
            ("payees", PAYEES.len()),
            ("databases", WITH_DATA.len()),
            ("products", PRODUCTS.len()),
            ("terminals", 1),
        ] {
            let files = std::fs::read_dir(format!("{root}{directory}")).unwrap();
            let declarations = files.map(|file| file.unwrap().path()).filter(|path| {
                path.extension().is_some_and(|e| e == "toml") && !NOT_PLAYED.iter().any(|name| path.ends_with(name))
            });
            assert_eq!(declarations.count(), known, "{directory}");
        }
    }
}
