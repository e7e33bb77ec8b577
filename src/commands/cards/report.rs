//! `unigate cards report`: what was sold in a period, sale by sale, summed up, or by serial for the issuer. The sums are
//! those of the rows: both are read by one rule in `store`, and totals are added up from what is printed.

mod sums;

use std::path::PathBuf;

use anyhow::bail;
use clap::ValueEnum;
use domain::ids::{PayeeId, ProductId, TerminalId};
use domain::money::Currency;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sheet::{Cell, Column};

use store::cards::{self, SaleFilter, SaleRow, Section, sale_sums, sales_page};
use store::{Recorded, Tx, settled};

use self::sums::{Sums, Totals};
use crate::ending::{Ending, Outcome};
use crate::moment;
use crate::operator::Operator;
use crate::output::{FormatArg, Sheet};

/// Which sales, and how they are told.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Sold at this moment or later: RFC 3339, or a date, which is its midnight
    #[arg(long, value_name = "T")]
    from: String,
    /// Sold before this moment
    #[arg(long, value_name = "T")]
    to: String,
    /// Whose midnight a date is, whose days and hours are counted, and whose clock is shown
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = moment::zone)]
    time_zone: TimeZone,
    /// Sums instead of sales, with totals; several are separated by commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',', conflicts_with = "serials")]
    by: Vec<By>,
    /// For the issuer: every card sold, and those that came back or were taken out in the period
    #[arg(long)]
    serials: bool,
    /// Of this product only
    #[arg(long, value_name = "ID", value_parser = ProductId::parse)]
    product: Option<ProductId>,
    /// Of the products of this payee only
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    issuer: Option<PayeeId>,
    /// At this terminal only
    #[arg(long, value_name = "ID", value_parser = TerminalId::parse)]
    terminal: Option<TerminalId>,
    /// At the terminals of this group only
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Write a spreadsheet instead of printing; money in it is in major units
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    xlsx: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArg,
}

/// What sums are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// The product
    Product,
    /// The payee whose cards they are, as declared now
    Issuer,
    /// The terminal
    Terminal,
    /// The terminal's group, as declared now
    Group,
    /// The day, in the time zone
    Day,
    /// The hour, in the time zone; one that comes twice when clocks are put back is two
    Hour,
}

/// Does what was asked for.
pub(super) async fn report(args: ReportArgs) -> Outcome {
    let (from, to) = moment::period(&args.from, &args.to, &args.time_zone)?;
    let filter = SaleFilter {
        from,
        to,
        product: args.product.clone(),
        issuer: args.issuer.clone(),
        terminal: args.terminal.clone(),
        group: args.group.clone(),
    };
    let store = Operator::new()?.store;
    if !settled(&store, Recorded::Sales, filter.to).await? {
        bail!(
            "the period has not settled: sales before {} are still being recorded; try again in a minute",
            args.to
        );
    }
    let tx = store.begin_report().await?;
    let begin = |title, columns| Sheet::begin(title, columns, args.format.format, args.xlsx.as_deref());
    let zone = &args.time_zone;
    if args.serials {
        let mut sheet = begin("Serials", SERIALS.to_vec())?;
        serials(&tx, &filter, zone, &mut sheet).await?;
        sheet.finish()?;
    } else if args.by.is_empty() {
        let mut sheet = begin("Sales", SALES.to_vec())?;
        sales(&tx, &filter, zone, &mut sheet).await?;
        sheet.finish()?;
    } else {
        let sums = Sums::of(&sale_sums(&tx, &filter, sums::needed(&args.by)).await?, &args.by, zone)?;
        let mut sheet = begin("Sums", Sums::columns(&args.by))?;
        for row in sums.rows(zone) {
            sheet.row(&row)?;
        }
        for total in sums.totals.rows(args.by.len()) {
            sheet.total(&total)?;
        }
        sheet.finish()?;
    }
    tx.commit().await?;
    Ok(Ending::Done)
}

pub(crate) const SALES: [Column; 15] = [
    Column::new("sold_at", 20),
    Column::new("product", 16),
    Column::new("serial", 20),
    Column::new("reservation_id", 37),
    Column::new("terminal", 14),
    Column::new("paid_at", 20),
    Column::new("amount", 14),
    Column::new("price", 14),
    Column::new("face_value", 14),
    Column::new("currency", 9),
    Column::new("receipt_number", 16),
    Column::new("late", 7),
    Column::new("issuer", 16),
    Column::new("group", 14),
    Column::new("surplus", 12),
];

/// Takes every sale, page by page, and sums them up.
async fn each_sale(
    tx: &Tx,
    filter: &SaleFilter,
    mut take: impl FnMut(&SaleRow) -> anyhow::Result<()>,
) -> anyhow::Result<Totals> {
    let mut totals = Totals::default();
    let mut last: Option<SaleRow> = None;
    loop {
        let page = sales_page(tx, filter, last.as_ref()).await?;
        for sale in &page {
            totals.add_sale(sale)?;
            take(sale)?;
        }
        let Some(end) = page.into_iter().next_back() else {
            return Ok(totals);
        };
        last = Some(end);
    }
}

