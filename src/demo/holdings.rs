//! What a payee's own tables hold when the day is over.

/// Payments as a payee has them, and what became of its balances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    /// Rows of its own table of payments.
    pub(super) rows: i64,
    /// Different numbers in it.
    pub(super) numbers: i64,
    /// The sum of their amounts, in minor units.
    pub(super) total: i64,
    /// By how much the balances of its payers have grown, or their debts have fallen.
    pub(super) credited: i64,
    /// Every number with its amount, in the order of numbers.
    pub(super) each: Vec<(i64, i64)>,
}

impl Holdings {
    /// Reads one row: payees' tables are asked through what returns few. `each` is `number:amount` of each, with spaces
    /// between.
    pub(super) fn of_row(column: impl Fn(&str) -> Option<String>, credited: i64) -> Self {
        let integer = |name: &str| column(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        let pair = |text: &str| {
            let (number, amount) = text.split_once(':')?;
            Some((number.parse().ok()?, amount.parse().ok()?))
        };
        let each = column("each_one").unwrap_or_default();
        let mut each: Vec<(i64, i64)> = each.split(' ').filter_map(pair).collect();
        each.sort_unstable();
        Self {
            rows: integer("n"),
            numbers: integer("numbers"),
            total: integer("total"),
            credited,
            each,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read() {
        let column = |name: &str| match name {
            "n" | "numbers" => Some("2".to_owned()),
            "total" => Some("350".to_owned()),
            "each_one" => Some("12:200 7:150".to_owned()),
            _ => None,
        };
        let held = Holdings::of_row(column, 350);
        assert_eq!((held.rows, held.total, held.each), (2, 350, vec![(7, 150), (12, 200)]));
        assert_eq!(Holdings::of_row(|_| None, 0), Holdings::default());
    }
}
