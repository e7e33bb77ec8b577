//! What a cut-off closes: the plan of one closing transaction, as pure arithmetic over what it has locked and read.

use jiff::Timestamp;

use crate::money::Amount;

/// One sequence of registers of a payee, as its row stands under the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// The last position in a closed register; 0 = none yet.
    pub last_hi: i64,
    /// The sequence of the last register; 0 = none yet.
    pub last_sequence: u32,
    /// The last moment up to which the series was closed, whether or not that gave a register.
    pub last_cutoff: Timestamp,
}

/// A payment of the series that is in no register yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPayment {
    /// Its position.
    pub position: i64,
    /// When it was accepted, by the ledger's clock.
    pub accepted_at: Timestamp,
    /// What the payee gets.
    pub amount: Amount,
    /// It was taken back: it is counted apart and is not in the file.
    pub revoked: bool,
}

/// A register as it is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen {
    /// Its sequence in the series, from 1 and without gaps.
    pub sequence: u32,
    /// The first position of the range: the one after the last register's.
    pub lo: i64,
    /// The last position of the range; the one before `lo` where there is none at all.
    pub hi: i64,
    /// How many payments the file holds.
    pub payment_count: u64,
    /// How many of the range were revoked.
    pub revoked_count: u64,
    /// The sum of the file in minor units; wide enough for any number of payments.
    pub total: i128,
    /// When the first payment of the file was accepted; of a register without payments, the cut-off before its own.
    pub first_accepted_at: Timestamp,
    /// When the last one was; of a register without payments, its cut-off.
    pub last_accepted_at: Timestamp,
}

/// What a closing transaction writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Another closer got here first: nothing.
    Stale,
    /// Nothing to put into a file, and none is wanted: only `last_cutoff` advances. Revoked payments stay open for the next
    /// range to count.
    Empty,
    /// A register; the series' `last_hi`, `last_sequence` and `last_cutoff` advance with it.
    Register(Frozen),
}

/// Plans the closing of a series for a cut-off. `open` are the series' payments past `last_hi`, in any order; those accepted
/// at the cut-off or later are left for the next one. Where nothing is open there is no register, unless the payee wants
/// one all the same (`send_empty`).
pub fn close(
    series: &Series,
    cutoff: Timestamp,
    open: impl IntoIterator<Item = OpenPayment>,
    send_empty: bool,
) -> Closing {
    if cutoff <= series.last_cutoff {
        return Closing::Stale;
    }
    let mut hi = series.last_hi;
    let (mut payment_count, mut revoked_count, mut total) = (0_u64, 0_u64, 0_i128);
    let (mut first_accepted_at, mut last_accepted_at) = (Timestamp::MAX, Timestamp::MIN);
    for payment in open
        .into_iter()
        .filter(|payment| payment.position > series.last_hi && payment.accepted_at < cutoff)
    {
        hi = hi.max(payment.position);
        if payment.revoked {
            revoked_count += 1;
            continue;
        }
        payment_count += 1;
        total += i128::from(payment.amount.minor());
        first_accepted_at = first_accepted_at.min(payment.accepted_at);
        last_accepted_at = last_accepted_at.max(payment.accepted_at);
    }
    if payment_count == 0 {
        if !send_empty {
            return Closing::Empty;
        }
        (first_accepted_at, last_accepted_at) = (series.last_cutoff, cutoff);
    }
    let (sequence, lo) = (series.last_sequence + 1, series.last_hi + 1);
    Closing::Register(Frozen {
        sequence,
        lo,
        hi,
        payment_count,
        revoked_count,
        total,
        first_accepted_at,
        last_accepted_at,
    })
}

impl Series {
    /// The series after a closing.
    #[must_use]
    pub fn after(self, cutoff: Timestamp, closing: &Closing) -> Self {
        match closing {
            Closing::Stale => self,
            Closing::Empty => Self {
                last_cutoff: cutoff,
                ..self
            },
            Closing::Register(frozen) => Self {
                last_hi: frozen.hi,
                last_sequence: frozen.sequence,
                last_cutoff: cutoff,
            },
        }
    }
}
