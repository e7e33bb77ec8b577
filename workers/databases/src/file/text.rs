//! Separated values.

use domain::declaration::{FileSource, TextEncoding};

use super::rows::{Row, Rows, decode, value};

/// The lines under the heading. The last line has to be ended: one that is not may have been cut off.
pub(super) fn read(bytes: &[u8], file: &FileSource, encoding: TextEncoding) -> Result<Vec<Row>, String> {
    let text = decode(bytes, encoding)?;
    if !text.ends_with(['\n', '\r']) {
        return Err("its last line is not ended: it may have been cut off".to_owned());
    }
    let above = file.header as usize - 1;
    let skipped: usize = text.split_inclusive('\n').take(above).map(str::len).sum();
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(file.separator).unwrap_or(b';'))
        .has_headers(false)
        .flexible(true)
        .from_reader(&text.as_bytes()[skipped..]);
    let mut records = reader.records();
    let heading = records
        .next()
        .ok_or("has no heading")?
        .map_err(|error| error.to_string())?;
    whole(&heading, above)?;
    let heading: Vec<String> = heading.iter().map(str::to_owned).collect();
    let mut rows = Rows::under(file, &heading)?;
    for record in records {
        let record = record.map_err(|error| error.to_string())?;
        let number = whole(&record, above)?;
        if record.len() != heading.len() {
            let (given, wanted) = (record.len(), heading.len());
            return Err(format!("line {number}: has {given} values instead of {wanted}"));
        }
        let taken = rows.take(|place| Ok(value(&record[place])));
        taken.map_err(|why| format!("line {number}: {why}"))?;
    }
    Ok(rows.end())
}

/// The line of a record. What follows a quote that nobody closed would be missing without a word, or be shown as another's.
fn whole(record: &csv::StringRecord, above: usize) -> Result<usize, String> {
    let line = record.position().map_or(0, |position| position.line() as usize) + above;
    if record.iter().any(|cell| cell.contains(['\n', '\r'])) {
        return Err(format!(
            "line {line}: a quoted value goes on in the next line; is its quote closed?"
        ));
    }
    Ok(line)
}
