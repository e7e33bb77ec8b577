//! Separated values.

use domain::declaration::TextEncoding;

use super::rows::{Line, decode, value};

/// The heading and the lines under it. The last line has to be ended: one that is not may have been cut off.
pub(super) fn read(
    bytes: &[u8],
    encoding: TextEncoding,
    separator: char,
    header: usize,
) -> Result<(Vec<String>, Vec<Line>), String> {
    let text = decode(bytes, encoding)?;
    if !text.ends_with(['\n', '\r']) {
        return Err("its last line is not ended: it may have been cut off".to_owned());
    }
    let above: usize = text.split_inclusive('\n').take(header - 1).map(str::len).sum();
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(separator).unwrap_or(b';'))
        .has_headers(false)
        .flexible(true)
        .from_reader(&text.as_bytes()[above..]);
    let mut heading = None;
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let number = record.position().map_or(0, |position| position.line() as usize) + header - 1;
        if heading.is_none() {
            heading = Some(record.iter().map(str::to_owned).collect::<Vec<_>>());
        } else {
            lines.push((number, record.iter().map(value).collect()));
        }
    }
    Ok((heading.ok_or("has no heading")?, lines))
}
