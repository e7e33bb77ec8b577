//! New versions of the vault: made, given to more or fewer recipients, rotated to another identity or another index key.
//!
//! A change is one transaction: the new version with the index keys wrapped for its recipients, and its row in the audit
//! log. Batch keys follow one by one (`wrap`), by whoever comes first, the command or a worker; each is wrapped for one version
//! or for the next, so none is ever unopenable. A rotation of the identity has two halves: from the first on everything is
//! sealed to the old one and the new one; the second takes the old one away, and is refused while a running worker has only
//! that.

use std::time::Duration;

use age::x25519::{Identity, Recipient};
use domain::vault::{NotNow, Recipients};
use serde_json::{Value, json};
use store::audit::{self, Act};
use store::vault::VaultRow;
use store::{Store, Tx};

use super::index::{IndexKey, IndexKeys};
use super::keyring::{Keyring, public_halves, row_for};
use super::wrap::PAGE;
use super::{IdentitySource, Opened, Vault, VaultError, recipient};

/// A worker that has not been heard of for so long does not run.
pub const SILENCE: Duration = Duration::from_secs(60);

/// What to change.
#[derive(Clone, Debug)]
pub enum Change {
    /// One more in escrow.
    AddEscrow(Recipient),
    /// One less.
    RemoveEscrow(Recipient),
    /// The first half of a rotation: to this recipient, or to an identity added to the file here.
    BeginRotation(Option<Recipient>),
    /// Its second half.
    FinishRotation,
    /// Back to before its first half.
    CancelRotation,
    /// The workers' identity is lost, and one in escrow is here: a new one for the workers, as in [`Change::BeginRotation`]. Where
    /// the same was cut off the version is there, and it is returned as it is: what is left is to wrap the keys.
    Recover(Option<Recipient>),
    /// A new key of the blind index.
    NewIndexKey,
}

impl Change {
    fn act(&self) -> &'static str {
        match self {
            Self::AddEscrow(_) => "cards vault add-recipient",
            Self::RemoveEscrow(_) => "cards vault remove-recipient",
            Self::BeginRotation(_) => "cards vault rotate",
            Self::FinishRotation => "cards vault rotate --finish",
            Self::CancelRotation => "cards vault rotate --cancel",
            Self::Recover(_) => "cards vault rotate --recover",
            Self::NewIndexKey => "cards vault rotate --index-key",
        }
    }
}

/// Makes a vault, with these in escrow; refuses when there is one.
pub async fn make(
    store: &Store,
    identity: impl Into<IdentitySource>,
    escrow: &[Recipient],
    who: &str,
) -> Result<Vault, VaultError> {
    match make_or_open(store, identity.into(), escrow, Some(who)).await? {
        (vault, Opened::Made) => Ok(vault),
        (_, Opened::Existing) => Err(VaultError::NotNow("there is a vault already".to_owned())),
    }
}

/// Opens the vault, or makes it where there is none. `who`: the operator who asked for it.
pub async fn make_or_open(
    store: &Store,
    source: IdentitySource,
    escrow: &[Recipient],
    who: Option<&str>,
) -> Result<(Vault, Opened), VaultError> {
    if let Some(row) = store::vault::current(store).await? {
        return Ok((Vault::of(source, &row)?, Opened::Existing));
    }
    let tx = store.begin().await?;
    if let Some(row) = store::vault::current_locked(&tx).await? {
        tx.commit().await?;
        return Ok((Vault::of(source, &row)?, Opened::Existing));
    }
    let identities = source.read_or_make()?;
    // Of several the last one: it was added last.
    let own = identities.last().map(Identity::to_public).ok_or(VaultError::None)?;
    let mut names = Recipients::first(own.to_string(), Vec::new());
    for one in escrow {
        names = names.with_escrow(&one.to_string())?;
    }
    let index = IndexKeys::new(vec![(1, IndexKey::random()?)])?;
    let row = row_for(1, names, &index, &identities)?;
    store::vault::insert(&tx, &row).await?;
    if let Some(who) = who {
        audit_change(&tx, who, "cards vault init", None, None, &row).await?;
    }
    tx.commit().await?;
    tracing::warn!(
        identity = %source,
        recipient = %own,
        "a new vault was made: keep a copy of its identity in a safe place, no card can be opened without it"
    );
    Ok((Vault::of(source, &row)?, Opened::Made))
}

