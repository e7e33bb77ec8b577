//! XML: an element per payment, its columns as elements inside, and the register's facts as attributes of the root.

use std::io::Write;

use quick_xml::escape::escape;

use super::{RowWriter, lines};
use crate::FormatError;
use crate::column::Pen;
use crate::head::Head;
use crate::layout::Layout;
use crate::report::Report;
use crate::row::{Row, Tally};

pub(super) struct Xml<'l, W> {
    layout: &'l Layout,
    head: &'l Head,
    out: W,
    pens: Vec<Pen>,
    text: String,
    bytes: Vec<u8>,
}

impl<'l, W: Write> Xml<'l, W> {
    pub(super) fn begin(
        layout: &'l Layout,
        head: &'l Head,
        mut out: W,
        report: &mut Report,
    ) -> Result<Self, FormatError> {
        out.write_all(layout.charset.mark())?;
        let encoding = layout.charset.name();
        let attributes = [
            ("payee", layout.payee.id.clone()),
            ("series", head.series.clone()),
            ("kind", if head.is_copy { "copy" } else { "regular" }.to_owned()),
            ("sequence", head.sequence.to_string()),
            ("part", head.part.0.to_string()),
            ("parts", head.part.1.to_string()),
            ("count", head.count.to_string()),
            ("total", layout.style.money(head.total, head.currency)),
            ("currency", head.currency.code().to_owned()),
        ];
        // A reader that knows nothing of copies with open payments meets no attribute that it does not know.
        let open = (head.open > 0).then(|| ("open", head.open.to_string()));
        let attributes: String = attributes
            .iter()
            .chain(&open)
            .map(|(name, value)| format!(" {name}=\"{}\"", escape(value.as_str())))
            .collect();
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n<{}{attributes}>\n",
            layout.root
        );
        lines::write(layout, &text, "header", &mut out, report)?;
        Ok(Self {
            layout,
            head,
            out,
            pens: Pen::of(&layout.columns),
            text: String::new(),
            bytes: Vec::new(),
        })
    }
}

impl<W: Write> RowWriter<W> for Xml<'_, W> {
    fn row(&mut self, row: &Row<'_>, line: i64, report: &mut Report) -> Result<(), FormatError> {
        let layout = self.layout;
        self.bytes.clear();
        let mut put = |text: &str, report: &mut Report, column: &crate::column::Column| {
            layout
                .charset
                .append(&mut self.bytes, text, || column.spot(row), report)
        };
        let mut first = true;
        for (column, pen) in layout.columns.iter().zip(&mut self.pens) {
            let text = layout.style.text(column.cell(layout, self.head, row, line), row, pen);
            // No XML has these two, not even as a reference.
            let text = text.replace(['\u{fffe}', '\u{ffff}'], " ");
            self.text.clear();
            if first {
                self.text.extend(["  <", &layout.element, ">"]);
                first = false;
            }
            self.text
                .extend(["<", &column.name, ">", &escape(&*text), "</", &column.name, ">"]);
            put(&self.text, report, column)?;
        }
        self.bytes
            .extend_from_slice(format!("</{}>", layout.element).as_bytes());
        self.bytes.extend_from_slice(layout.line_end.as_str().as_bytes());
        Ok(self.out.write_all(&self.bytes)?)
    }

    fn finish(mut self: Box<Self>, _: &Tally, report: &mut Report) -> Result<W, FormatError> {
        lines::write(
            self.layout,
            &format!("</{}>\n", self.layout.root),
            "trailer",
            &mut self.out,
            report,
        )?;
        Ok(self.out)
    }
}
