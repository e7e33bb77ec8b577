//! `unigate payments import`: payments out of another agent's register. They go through intake's own acceptance, in
//! batches as its messages do, so the two cannot disagree; only what becomes of each is told here and now.
//!
//! A payment's id is made of terminal, payee and the number it has in the file: the same file again, or one that overlaps,
//! takes nothing twice. What a line is refused for is told and not parked: the file is still there to be corrected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use contract::Message;
use contract::message::PaymentAccepted;
use domain::Invalid;
use domain::declaration::{Payee, RegisterEncoding, RegisterFormat, Zone};
use domain::ids::{PayeeId, PaymentId, TerminalId};
use domain::limits::BATCH_MAX;
use domain::money::{Currency, Fee};
use domain::text::{Account, Fields, ReceiptNumber};
use formats::{FILE_MAX_BYTES, Layout, Line, Received, ReceivedPayment};
use runtime::Outcome as Judged;
use runtime::batch::{BatchWorker, Item};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::audit::{self, Act};
use store::declarations;

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, Format, Row, note};

/// Which file, of whom, and how to read it.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The register; at most 64 MiB
    file: PathBuf,
    /// Whose payments they are
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// The terminal that stands for the agent who took them
    #[arg(long, value_name = "ID", value_parser = TerminalId::parse)]
    terminal: TerminalId,
    /// What the file looks like: as the payee's own registers, where it is their format, else the format or preset as it
    /// stands
    #[arg(long, value_name = "PRESET", value_parser = RegisterFormat::parse)]
    format: RegisterFormat,
    /// What its text is encoded in, where it is not what the format says
    #[arg(long, value_name = "ENCODING", value_parser = RegisterEncoding::parse)]
    encoding: Option<RegisterEncoding>,
    /// Whose clock its days and times are of, instead of the payee's registers': an IANA zone
    #[arg(long, value_name = "ZONE", value_parser = Zone::parse)]
    time_zone: Option<Zone>,
    /// How many payments there should be, where the file does not say
    #[arg(long, value_name = "N")]
    count: Option<i64>,
    /// What they should come to in minor units, where the file does not say
    #[arg(long, value_name = "MINOR")]
    total: Option<i64>,
    /// Tell what would become of every line, and take nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print what became of every line
    #[arg(long, value_enum, default_value_t)]
    report: Format,
}

/// What became of a line.
#[derive(Debug)]
pub(crate) struct Taken {
    line: u64,
    number: Option<String>,
    payment_id: Option<PaymentId>,
    /// `accepted`, `already_accepted` or `refused`.
    outcome: String,
    reason: Option<String>,
    detail: Option<String>,
}

impl Row for Taken {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("line", |row| json!(row.line)),
        Column::new("number", |row| json!(row.number)),
        Column::new("payment_id", |row| json!(row.payment_id)),
        Column::new("outcome", |row| json!(row.outcome)),
        Column::new("reason", |row| json!(row.reason)),
        Column::new("detail", |row| json!(row.detail)),
    ];
}

/// A file and whom it is imported for.
struct Import<'a> {
    operator: &'a Operator,
    args: &'a ImportArgs,
    sha256: String,
}

pub(super) async fn import(args: ImportArgs) -> Outcome {
    let operator = Operator::new()?;
    let place = || args.file.display().to_string();
    let bytes = read(&args.file).with_context(place)?;
    let all = declarations::load(&operator.store).await?;
    let Some(payee) = all.payees.get(&args.payee) else {
        bail!("no payee {} is declared", args.payee)
    };
    if !all.terminals.contains_key(&args.terminal) {
        bail!("no terminal {} is declared", args.terminal)
    }
    let mut layout = Layout::in_format(&payee.value, args.format)?;
    if let Some(encoding) = args.encoding {
        layout = layout.encoded(encoding);
    }
    if let Some(zone) = &args.time_zone {
        layout = layout.in_zone(zone.clone());
    }
    let import = Import {
        operator: &operator,
        args: &args,
        sha256: hex::encode(Sha256::digest(&bytes)),
    };
    let received = match layout.read(&bytes, payee.value.currency) {
        Ok(received) => received,
        Err(why) => return import.refuse(why.to_string()).await,
    };
    if let Err(why) = totals(&received, args.count, args.total) {
        return import.refuse(why).await;
    }
    let taken = import.take(&payee.value, &received.lines).await?;
    output::list(args.report, &taken)?;
    import.tell(&taken)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_MAX_BYTES as u64 {
        bail!("is larger than {FILE_MAX_BYTES} bytes")
    }
    Ok(std::fs::read(path)?)
}