/// Changes the vault, which has to be opened by an identity that is here. Returns it as it is then. It waits for files that
/// are being entered, as long as a lock is waited for, and says that it will work later if they take longer.
pub async fn change(
    store: &Store,
    identity: impl Into<IdentitySource>,
    change: &Change,
    who: &str,
    reason: &str,
) -> Result<Vault, VaultError> {
    let source = identity.into();
    let tx = store.begin().await?;
    let before = store::vault::current_locked(&tx).await?.ok_or(VaultError::None)?;
    let keyring = match change {
        // Whoever recovers a vault answers for the database it is recovered from.
        Change::Recover(_) => Keyring::open_unproven(&source, source.read()?, &before)?,
        _ => Keyring::open(&source, source.read()?, &before)?,
    };
    if matches!(change, Change::Recover(_)) && recovery_was_cut_off(store, &keyring).await? {
        return Vault::of(source, &before);
    }
    let index = match change {
        Change::NewIndexKey => keyring.index.with_another()?,
        _ => keyring.index.again()?,
    };
    let names = next(store, &source, &keyring, change).await?;
    runtime::checkpoint("cards.vault", "identity_added");
    // Read again: a rotation may have added one.
    let row = row_for(before.version + 1, names, &index, &source.read()?)?;
    provable_by_workers(&source, &row)?;
    store::vault::insert(&tx, &row).await?;
    audit_change(&tx, who, change.act(), Some(reason), Some(&before), &row).await?;
    runtime::checkpoint("cards.vault", "before_commit");
    tx.commit().await?;
    runtime::checkpoint("cards.vault", "after_commit");
    Vault::of(source, &row)
}

async fn next(
    store: &Store,
    source: &IdentitySource,
    keyring: &Keyring,
    change: &Change,
) -> Result<Recipients, VaultError> {
    let names = &keyring.names;
    Ok(match change {
        Change::NewIndexKey => names.clone(),
        Change::AddEscrow(new) => names.with_escrow(&new.to_string())?,
        Change::RemoveEscrow(old) => names.without_escrow(&old.to_string())?,
        Change::CancelRotation => names.rotated_back()?,
        Change::BeginRotation(to) => {
            if names.is_rotating() {
                // Nothing is made for what will be refused.
                return Err(NotNow("a rotation is under way: finish it, or cancel it, first".to_owned()).into());
            }
            let ever = ever(store).await?;
            names.rotating_to(&new_one(source, to.as_ref(), &ever)?, &ever)?
        }
        Change::Recover(to) => {
            if keyring.holds_own() {
                return Err(NotNow("the workers' identity is here: nothing is lost".to_owned()).into());
            }
            let ever = ever(store).await?;
            names.recovered_to(&new_one(source, to.as_ref(), &ever)?, &ever)?
        }
        Change::FinishRotation => {
            let next = names.rotated()?;
            all_is_ready(store, keyring).await?;
            next
        }
    })
}

/// Workers open only what was written with one of their identities: without one of those here nobody would open this version.
fn provable_by_workers(source: &IdentitySource, row: &VaultRow) -> Result<(), VaultError> {
    let names = &row.recipients;
    if row.proofs.keys().any(|one| !names.escrow.contains(one)) {
        return Ok(());
    }
    let theirs = names.all.iter().filter(|one| !names.escrow.contains(one));
    Err(NotNow(format!(
        "no identity of the workers is here to write this version with, so none of them would open it: put that of {} beside \
         what is in {source} first",
        theirs.map(String::as_str).collect::<Vec<_>>().join(" or ")
    ))
    .into())
}

