//! A figure: what was measured, the bound it is compared with, and the goal.

use anyhow::bail;
use serde_json::{Value, json};

/// A figure before it is measured: its name, its unit, its goal.
pub(super) type Planned = (&'static str, &'static str, Goal);

/// One measured figure with its bound.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// Measurements of ours and of the bound, pair by pair.
    pub(super) pairs: Vec<(f64, f64)>,
    pub(super) goal: Goal,
    /// Why it cannot be measured on this server.
    pub(super) impossible: Option<&'static str>,
}

/// What is asked of a figure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// The ratio to the bound is at least this.
    AtLeast(f64),
    /// The ratio to the bound (a limit that does not move) is at most this.
    AtMost(f64),
}

/// The figures whose names begin with `only`; an empty one means all. What begins no name is a slip of the pen.
pub(super) fn wanted(planned: &[Planned], only: &str) -> anyhow::Result<Vec<Figure>> {
    let figures: Vec<Figure> = planned
        .iter()
        .filter(|(name, ..)| name.starts_with(only))
        .map(|(name, unit, goal)| Figure {
            name,
            unit,
            pairs: Vec::new(),
            goal: *goal,
            impossible: None,
        })
        .collect();
    if figures.is_empty() {
        let names: Vec<&str> = planned.iter().map(|(name, ..)| *name).collect();
        bail!("no figure's name begins with `{only}`: there are {}", names.join(", "));
    }
    Ok(figures)
}

/// Whether one of these is among the figures that are wanted.
pub(super) fn wants(figures: &[Figure], names: &[&str]) -> bool {
    figures.iter().any(|figure| names.contains(&figure.name))
}

/// Adds what was measured to the figures that are wanted.
pub(super) fn put(figures: &mut [Figure], found: &[(&str, (f64, f64))]) {
    for (name, pair) in found {
        let figure = figures.iter_mut().find(|figure| figure.name == *name);
        figure.into_iter().for_each(|figure| figure.pairs.push(*pair));
    }
}

/// Whether something was measured, and no goal was missed.
pub(super) fn all_hold(figures: &[Figure]) -> bool {
    let mut measured = figures.iter().filter(|figure| figure.impossible.is_none()).peekable();
    measured.peek().is_some() && measured.all(Figure::holds)
}

impl Figure {
    /// Adds what was measured, or why it cannot be.
    pub(super) fn take(&mut self, measured: Option<(f64, f64)>, why_not: &'static str) {
        match measured {
            Some(pair) => self.pairs.push(pair),
            None => self.impossible = Some(why_not),
        }
    }

    /// The median of the ratios, pair by pair: what the machine did to one it did to the other.
    pub(super) fn ratio(&self) -> f64 {
        median(self.pairs.iter().map(|(ours, bound)| ours / bound).collect())
    }

    pub(super) fn value(&self) -> f64 {
        median(self.pairs.iter().map(|(ours, _)| *ours).collect())
    }

    pub(super) fn bound(&self) -> f64 {
        median(self.pairs.iter().map(|(_, bound)| *bound).collect())
    }

    /// The smallest and the largest ratio.
    fn spread(&self) -> (f64, f64) {
        let ratios = self.pairs.iter().map(|(ours, bound)| ours / bound);
        ratios.fold((f64::INFINITY, 0.0), |(low, high), ratio| {
            (low.min(ratio), high.max(ratio))
        })
    }

    pub(super) fn holds(&self) -> bool {
        match self.goal {
            Goal::AtLeast(least) => self.ratio() >= least,
            Goal::AtMost(most) => self.ratio() <= most,
        }
    }

    fn to_json(&self) -> Value {
        if let Some(why) = self.impossible {
            return json!({"name": self.name, "unit": self.unit, "impossible": why});
        }
        let (low, high) = self.spread();
        let goal = match self.goal {
            Goal::AtLeast(goal) | Goal::AtMost(goal) => goal,
        };
        json!({
            "name": self.name, "value": rounded(self.value()), "unit": self.unit, "bound": rounded(self.bound()),
            "ratio": rounded(self.ratio()), "goal": goal, "holds": self.holds(),
            "ratio_min": rounded(low), "ratio_max": rounded(high), "pairs": self.pairs.len(),
        })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its figures")]
pub(super) fn print_json(bench: &str, figures: &[Figure]) {
    let figures: Vec<Value> = figures.iter().map(Figure::to_json).collect();
    println!("{}", json!({"bench": bench, "figures": figures}));
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its figures")]
pub(super) fn print_table(bench: &str, figures: &[Figure]) {
    println!("bench {bench}: medians, ours beside its bound in the same run");
    for figure in figures {
        if let Some(why) = figure.impossible {
            println!("  {:<28} cannot be measured here: {why}", figure.name);
            continue;
        }
        let (low, high) = figure.spread();
        let goal = match figure.goal {
            Goal::AtLeast(goal) => format!("at least {goal}"),
            Goal::AtMost(goal) => format!("at most {goal}"),
        };
        println!(
            "  {:<28} {:>10.1} {:<6} bound {:>10.1}   ratio {:.2} ({low:.2} to {high:.2} in {} pairs)   goal {goal}: {}",
            figure.name,
            figure.value(),
            figure.unit,
            figure.bound(),
            figure.ratio(),
            figure.pairs.len(),
            if figure.holds() { "holds" } else { "MISSED" },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Figure, Goal, all_hold, put, wanted};

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let pairs = vec![(10.0, 10.0), (40.0, 20.0), (90.0, 30.0)];
        let figure = Figure {
            name: "drain",
            unit: "msg/s",
            pairs,
            goal: Goal::AtLeast(2.0),
            impossible: None,
        };
        assert!((figure.ratio() - 2.0).abs() < 1e-9, "not the ratio of the medians");
        assert!(figure.holds());
        let json = figure.to_json();
        for key in ["name", "value", "unit", "bound", "ratio", "goal", "holds"] {
            assert!(json.get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_said_and_is_no_success_alone() {
        let planned = [
            ("drain", "msg/s", Goal::AtLeast(2.0)),
            ("fed", "msg/s", Goal::AtLeast(2.0)),
        ];
        let mut figures = wanted(&planned, "").unwrap();
        put(&mut figures, &[("drain", (3.0, 1.0)), ("unheard_of", (1.0, 1.0))]);
        figures[1].impossible = Some("there is none");
        assert!(all_hold(&figures) && !all_hold(&figures[1..]) && !all_hold(&[]));
        assert_eq!(figures[1].to_json()["impossible"], "there is none");
        put(&mut figures, &[("drain", (1.0, 1.0)), ("drain", (1.0, 1.0))]);
        assert!(!all_hold(&figures));
    }
}