async fn sales(tx: &Tx, filter: &SaleFilter, zone: &TimeZone, sheet: &mut Sheet) -> anyhow::Result<()> {
    let totals = each_sale(tx, filter, |sale| {
        let money = |minor| money(minor, &sale.currency);
        sheet.row(&[
            moment_of(sale.sold_at, zone),
            Cell::Text(sale.product.to_string()),
            Cell::Text(sale.serial.clone()),
            Cell::Text(sale.reservation_id.to_string()),
            Cell::Text(sale.terminal.to_string()),
            sale.paid_at.map_or(Cell::Empty, |at| moment_of(at, zone)),
            money(sale.amount),
            money(sale.price),
            money(sale.face_value),
            Cell::Text(sale.currency.clone()),
            Cell::text(sale.receipt_number.as_deref()),
            Cell::Flag(sale.late),
            Cell::text(sale.issuer.as_deref()),
            Cell::text(sale.group.as_deref()),
            money(sale.surplus),
        ])
    })
    .await?;
    if sheet.is_for_people() {
        for (currency, sum) in totals.iter() {
            let mut cells = vec![Cell::Empty; SALES.len()];
            let money = |minor| money(minor, currency);
            cells[0] = Cell::Text(format!("total: {} sales, {} late", sum.sold, sum.late));
            cells[6] = money(sum.amount);
            cells[7] = money(sum.price);
            cells[8] = money(sum.face_value);
            cells[9] = Cell::Text(currency.to_owned());
            cells[14] = money(sum.surplus);
            sheet.total(&cells)?;
        }
    }
    Ok(())
}

pub(crate) const SERIALS: [Column; 11] = [
    Column::new("what", 12),
    Column::new("product", 16),
    Column::new("serial", 20),
    Column::new("at", 20),
    Column::new("terminal", 14),
    Column::new("price", 14),
    Column::new("amount", 14),
    Column::new("currency", 9),
    Column::new("receipt_number", 16),
    Column::new("late", 7),
    Column::new("reservation_id", 37),
];

async fn serials(tx: &Tx, filter: &SaleFilter, zone: &TimeZone, sheet: &mut Sheet) -> anyhow::Result<()> {
    let totals = each_sale(tx, filter, |sale| {
        sheet.row(&[
            Cell::Text("sold".to_owned()),
            Cell::Text(sale.product.to_string()),
            Cell::Text(sale.serial.clone()),
            moment_of(sale.sold_at, zone),
            Cell::Text(sale.terminal.to_string()),
            money(sale.price, &sale.currency),
            money(sale.amount, &sale.currency),
            Cell::Text(sale.currency.clone()),
            Cell::text(sale.receipt_number.as_deref()),
            Cell::Flag(sale.late),
            Cell::Text(sale.reservation_id.to_string()),
        ])
    })
    .await?;
    for section in [Section::Given, Section::CameBack, Section::TakenOut] {
        unsold(tx, filter, section, zone, sheet).await?;
    }
    if sheet.is_for_people() {
        for (currency, sum) in totals.iter() {
            let mut cells = vec![Cell::Empty; SERIALS.len()];
            cells[0] = Cell::Text("total sold".to_owned());
            cells[2] = Cell::Count(sum.sold);
            cells[5] = money(sum.price, currency);
            cells[6] = money(sum.amount, currency);
            cells[7] = Cell::Text(currency.to_owned());
            sheet.total(&cells)?;
        }
    }
    Ok(())
}

async fn unsold(
    tx: &Tx,
    filter: &SaleFilter,
    section: Section,
    zone: &TimeZone,
    sheet: &mut Sheet,
) -> anyhow::Result<()> {
    let cards = cards::serials(tx, filter, section).await?;
    loop {
        let page = cards.page().await?;
        for card in &page {
            let price = card.price.zip(card.currency.as_deref());
            sheet.row(&[
                Cell::Text(card.what.clone()),
                Cell::Text(card.product.clone()),
                Cell::Text(card.serial.clone()),
                moment_of(card.at, zone),
                Cell::text(card.terminal.as_deref()),
                price.map_or(Cell::Empty, |(price, currency)| money(price, currency)),
                Cell::Empty,
                Cell::text(card.currency.as_deref()),
                Cell::Empty,
                Cell::Empty,
                Cell::text(card.reservation_id.as_deref()),
            ])?;
        }
        if page.is_empty() {
            return Ok(());
        }
    }
}

fn moment_of(at: Timestamp, zone: &TimeZone) -> Cell {
    Cell::Moment(at.to_zoned(zone.clone()))
}

/// A currency that is none was stored by nobody; two digits are the usual.
fn money(minor: i64, currency: &str) -> Cell {
    Cell::Money {
        minor,
        digits: Currency::parse(currency).map_or(2, |currency| u8::try_from(currency.digits()).unwrap_or(2)),
    }
}
