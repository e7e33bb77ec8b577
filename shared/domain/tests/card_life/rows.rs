//! What the database holds in the model: rows of cards and reservations, and the open transactions with their locks.

use domain::card::{CardState, ReservationState};

/// Most cards of any bound.
pub(crate) const CARDS: usize = 2;
/// Most reservations of any bound: those of terminals, and one under which a conflict's payer gets another card.
pub(crate) const ROWS: usize = 4;

/// A row of `card`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CardRow {
    pub(crate) state: CardState,
    pub(crate) owner: Option<u8>,
}

/// A row of `reservation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) state: ReservationState,
    pub(crate) card: Option<u8>,
    /// What the database's clock says of it: 0 = in its hold, 1 = the hold is over, 2 = the grace too.
    pub(crate) age: u8,
    pub(crate) sale: Option<Paid>,
    pub(crate) ended: Option<Ended>,
    /// Not in the database: whether it was superseded, and how often it was paid for and gave its card back.
    pub(crate) superseded: bool,
    pub(crate) times_paid: u8,
    pub(crate) times_back: u8,
}

impl Row {
    pub(crate) fn new(state: ReservationState, card: Option<u8>) -> Self {
        Self {
            state,
            card,
            age: 0,
            sale: None,
            ended: None,
            superseded: false,
            times_paid: 0,
            times_back: 0,
        }
    }
}

/// How a reservation ended, as `ended_by` says; none = it is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    Sale,
    Release,
    Grace,
    Superseded,
    Replacement,
}

impl Ended {
    pub(crate) const ALL: [Self; 5] = [
        Self::Sale,
        Self::Release,
        Self::Grace,
        Self::Superseded,
        Self::Replacement,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Release => "release",
            Self::Grace => "grace",
            Self::Superseded => "superseded",
            Self::Replacement => "replacement",
        }
    }
}

/// Two sales of one reservation with different content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Paid {
    /// The price.
    Price,
    /// More than that.
    More,
}

/// What terminals send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Message {
    Reserve(u8),
    Sell(u8, Paid),
    Release(u8),
}

impl Message {
    pub(crate) fn id(self) -> u8 {
        match self {
            Self::Reserve(id) | Self::Sell(id, _) | Self::Release(id) => id,
        }
    }
}

/// An open transaction of a worker over one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tx {
    pub(crate) message: Message,
    /// Whether the reservation was there when it was looked for.
    pub(crate) known: bool,
    /// The card taken from the stock, or the reservation's own once it is locked.
    pub(crate) card: Option<u8>,
    /// Another reservation that is locked with it: the one that holds its card.
    pub(crate) other: Option<u8>,
    /// What the clock said once the locks were held; none = they are not all held yet.
    pub(crate) age: Option<u8>,
}

/// What must never happen to a message. Where it would, nothing is explored any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    PaymentRefused,
    AnsweredAmiss,
    ShownAfterItsHold,
}

/// One state of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) cards: [CardRow; CARDS],
    pub(crate) rows: [Option<Row>; ROWS],
    pub(crate) workers: [Option<Tx>; 2],
    /// Not in the database: whose payment for a card was committed first.
    pub(crate) first_paid: [Option<u8>; CARDS],
    pub(crate) wrong: Option<Wrong>,
}

impl State {
    pub(crate) fn full_stock() -> Self {
        Self {
            cards: [CardRow {
                state: CardState::Available,
                owner: None,
            }; CARDS],
            rows: [None; ROWS],
            workers: [None; 2],
            first_paid: [None; CARDS],
            wrong: None,
        }
    }

    pub(crate) fn each_card(&self, holds: fn(&Self, usize) -> bool) -> bool {
        (0..CARDS).all(|card| holds(self, card))
    }

    /// The reservations of a card.
    pub(crate) fn of_card(&self, card: usize) -> impl Iterator<Item = (u8, &Row)> {
        let numbered = self.rows.iter().enumerate();
        numbered.filter_map(move |(id, row)| {
            let row = row.as_ref()?;
            (row.card == Some(card as u8)).then_some((id as u8, row))
        })
    }

    /// Another live reservation of this one's card.
    pub(crate) fn other_live(&self, id: u8) -> Option<u8> {
        let card = self.rows[id as usize]?.card?;
        let mut others = self.of_card(card as usize);
        others
            .find(|(other, row)| *other != id && row.state.is_live())
            .map(|(other, _)| other)
    }

    /// Whether another transaction than this one (none = than any) has the reservation locked.
    pub(crate) fn row_is_free(&self, id: u8, but: Option<usize>) -> bool {
        !self.open(but).any(|tx| {
            // A release of an id never seen inserts it at once, and so keeps others from doing so.
            let own = tx.known || matches!(tx.message, Message::Release(_));
            (own && tx.message.id() == id) || tx.other == Some(id)
        })
    }

    pub(crate) fn card_is_free(&self, card: u8, but: Option<usize>) -> bool {
        !self.open(but).any(|tx| tx.card == Some(card))
    }

    fn open(&self, but: Option<usize>) -> impl Iterator<Item = &Tx> {
        let numbered = self.workers.iter().enumerate();
        numbered.filter_map(move |(worker, tx)| tx.as_ref().filter(|_| Some(worker) != but))
    }
}