/// Whether the file holds what it says it holds, before anything of it is taken.
fn totals(received: &Received, count: Option<i64>, total: Option<i64>) -> Result<(), String> {
    let lines = received.lines.len() as i64;
    let read = received.lines.iter().filter_map(|line| line.payment.as_ref().ok());
    let sum: i128 = read.map(|payment| i128::from(payment.amount.minor())).sum();
    for told in received.told_count.into_iter().chain(count) {
        if told != lines {
            return Err(format!("{told} payments should be in it, and there are {lines} lines"));
        }
    }
    for told in received.told_total.into_iter().chain(total) {
        if i128::from(told) != sum {
            return Err(format!(
                "it should come to {told} in minor units, and what can be read of it comes to {sum}"
            ));
        }
    }
    if received.unended && received.told_total.or(total).is_none() {
        let why =
            "its last line has no end, as in a file that was cut off in the middle of one: --total where it is whole";
        return Err(why.to_owned());
    }
    let nothing = |told: Option<i64>| told == Some(0);
    let is_told = [received.told_count, received.told_total, count, total]
        .into_iter()
        .any(nothing);
    if lines == 0 && !is_told {
        return Err("no payments are in it, and it does not say so: --count 0 where that is right".to_owned());
    }
    Ok(())
}

impl Import<'_> {
    /// The whole file, before anything of it was taken.
    async fn refuse(&self, why: String) -> Outcome {
        audit::record_denied(&self.operator.store, &self.act(json!({ "denied": why }))).await?;
        bail!("{}: {why}; nothing was taken", self.args.file.display())
    }

    fn act(&self, after: Value) -> Act<'_> {
        Act {
            who: &self.operator.who,
            act: "payments import",
            subject_kind: "payee",
            subject: self.args.payee.as_str(),
            reason: None,
            before: None,
            after: Some(after),
        }
    }

    /// Line by line, in batches of one transaction each. A batch stands with its row in the audit log or not at all.
    async fn take(&self, payee: &Payee, lines: &[Line]) -> anyhow::Result<Vec<Taken>> {
        let mut all = Vec::with_capacity(lines.len());
        let intake = intake::facts();
        for batch in lines.chunks(BATCH_MAX) {
            let read: Vec<Result<Item, Box<Taken>>> = batch.iter().map(|line| self.item(payee, line)).collect();
            let items: Vec<&Item> = read.iter().filter_map(|one| one.as_ref().ok()).collect();
            let tx = self.operator.store.begin().await?;
            let now = declarations::load_in(&tx).await?;
            let judged = intake.handle(&tx, &now, &items).await?;
            let mut outcomes = judged.outcomes.into_iter();
            let taken: Vec<Taken> = read
                .into_iter()
                .zip(batch)
                .map(|(one, line)| one.map_or_else(|refused| *refused, |item| told(line, &item, outcomes.next())))
                .collect();
            if self.args.dry_run {
                tx.rollback().await?;
            } else {
                audit::record(&tx, &self.act(self.audited(batch, &taken))).await?;
                tx.commit().await?;
            }
            all.extend(taken);
        }
        Ok(all)
    }

    fn audited(&self, batch: &[Line], taken: &[Taken]) -> Value {
        json!({
            "file": self.args.file.file_name().map(|name| name.to_string_lossy()),
            "sha256": self.sha256,
            "format": self.args.format,
            "encoding": self.args.encoding,
            "time_zone": self.args.time_zone,
            "terminal": self.args.terminal,
            "lines": [batch.first().map(|line| line.line), batch.last().map(|line| line.line)],
            "outcomes": counted(taken),
        })
    }

    /// A line as the message that a terminal would have sent.
    fn item(&self, payee: &Payee, line: &Line) -> Result<Item, Box<Taken>> {
        let refused = |number: Option<String>, detail: String| {
            Box::new(Taken {
                line: line.line,
                number,
                payment_id: None,
                outcome: "refused".to_owned(),
                reason: Some("invalid_request".to_owned()),
                detail: Some(detail),
            })
        };
        let read = line.payment.as_ref().map_err(|why| refused(None, why.clone()))?;
        let message = self
            .message(payee, read)
            .map_err(|why| refused(Some(read.number.clone()), why.to_string()))?;
        Ok(Item {
            fingerprint: message.fingerprint(),
            message: Message::PaymentAccepted(message),
            traceparent: None,
        })
    }

    fn message(&self, payee: &Payee, read: &ReceivedPayment) -> Result<PaymentAccepted, Invalid> {
        // Where the file has no number of a receipt, the agent's own is what the payer has in hand.
        let receipt = read.receipt_number.as_ref().unwrap_or(&read.number);
        Ok(PaymentAccepted {
            payment_id: id_of(&self.args.terminal, &self.args.payee, &read.number),
            terminal: self.args.terminal.clone(),
            payee: self.args.payee.clone(),
            account: Account::new(read.account.clone())?,
            fields: Fields::new(read.fields.clone())?,
            amount: read.amount,
            fee: Fee::new(read.fee)?,
            currency: match &read.currency {
                Some(code) => Currency::parse(code)?,
                None => payee.currency,
            },
            paid_at: read.paid_at,
            receipt_number: Some(ReceiptNumber::new(receipt.clone())?),
        })
    }

    fn tell(&self, taken: &[Taken]) -> Outcome {
        let counts = counted(taken);
        let told: Vec<String> = counts
            .iter()
            .map(|(outcome, count)| format!("{count} {outcome}"))
            .collect();
        let what = if self.args.dry_run {
            "dry run, nothing was taken: "
        } else {
            ""
        };
        note(&format!(
            "{}: {what}{} lines: {}",
            self.args.file.display(),
            taken.len(),
            told.join(", ")
        ));
        Ok(if counts.contains_key("refused") {
            Ending::Failed
        } else {
            Ending::Done
        })
    }
}

fn counted(taken: &[Taken]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for one in taken {
        *counts.entry(one.outcome.as_str()).or_default() += 1;
    }
    counts
}

fn told(line: &Line, item: &Item, judged: Option<Judged>) -> Taken {
    let (outcome, reason, detail) = match judged {
        Some(Judged::Answered(reply)) => (reply.outcome().to_owned(), None, None),
        Some(Judged::Refused(refusal)) => (
            "refused".to_owned(),
            Some(refusal.reason.to_string()),
            Some(refusal.detail.clone()),
        ),
        Some(Judged::Silent) | None => ("refused".to_owned(), None, Some("was not judged".to_owned())),
    };
    Taken {
        line: line.line,
        number: line.payment.as_ref().ok().map(|read| read.number.clone()),
        payment_id: item.message.payment_id(),
        outcome,
        reason,
        detail,
    }
}

/// The same for the same agent, payee and number, wherever and whenever the file is read.
fn id_of(terminal: &TerminalId, payee: &PayeeId, number: &str) -> PaymentId {
    let mut hash = Sha256::new();
    for part in ["unigate payments import", terminal.as_str(), payee.as_str(), number] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    PaymentId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