/// The recipients of all versions there were.
async fn ever(store: &Store) -> Result<Vec<String>, VaultError> {
    let history = store::vault::history(store).await?;
    Ok(history.into_iter().flat_map(|version| version.recipients.all).collect())
}

/// The one that was named, else an identity here that the vault never knew (one that was made for it, or by a rotation that
/// was killed before it began), else one made now.
fn new_one(source: &IdentitySource, named: Option<&Recipient>, ever: &[String]) -> Result<String, VaultError> {
    if let Some(named) = named {
        return Ok(named.to_string());
    }
    let here = public_halves(&source.read()?);
    match here.into_iter().find(|one| !ever.contains(one)) {
        Some(unused) => Ok(unused),
        None => Ok(source.add()?.to_public().to_string()),
    }
}

/// Whether the workers' new identity is here, and keys that it does not open: only what is in escrow does, while it is here as
/// well, and no worker.
async fn recovery_was_cut_off(store: &Store, keyring: &Keyring) -> Result<bool, VaultError> {
    if !keyring.holds_own() {
        return Ok(false);
    }
    let mut after = 0;
    loop {
        let batches = store::vault::batches_behind(store, keyring.version, after, PAGE).await?;
        let Some(last) = batches.last() else { return Ok(false) };
        after = last.batch_id;
        if batches
            .iter()
            .any(|batch| keyring.opens_by_escrow_alone(&batch.recipients))
        {
            return Ok(true);
        }
    }
}

/// Whether the old identity is needed by nobody any more.
async fn all_is_ready(store: &Store, keyring: &Keyring) -> Result<(), VaultError> {
    if !keyring.holds_present_own() {
        let new: Vec<&str> = keyring.names.own().map(String::as_str).collect();
        return Err(NotNow(format!(
            "the new identity (of {}) is not here: put it beside the old one first",
            new.join(", ")
        ))
        .into());
    }
    if !store::vault::batches_behind(store, keyring.version, 0, 1)
        .await?
        .is_empty()
    {
        return Err(NotNow(
            "not every key is wrapped for the new identity yet: run `unigate cards vault rotate` again, then finish"
                .to_owned(),
        )
        .into());
    }
    if store::imports::any_open(store).await? {
        return Err(NotNow(
            "card files wait that may be sealed to the old identity alone: let a worker enter them, or cancel them, first"
                .to_owned(),
        )
        .into());
    }
    let has_new = |identities: &[String]| keyring.names.own().any(|own| identities.contains(own));
    let without: Vec<String> = store::vault::holders(store, SILENCE)
        .await?
        .into_iter()
        .filter(|holder| !has_new(&holder.identities))
        .map(|holder| holder.worker)
        .collect();
    if without.is_empty() {
        Ok(())
    } else {
        Err(NotNow(format!(
            "these cards workers have not got the new identity yet: {}; give it to them (they take it without a \
             restart, unless they have a copy of the file, as under systemd), or stop them and wait a minute",
            without.join(", ")
        ))
        .into())
    }
}

async fn audit_change(
    tx: &Tx,
    who: &str,
    act: &str,
    reason: Option<&str>,
    before: Option<&VaultRow>,
    after: &VaultRow,
) -> Result<(), VaultError> {
    let act = Act {
        who,
        act,
        subject_kind: "vault",
        subject: &after.version.to_string(),
        reason,
        before: before.map(told),
        after: Some(told(after)),
    };
    Ok(audit::record(tx, &act).await?)
}

fn told(row: &VaultRow) -> Value {
    let index: Vec<i32> = row.index_keys.iter().map(|(version, _)| *version).collect();
    json!({
        "version": row.version,
        "recipients": row.recipients.all,
        "escrow": row.recipients.escrow,
        "leaving": row.recipients.leaving,
        "index_keys": index,
    })
}

/// A recipient as an operator writes it.
pub fn parse_recipient(text: &str) -> Result<Recipient, String> {
    recipient(text).map_err(|error| error.to_string())
}
