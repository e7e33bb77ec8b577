//! Values in and out: bound with types that every driver knows, read by the type that it says a column has. Text goes both
//! ways as UTF-16, so that no locale has a say in it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use odbc_api::handles::AsStatementRef;
use odbc_api::parameter::{InputParameter, VarCharBox, VarWCharBox, WithDataType};
use odbc_api::{Cursor as _, CursorRow, DataType, Nullable, Pod, Preallocated, ResultSetMetadata as _, sys};

use super::super::cell::{Cell, Row};
use super::super::{DatabaseError, Outcome, RETURNED_MAX, ROWS_MAX};
use super::fault::of_driver;
use crate::statement::{Kind, Parameter, Statement};
use crate::values::{Value, Values};
use crate::zone::Zone;

/// Digits of a second that go into a moment: the most that each database's usual type has.
const SECOND_DIGITS: i16 = 3;
/// Digits in front of the point of the largest amount.
const WHOLE_DIGITS: usize = 16;

/// What is bound to a statement's placeholders, in their order.
pub(super) struct Bound(Vec<Box<dyn InputParameter>>);

impl Bound {
    pub(super) fn of(statement: &Statement, values: &Values, zone: &Zone) -> Result<Self, DatabaseError> {
        let bound = |parameter: &Parameter| bind(parameter, values.get(parameter), zone);
        Ok(Self(statement.parameters.iter().map(bound).collect::<Result<_, _>>()?))
    }
}

fn bind(parameter: &Parameter, value: Value, zone: &Zone) -> Result<Box<dyn InputParameter>, DatabaseError> {
    Ok(match (value, parameter.kind) {
        (Value::Integer(integer), _) => Box::new(integer.map_or_else(Nullable::null, Nullable::new)),
        (Value::Text(text), Kind::Decimal { digits }) => Box::new(WithDataType::new(
            text.map_or_else(VarCharBox::null, VarCharBox::from_string),
            DataType::Decimal {
                precision: WHOLE_DIGITS + digits as usize,
                scale: digits as i16,
            },
        )),
        (Value::Text(text), Kind::Moment | Kind::Utc) => {
            let utc = Zone::default();
            let zone = if parameter.kind == Kind::Utc { &utc } else { zone };
            let moment = text.map(|text| local(&text, zone)).transpose()?;
            Box::new(WithDataType::new(
                moment.map_or_else(Nullable::null, |moment| Nullable::new(stamp(moment))),
                DataType::Timestamp {
                    precision: SECOND_DIGITS,
                },
            ))
        }
        (Value::Text(text), _) => {
            Box::new(text.map_or_else(VarWCharBox::null, |text| VarWCharBox::from_str_slice(&text)))
        }
    })
}

/// What clocks of the zone say, from a moment or from a date and time that is the zone's already.
fn local(text: &str, zone: &Zone) -> Result<DateTime, DatabaseError> {
    let moment = text.parse::<Timestamp>().map(|moment| zone.local(moment));
    moment.or_else(|_| text.parse()).map_err(DatabaseError::unreadable)
}

fn stamp(moment: DateTime) -> sys::Timestamp {
    // In range: every one of them is a small number of one sign.
    sys::Timestamp {
        year: moment.year(),
        month: moment.month() as u16,
        day: moment.day() as u16,
        hour: moment.hour() as u16,
        minute: moment.minute() as u16,
        second: moment.second() as u16,
        fraction: moment.millisecond() as u32 * 1_000_000,
    }
}

/// Runs a statement, and reads what it returns.
pub(super) fn outcome<S: odbc_api::handles::Statement + AsStatementRef>(
    asking: &mut Preallocated<S>,
    statement: &Statement,
    bound: &Bound,
) -> Result<Outcome, DatabaseError> {
    let mut outcome = Outcome::default();
    if let Some(mut cursor) = asking.execute(&statement.sql, &bound.0[..]).map_err(of_driver)? {
        let mut columns = Vec::new();
        for number in 1..=cursor.num_result_cols().map_err(of_driver)? as u16 {
            let name = cursor.col_name(number).map_err(of_driver)?;
            columns.push((number, name, cursor.col_data_type(number).map_err(of_driver)?));
        }
        while let Some(mut row) = cursor.next_row().map_err(of_driver)? {
            outcome.touched += 1;
            if outcome.rows.len() < ROWS_MAX {
                outcome.rows.push(read(&mut row, &columns)?);
            } else if outcome.touched > RETURNED_MAX {
                return Err(DatabaseError::TooMany);
            }
        }
        return Ok(outcome);
    }
    outcome.touched = match asking.row_count().map_err(of_driver)? {
        Some(changed) => changed as u64,
        None if statement.is_call() => 0,
        None => {
            return Err(DatabaseError::unreadable(
                "the driver does not say how many rows were changed",
            ));
        }
    };
    Ok(outcome)
}

/// In the order of the columns: not every driver reads them in another.
fn read(row: &mut CursorRow<'_>, columns: &[(u16, String, DataType)]) -> Result<Row, DatabaseError> {
    let mut read = Row::default();
    for (number, name, kind) in columns {
        read.push(name, cell(row, *number, kind)?);
    }
    Ok(read)
}

fn cell(row: &mut CursorRow<'_>, number: u16, kind: &DataType) -> Result<Cell, DatabaseError> {
    Ok(match kind {
        DataType::TinyInt | DataType::SmallInt | DataType::Integer | DataType::BigInt | DataType::Bit => {
            fixed::<i64>(row, number)?.map_or(Cell::Null, Cell::Integer)
        }
        DataType::Real | DataType::Double | DataType::Float { .. } => {
            fixed::<f64>(row, number)?.map_or(Cell::Null, Cell::Real)
        }
        DataType::Timestamp { .. } => match fixed::<sys::Timestamp>(row, number)? {
            None => Cell::Null,
            Some(stamp) => Cell::Local(moment(stamp).ok_or_else(|| DatabaseError::unreadable("a moment is none"))?),
        },
        DataType::Binary { .. } | DataType::Varbinary { .. } | DataType::LongVarbinary { .. } => {
            Cell::Unread(format!("{kind:?}"))
        }
        _ => {
            let mut text = Vec::new();
            if !row.get_wide_text(number, &mut text).map_err(of_driver)? {
                return Ok(Cell::Null);
            }
            String::from_utf16(&text).map_or_else(|_| Cell::Unread(format!("{kind:?}")), Cell::Text)
        }
    })
}

fn fixed<T>(row: &mut CursorRow<'_>, number: u16) -> Result<Option<T>, DatabaseError>
where
    T: Default + Pod,
{
    let mut value = Nullable::<T>::null();
    row.get_data(number, &mut value).map_err(of_driver)?;
    Ok(value.into_opt())
}

fn moment(stamp: sys::Timestamp) -> Option<DateTime> {
    let small = |number: u16| i8::try_from(number).ok();
    DateTime::new(
        stamp.year,
        small(stamp.month)?,
        small(stamp.day)?,
        small(stamp.hour)?,
        small(stamp.minute)?,
        small(stamp.second)?,
        i32::try_from(stamp.fraction).ok()?,
    )
    .ok()
}
