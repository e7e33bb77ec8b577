//! A product: a kind of prepaid card, what it costs, how long it is held and what becomes of one that was shown to a
//! terminal and not sold.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::profile_register::check_address;
use super::{CardFileProfile, Declaration, Findings, Zone, check_name, has_repeats, is_false};
use crate::card::HOLD_LADDER;
use crate::ids::{PayeeId, ProductId};
use crate::invalid::Invalid;
use crate::money::{Amount, Currency};
use crate::receipt::{self, Slip};

/// The longest grace: thirty days.
const GRACE_MAX_SECONDS: u32 = 30 * 86_400;
/// The longest wait in days that a product may name: ten years.
const DAYS_MAX: u32 = 3_650;

/// A product as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// Its id; never reused for another.
    pub id: ProductId,
    /// Its name for people.
    pub name: String,
    /// Whose card it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payee: Option<PayeeId>,
    /// What the card is worth.
    pub face_value: Amount,
    /// What the payer pays.
    pub price: Amount,
    /// The currency of both.
    pub currency: Currency,
    /// How long a card may be held, out of the ladder; the first is the default.
    #[serde(default = "default_holds_seconds")]
    pub holds_seconds: Vec<u32>,
    /// How long after the hold the card is kept for a late sale.
    #[serde(default = "default_grace_seconds")]
    pub grace_seconds: u32,
    /// Whether a card once shown to a terminal may be offered again.
    #[serde(default)]
    pub reissue_exposed: Reissue,
    /// The stock below which `stock.low` is told; 0 = never.
    #[serde(default)]
    pub low_stock: u64,
    /// Who is told by mail when the stock is low, besides those whom `UNIGATE_ALERT_MAIL_TO` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alert_mail_to: Vec<String>,
    /// Whether cards are sold in the order in which they run out, those without a last day at the end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub issue_expiring_first: bool,
    /// A card is withdrawn when fewer days than this are left until its last one, 0 to 3650; 0 = when that is past.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub withdraw_days_before_expiry: u32,
    /// Whose days last days are: a card is good to the end of its last one there.
    #[serde(default = "Zone::utc", skip_serializing_if = "Zone::is_utc")]
    pub time_zone: Zone,
    /// No cards are reserved, and none is given in place of another unless an operator names it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspended: bool,
    /// How long a sold card can be printed again; 0 = never. Its secrets are shredded afterwards.
    #[serde(default = "default_reprint_days")]
    pub reprint_days: u32,
    /// Whether a payer whose card was sold to another gets a new one by itself. Not with `reprint_days` 0: an answer that is lost
    /// could not be repeated.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replace_on_conflict: bool,
    /// The groups of terminals it is offered to; none = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The template of the text to print ([`crate::receipt`]): `{{ serial }}`, `{{ price }}`, `{{ name }}` and the card's own
    /// fields are put in. None = one line for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// How the issuer writes its card files. None = as the contract says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_file: Option<CardFileProfile>,
}

/// Whether a card once shown to a terminal may be offered again. Not, unless declared: whoever saw it may still use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reissue {
    /// At once.
    Always,
    /// Not any more.
    #[default]
    Never,
    /// After so many days.
    AfterDays(u32),
}

impl Reissue {
    /// So many days after it came back a card may be offered; `None` = never.
    pub fn after_days(self) -> Option<u32> {
        match self {
            Self::Always => Some(0),
            Self::Never => None,
            Self::AfterDays(days) => Some(days),
        }
    }
}

impl Serialize for Reissue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Always => serializer.serialize_bool(true),
            Self::Never => serializer.serialize_bool(false),
            Self::AfterDays(days) => serializer.serialize_u32(*days),
        }
    }
}

impl<'de> Deserialize<'de> for Reissue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReissueVisitor)
    }
}

struct ReissueVisitor;

impl de::Visitor<'_> for ReissueVisitor {
    type Value = Reissue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a number of days")
    }

    fn visit_bool<E: de::Error>(self, at_once: bool) -> Result<Reissue, E> {
        Ok(if at_once { Reissue::Always } else { Reissue::Never })
    }

    fn visit_u64<E: de::Error>(self, days: u64) -> Result<Reissue, E> {
        u32::try_from(days)
            .map(Reissue::AfterDays)
            .map_err(|_| E::custom("is too many days"))
    }

    fn visit_i64<E: de::Error>(self, days: i64) -> Result<Reissue, E> {
        u32::try_from(days)
            .map(Reissue::AfterDays)
            .map_err(|_| E::custom("must be true, false or a number of days"))
    }
}

