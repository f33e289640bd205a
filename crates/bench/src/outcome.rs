//! What a measurement found: a table for people, the budgets it was held against, and JSON.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// One cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Words, set to the left.
    Text(String),
    /// A figure with so many decimals, set to the right.
    Figure(f64, usize),
}

impl Cell {
    /// A cell of words.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Figure(figure, decimals) => format!("{figure:.decimals$}"),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Figure(figure, _) => json!(figure),
        }
    }
}

/// Rows under headings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells it lacks stay empty.
    pub(crate) fn add(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// The table as lines of text, each ended.
    pub(crate) fn render(&self) -> String {
        let mut lines = vec![self.columns.iter().map(|name| Cell::text(*name)).collect()];
        lines.extend(self.rows.iter().cloned());
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                lines
                    .iter()
                    .map(|line| width(line.get(column)))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for line in &lines {
            let mut row = String::from(" ");
            for (column, width) in widths.iter().enumerate() {
                row.push(' ');
                row.push_str(&padded(line.get(column), *width));
                row.push(' ');
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }

    fn to_json(&self) -> Value {
        let row = |cells: &Vec<Cell>| {
            let named = self.columns.iter().zip(cells);
            named
                .map(|(name, cell)| ((*name).to_owned(), cell.to_json()))
                .collect::<Map<_, _>>()
        };
        self.rows
            .iter()
            .map(|cells| Value::Object(row(cells)))
            .collect()
    }
}

fn width(cell: Option<&Cell>) -> usize {
    cell.map_or(0, |cell| cell.shown().chars().count())
}

fn padded(cell: Option<&Cell>, width: usize) -> String {
    match cell {
        Some(figure @ Cell::Figure(..)) => format!("{:>width$}", figure.shown()),
        Some(text @ Cell::Text(_)) => format!("{:<width$}", text.shown()),
        None => " ".repeat(width),
    }
}

/// What a figure must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// It may reach this.
    AtMost(f64),
    /// It must reach this.
    AtLeast(f64),
}

/// What came of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Kept.
    Kept,
    /// Not kept.
    Broken,
    /// Not known, which is not the same as kept.
    NotMeasured,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "BROKEN",
            Self::NotMeasured => "NOT MEASURED",
        }
    }
}

/// A budget of docs/architecture.md and the figure held against it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Budget {
    /// What is measured, with its unit.
    pub what: &'static str,
    /// The figure; `None` when it could not be measured.
    pub figure: Option<f64>,
    /// What it must keep to.
    pub bound: Bound,
}

impl Budget {
    /// Whether it was kept.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.figure, self.bound) {
            (None, _) => Verdict::NotMeasured,
            (Some(figure), Bound::AtMost(most)) if figure <= most => Verdict::Kept,
            (Some(figure), Bound::AtLeast(least)) if figure >= least => Verdict::Kept,
            (Some(_), Bound::AtMost(_) | Bound::AtLeast(_)) => Verdict::Broken,
        }
    }

    fn row(&self) -> Vec<Cell> {
        let (sign, limit) = match self.bound {
            Bound::AtMost(most) => ("at most", most),
            Bound::AtLeast(least) => ("at least", least),
        };
        vec![
            Cell::text(self.what),
            self.figure
                .map_or(Cell::text("-"), |figure| Cell::Figure(figure, 3)),
            Cell::text(format!("{sign} {limit}")),
            Cell::text(self.verdict().words()),
        ]
    }

    fn to_json(&self) -> Value {
        let (sign, limit) = match self.bound {
            Bound::AtMost(most) => ("at_most", most),
            Bound::AtLeast(least) => ("at_least", least),
        };
        json!({"what": self.what, "figure": self.figure, sign: limit, "verdict": self.verdict()})
    }
}

/// What a measurement found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// The measurement and its size.
    pub title: String,
    /// The figures.
    pub table: Table,
    /// The budgets it is held against.
    pub budgets: Vec<Budget>,
    /// What a reader must know to judge the figures.
    pub notes: Vec<String>,
    /// What makes the figures worthless: lines missing, a program that ended badly.
    pub faults: Vec<String>,
}

impl Outcome {
    /// Whether every budget is known to be kept.
    pub(crate) fn keeps_budgets(&self) -> bool {
        self.budgets
            .iter()
            .all(|budget| budget.verdict() == Verdict::Kept)
    }

