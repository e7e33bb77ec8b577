//! A payment's flags stand in the order in which they came: what an operator settled afterwards is answered.

use domain::delivery::Flag;

/// The flags of this array that no settlement has answered.
pub(crate) fn unanswered(flags: &str) -> String {
    let settled = Flag::SettledByOperator.as_str();
    format!("({flags})[coalesce(array_position({flags}, '{settled}'), 0) + 1:]")
}

/// This array with these flags besides. One that is said again after a settlement contradicts that too, and stands at the end.
pub(crate) fn with(flags: &str, new: &str) -> String {
    format!(
        "(SELECT ARRAY(SELECT flag FROM unnest({flags}) WITH ORDINALITY AS had(flag, nth)
                       WHERE flag <> ALL (added) ORDER BY nth) || added
          FROM (SELECT ARRAY(SELECT flag FROM unnest({new}) AS given(flag)
                             WHERE flag <> ALL ({})) AS added) AS adding)",
        unanswered(flags)
    )
}