impl Product {
    /// Whether a terminal of this group may sell it.
    pub fn is_offered_to(&self, group: Option<&str>) -> bool {
        self.groups.is_empty() || group.is_some_and(|group| self.groups.iter().any(|offered| offered == group))
    }

    /// What a slip tells of this product, without a card.
    fn blank_slip(&self) -> Slip<'_> {
        Slip {
            product: self.id.as_str(),
            name: &self.name,
            serial: "0042-17",
            price: self.price,
            face_value: self.face_value,
            currency: self.currency,
            held_until: Timestamp::UNIX_EPOCH,
            expires_on: None,
            fields: &[],
        }
    }

    /// What its receipt names and no card has of the files that are declared. Nothing is wrong with that where there are cards of
    /// files that were declared otherwise.
    pub fn doubtful_receipt(&self) -> Option<Invalid> {
        let file = self.card_file.as_ref().filter(|file| file.names_columns())?;
        let fields: Vec<&str> = file
            .secret
            .keys()
            .chain(file.public.keys())
            .map(String::as_str)
            .collect();
        receipt::check(self.receipt.as_ref()?, &self.blank_slip(), Some(&fields)).err()
    }

    /// Everything that is wrong with the declaration.
    pub fn check(&self) -> Result<(), Vec<Invalid>> {
        let mut found = Findings::default();
        found.take(check_name("name", &self.name));
        found.refuse_if(
            self.holds_seconds.is_empty(),
            "holds_seconds",
            "is empty: say at least one hold",
        );
        for (at, hold) in self.holds_seconds.iter().enumerate() {
            let field = format!("holds_seconds[{at}]");
            found.refuse_if(
                !HOLD_LADDER.contains(hold),
                &field,
                "must be 15, 30, 60, 120, 300, 600, 1800 or 3600",
            );
        }
        found.refuse_if(has_repeats(&self.holds_seconds), "holds_seconds", "names a hold twice");
        found.refuse_if(
            self.grace_seconds > GRACE_MAX_SECONDS,
            "grace_seconds",
            "must be at most 2592000 (thirty days)",
        );
        if let Reissue::AfterDays(days) = self.reissue_exposed {
            found.refuse_if(
                !(1..=DAYS_MAX).contains(&days),
                "reissue_exposed",
                "must be true, false or 1 to 3650 days",
            );
        }
        found.refuse_if(self.reprint_days > DAYS_MAX, "reprint_days", "must be at most 3650");
        found.refuse_if(
            self.replace_on_conflict && self.reprint_days == 0,
            "replace_on_conflict",
            "needs reprint_days: with 0 the card given in place of another is shredded at once",
        );
        found.refuse_if(
            self.withdraw_days_before_expiry > DAYS_MAX,
            "withdraw_days_before_expiry",
            "must be at most 3650",
        );
        for (at, address) in self.alert_mail_to.iter().enumerate() {
            found.take(check_address(&format!("alert_mail_to[{at}]"), address));
        }
        found.refuse_if(
            has_repeats(&self.alert_mail_to),
            "alert_mail_to",
            "names an address twice",
        );
        for (at, group) in self.groups.iter().enumerate() {
            found.take(check_name(&format!("groups[{at}]"), group));
        }
        if let Some(template) = &self.receipt {
            found.take(receipt::check(template, &self.blank_slip(), None));
        }
        if let Some(card_file) = &self.card_file {
            found.within("card_file", card_file.check());
        }
        found.finish()
    }
}

impl Declaration for Product {
    const KIND: &'static str = "product";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn check(&self) -> Result<(), Vec<Invalid>> {
        Product::check(self)
    }
}

fn is_zero(days: &u32) -> bool {
    *days == 0
}

fn default_holds_seconds() -> Vec<u32> {
    vec![300]
}

fn default_grace_seconds() -> u32 {
    1_800
}

fn default_reprint_days() -> u32 {
    30
}
