//! Lines of text around and instead of columns: templates filled in, their line ends and encoding the layout's.

use std::io::Write;

use super::RowWriter;
use crate::head::Head;
use crate::layout::Layout;
use crate::report::Report;
use crate::row::{Row, Tally};
use crate::{FormatError, Spot, values};

pub(super) fn spot(column: &str) -> Spot {
    Spot {
        number: None,
        column: column.to_owned(),
    }
}

/// Writes lines that end in line feeds as the layout ends them.
pub(super) fn write(
    layout: &Layout,
    text: &str,
    place: &'static str,
    out: &mut impl Write,
    report: &mut Report,
) -> Result<(), FormatError> {
    let mut bytes = Vec::with_capacity(text.len());
    append(layout, text, || spot(place), &mut bytes, report)?;
    Ok(out.write_all(&bytes)?)
}

fn append(
    layout: &Layout,
    text: &str,
    place: impl Fn() -> Spot,
    bytes: &mut Vec<u8>,
    report: &mut Report,
) -> Result<(), FormatError> {
    for line in text.split_inclusive('\n') {
        layout
            .charset
            .append(bytes, line.trim_end_matches('\n'), &place, report)?;
        bytes.extend_from_slice(layout.line_end.as_str().as_bytes());
    }
    Ok(())
}

/// What stands before the payments.
pub(super) fn header(
    layout: &Layout,
    head: &Head,
    out: &mut impl Write,
    report: &mut Report,
) -> Result<(), FormatError> {
    out.write_all(layout.charset.mark())?;
    let Some(template) = &layout.header else { return Ok(()) };
    let text = values::fill(template, "layout.header", &values::of_head(layout, head))?;
    write(layout, &text, "header", out, report)
}

/// What stands after them.
pub(super) fn trailer(
    layout: &Layout,
    head: &Head,
    tally: &Tally,
    out: &mut impl Write,
    report: &mut Report,
) -> Result<(), FormatError> {
    let Some(template) = &layout.trailer else { return Ok(()) };
    let text = values::fill(template, "layout.trailer", &values::of_trailer(layout, head, tally))?;
    write(layout, &text, "trailer", out, report)
}

/// A template per payment.
pub(super) struct Lines<'l, W> {
    layout: &'l Layout,
    head: &'l Head,
    /// What every row tells besides its own.
    values: domain::template::Values,
    out: W,
    bytes: Vec<u8>,
}

impl<'l, W: Write> Lines<'l, W> {
    pub(super) fn begin(
        layout: &'l Layout,
        head: &'l Head,
        mut out: W,
        report: &mut Report,
    ) -> Result<Self, FormatError> {
        header(layout, head, &mut out, report)?;
        Ok(Self {
            layout,
            head,
            values: values::of_head(layout, head),
            out,
            bytes: Vec::new(),
        })
    }
}

impl<W: Write> RowWriter<W> for Lines<'_, W> {
    fn row(&mut self, row: &Row<'_>, line: i64, report: &mut Report) -> Result<(), FormatError> {
        // Whoever declares the format `text` declares a row.
        let Some(template) = &self.layout.row else {
            return Ok(());
        };
        values::add_row(&mut self.values, self.layout, self.head, row, line);
        let text = values::fill(template, "layout.row", &self.values)?;
        let place = || Spot {
            number: Some(row.number),
            column: "row".to_owned(),
        };
        self.bytes.clear();
        append(self.layout, &text, place, &mut self.bytes, report)?;
        Ok(self.out.write_all(&self.bytes)?)
    }

    fn finish(mut self: Box<Self>, tally: &Tally, report: &mut Report) -> Result<W, FormatError> {
        trailer(self.layout, self.head, tally, &mut self.out, report)?;
        Ok(self.out)
    }
}
