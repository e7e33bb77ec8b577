//! A payee, its payments, and a register of them.

use std::collections::BTreeMap;

use domain::declaration::Payee;
use domain::{Currency, Number, PaymentId};
use formats::{FormatError, Head, Layout, Row, Written};
use jiff::Timestamp;

/// A payment that owns its texts.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) number: i64,
    pub(crate) account: String,
    pub(crate) amount: i64,
    pub(crate) fee: i64,
    pub(crate) receipt: Option<String>,
    pub(crate) paid_at: Timestamp,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Payment {
    pub(crate) fn row(&self) -> Row<'_> {
        Row {
            number: Number::new(self.number).unwrap(),
            payment_id: PaymentId::parse(&format!("0199aa00-0000-7000-8000-{:012}", self.number)).unwrap(),
            at: self.paid_at + jiff::SignedDuration::from_secs(3),
            paid_at: self.paid_at,
            account: &self.account,
            amount: self.amount,
            fee: self.fee,
            currency: rub(),
            receipt_number: self.receipt.as_deref(),
            terminal: "T-0001",
            fields: &self.fields,
        }
    }
}

pub(crate) fn rub() -> Currency {
    Currency::parse("RUB").unwrap()
}

/// The payee, with this in its `[register]`.
pub(crate) fn payee(register: &str) -> Payee {
    let text = format!(
        "id = \"gorvodokanal\"\nname = \"МУП «Горводоканал»\"\ngateway = \"registers\"\ncurrency = \"RUB\"\n\
         account = {{ pattern = \"^.*$\" }}\namount = {{ min = 1, max = 100000000 }}\n\
         [[field]]\nname = \"payer\"\nlabel = \"Payer\"\n\
         [[field]]\nname = \"meter_cold\"\nlabel = \"Cold water meter\"\n\
         [requisites]\ninn = \"7701234567\"\nkpp = \"770101001\"\naccount = \"40702810900000001234\"\n\
         bank = \"АО «Банк»\"\nbik = \"044525225\"\ncorr_account = \"30101810400000000225\"\n\
         [register]\nschedule = \"0 0 * * *\"\ntime_zone = \"Europe/Moscow\"\nmail_to = [\"buh@example.org\"]\n{register}"
    );
    let payee: Payee = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    payee.check().unwrap_or_else(|found| panic!("{found:?}\n{text}"));
    payee
}

pub(crate) fn layout(register: &str) -> Layout {
    Layout::of(&payee(register)).unwrap()
}

pub(crate) fn head(payments: &[Payment]) -> Head {
    let cutoff: Timestamp = "2026-11-23T21:00:00Z".parse().unwrap();
    Head {
        series: "main".to_owned(),
        sequence: 42,
        of_day: 1,
        of_year: 42,
        part: (1, 1),
        count: payments.len() as i64,
        total: payments.iter().map(|payment| payment.amount).sum(),
        currency: rub(),
        is_copy: false,
        open: 0,
        first_at: payments.first().map_or(cutoff, |first| first.row().at),
        last_at: payments.last().map_or(cutoff, |last| last.row().at),
        cutoff,
    }
}

/// A file of these payments.
pub(crate) fn written(layout: &Layout, payments: &[Payment]) -> Result<(Vec<u8>, Written), FormatError> {
    let head = head(payments);
    let mut writer = layout.begin(&head, Vec::new())?;
    for payment in payments {
        writer.row(&payment.row())?;
    }
    writer.finish()
}

/// Three ordinary ones.
pub(crate) fn payments() -> Vec<Payment> {
    let one = |number, account: &str, amount, fee, at: &str, payer: &str| Payment {
        number,
        account: account.to_owned(),
        amount,
        fee,
        receipt: Some(format!("{number:06}")),
        paid_at: at.parse().unwrap(),
        fields: BTreeMap::from([("payer".to_owned(), payer.to_owned())]),
    };
    let mut all = vec![
        one(
            1_000_001,
            "1920679795",
            15_000,
            300,
            "2026-11-23T07:02:11Z",
            "Иванов И. И.",
        ),
        one(
            1_000_002,
            "1920679796",
            125_040,
            0,
            "2026-11-23T09:30:00Z",
            "ООО «Ёлка»; склад № 2",
        ),
        one(
            1_000_007,
            "+79161234567",
            5,
            0,
            "2026-11-23T20:59:59Z",
            "\"Ромашка\", кафе",
        ),
    ];
    all[0].fields.insert("meter_cold".to_owned(), "00123".to_owned());
    all[2].receipt = None;
    all
}
