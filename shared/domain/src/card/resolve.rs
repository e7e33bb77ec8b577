//! What a reserve, a sale or a release means for what is already known. Nothing here looks anything up: the caller says
//! what it found under its locks, and gets told what to write and what to answer.

use crate::money::{Amount, Currency};

use super::{CardState, CaseKind, ReservationState};

/// What a reserve means for an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveVerdict {
    /// Not seen before: take a card.
    New,
    /// The same request while the hold lives: the same card and the same end of the hold.
    SameCard,
    /// The hold is over: refused as `reservation_over`, with the state to tell.
    Over(&'static str),
    /// The id stands for something else: refused as `reservation_id_reused`.
    IdReused,
}

/// Judges a reserve. `existing` is the state as of now; a release remembered in advance has no content of its own, so
/// `same_content` is true for it.
pub fn resolve_reserve(existing: Option<ReservationState>, same_content: bool) -> ReserveVerdict {
    match existing {
        None => ReserveVerdict::New,
        Some(_) if !same_content => ReserveVerdict::IdReused,
        Some(ReservationState::Held) => ReserveVerdict::SameCard,
        Some(over) => ReserveVerdict::Over(over.told()),
    }
}

/// Whose the card is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The reservation that is being sold.
    Me,
    /// Another live reservation.
    Other,
    /// Nobody's.
    Nobody,
}

/// What is known when a sale arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleInput {
    /// The reservation's state as of now (`ReservationState::as_of`); `None` = the id was never seen.
    pub reservation: Option<ReservationState>,
    /// Whether the sale already recorded for it, if any, has this content.
    pub same_sale: bool,
    /// Whether the product and serial that the sale names, if it does, are the reservation's.
    pub names_agree: bool,
    /// The card's state; `None` = the reservation never had one (a release that came before its reserve).
    pub card: Option<CardState>,
    /// Whose the card is.
    pub holder: Holder,
    /// What was paid.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// The price answered at the reservation.
    pub price: Amount,
    /// Its currency.
    pub price_currency: Currency,
}

/// A sale that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sale {
    /// The hold was over when the sale arrived.
    pub late: bool,
    /// What was paid above the price, in minor units; 0 = nothing.
    pub surplus: i64,
    /// Another reservation holds the card: it becomes `superseded`.
    pub supersedes: bool,
    /// The card should not have been sold: an operator's case.
    pub case: Option<CaseKind>,
}

impl Sale {
    /// Every case an operator has to settle after this sale.
    pub fn cases(&self) -> impl Iterator<Item = CaseKind> {
        self.case
            .into_iter()
            .chain((self.surplus > 0).then_some(CaseKind::Surplus))
    }
}

/// What a sale means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleVerdict {
    /// The card is sold to this reservation now.
    Sold(Sale),
    /// The same sale again.
    AlreadySold,
    /// The card was sold to another: the reservation becomes `conflict`, an operator's case.
    Conflict,
    /// The same sale again, of a reservation that is such a case.
    AlreadyConflict,
    /// Refused; the reservation stands as it was.
    Refused(SaleRefusal),
}

/// Why a sale was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleRefusal {
    /// No card was ever given out under this id.
    UnknownReservation,
    /// Less was paid than the price answered.
    AmountTooSmall,
    /// Paid in another currency than the price answered.
    CurrencyDiffers,
    /// The same reservation, other content.
    SaleDiffers,
}

impl SaleRefusal {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownReservation => "unknown_reservation",
            Self::AmountTooSmall => "amount_too_small",
            Self::CurrencyDiffers => "currency_differs",
            Self::SaleDiffers => "sale_differs",
        }
    }
}

/// Judges a sale: paid beats held, and the first payment wins.
pub fn resolve_sale(input: &SaleInput) -> SaleVerdict {
    let refused = SaleVerdict::Refused;
    let (Some(reservation), Some(card)) = (input.reservation, input.card) else {
        return refused(SaleRefusal::UnknownReservation);
    };
    match reservation {
        ReservationState::Sold if input.same_sale => return SaleVerdict::AlreadySold,
        ReservationState::Conflict if input.same_sale => return SaleVerdict::AlreadyConflict,
        ReservationState::Sold | ReservationState::Conflict => return refused(SaleRefusal::SaleDiffers),
        _ if !input.names_agree => return refused(SaleRefusal::SaleDiffers),
        _ if input.currency != input.price_currency => return refused(SaleRefusal::CurrencyDiffers),
        _ if input.amount < input.price => return refused(SaleRefusal::AmountTooSmall),
        _ => {}
    }
    let case = match card {
        CardState::Sold => return SaleVerdict::Conflict,
        CardState::Faulty => Some(CaseKind::Faulty),
        CardState::Withdrawn => Some(CaseKind::Withdrawn),
        CardState::Available | CardState::Reserved | CardState::Lapsed => None,
    };
    SaleVerdict::Sold(Sale {
        late: reservation != ReservationState::Held,
        surplus: input.amount.minor() - input.price.minor(),
        supersedes: input.holder == Holder::Other,
        case,
    })
}

/// What a release means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseVerdict {
    /// Not seen before: remember it, so that a reserve arriving later is over.
    Remember,
    /// The card goes back to its pool.
    Release,
    /// Released before.
    AlreadyReleased,
    /// The hold was over: by time, or because another paid for the card.
    AlreadyExpired,
    /// It was paid for.
    AlreadySold,
}

impl ReleaseVerdict {
    /// The contract's word.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Remember | Self::Release => "released",
            Self::AlreadyReleased => "already_released",
            Self::AlreadyExpired => "already_expired",
            Self::AlreadySold => "already_sold",
        }
    }
}

/// Judges a release. `existing` is the state as of now.
pub fn resolve_release(existing: Option<ReservationState>) -> ReleaseVerdict {
    use ReservationState as S;
    match existing {
        None => ReleaseVerdict::Remember,
        Some(S::Held) => ReleaseVerdict::Release,
        Some(S::Released) => ReleaseVerdict::AlreadyReleased,
        Some(S::Lapsed | S::Expired | S::Superseded) => ReleaseVerdict::AlreadyExpired,
        Some(S::Sold | S::Conflict) => ReleaseVerdict::AlreadySold,
    }
}