    /// The outcome as text for people.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("{}\n\n{}", self.title, self.table.render());
        if !self.budgets.is_empty() {
            let mut table = Table::new(&["budget", "measured", "limit", "verdict"]);
            for budget in &self.budgets {
                table.add(budget.row());
            }
            text.push('\n');
            text.push_str(&table.render());
        }
        let notes = self.notes.iter().map(|note| ("note", note));
        let faults = self.faults.iter().map(|fault| ("FAULT", fault));
        for (kind, words) in notes.chain(faults) {
            writeln!(text, "  {kind}: {words}").expect("a string takes any text");
        }
        writeln!(text, "\n  verdict: {}", self.verdict()).expect("a string takes any text");
        text
    }

    /// The outcome for programs.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "title": self.title,
            "table": self.table.to_json(),
            "budgets": self.budgets.iter().map(Budget::to_json).collect::<Vec<_>>(),
            "notes": self.notes,
            "faults": self.faults,
            "verdict": self.verdict(),
        })
    }

    fn verdict(&self) -> String {
        let count = |verdict| {
            self.budgets
                .iter()
                .filter(|b| b.verdict() == verdict)
                .count()
        };
        let (broken, unknown) = (count(Verdict::Broken), count(Verdict::NotMeasured));
        if !self.faults.is_empty() {
            "the measurement failed".to_owned()
        } else if broken > 0 {
            format!("{broken} of {} budgets broken", self.budgets.len())
        } else if unknown > 0 {
            format!("{unknown} of {} budgets not measured", self.budgets.len())
        } else {
            format!("all {} budgets kept", self.budgets.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let mut table = Table::new(&["program", "MB/s", "complete"]);
        table.add(vec![
            Cell::text("limit"),
            Cell::Figure(412.26, 1),
            Cell::text("yes"),
        ]);
        table.add(vec![Cell::text("tailwater"), Cell::Figure(99.5, 1)]);
        Outcome {
            title: "drain".to_owned(),
            table,
            budgets: vec![
                Budget {
                    what: "CPU ratio",
                    figure: Some(1.25),
                    bound: Bound::AtMost(1.7),
                },
                Budget {
                    what: "MB/s ratio",
                    figure: Some(0.5),
                    bound: Bound::AtLeast(0.6),
                },
                Budget {
                    what: "calls",
                    figure: None,
                    bound: Bound::AtMost(0.01),
                },
            ],
            notes: vec!["one CPU".to_owned()],
            faults: Vec::new(),
        }
    }

    #[test]
    fn figures_stand_to_the_right_and_words_to_the_left() {
        let expected = "\
drain

  program    MB/s   complete
  limit      412.3  yes
  tailwater   99.5

  budget      measured  limit         verdict
  CPU ratio      1.250  at most 1.7   kept
  MB/s ratio     0.500  at least 0.6  BROKEN
  calls       -         at most 0.01  NOT MEASURED
  note: one CPU

  verdict: 1 of 3 budgets broken
";
        assert_eq!(outcome().render(), expected);
    }

    #[test]
    fn a_budget_that_was_not_measured_is_not_kept() {
        let mut outcome = outcome();
        outcome.budgets.remove(1);
        assert!(!outcome.keeps_budgets());
        assert_eq!(outcome.verdict(), "1 of 2 budgets not measured");
        outcome.budgets.remove(1);
        assert!(outcome.keeps_budgets());
        assert_eq!(outcome.verdict(), "all 1 budgets kept");
        outcome.faults.push("3 lines missing".to_owned());
        assert_eq!(outcome.verdict(), "the measurement failed");
    }

    #[test]
    fn a_figure_at_its_limit_keeps_it() {
        let verdict = |figure, bound| {
            Budget {
                what: "x",
                figure: Some(figure),
                bound,
            }
            .verdict()
        };
        assert_eq!(verdict(1.7, Bound::AtMost(1.7)), Verdict::Kept);
        assert_eq!(verdict(0.6, Bound::AtLeast(0.6)), Verdict::Kept);
        assert_eq!(verdict(f64::NAN, Bound::AtMost(1.7)), Verdict::Broken);
        assert_eq!(verdict(f64::NAN, Bound::AtLeast(0.6)), Verdict::Broken);
    }

    #[test]
    fn json_carries_figures_as_numbers() {
        let json = outcome().to_json();
        assert_eq!(json["table"][0]["MB/s"], json!(412.26));
        assert_eq!(
            json["table"][1],
            json!({"program": "tailwater", "MB/s": 99.5})
        );
        assert_eq!(json["budgets"][0]["at_most"], json!(1.7));
        assert_eq!(json["budgets"][2]["figure"], Value::Null);
        assert_eq!(json["budgets"][1]["verdict"], json!("broken"));
    }
}
