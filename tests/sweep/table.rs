//! How the cases of each row ended, as Markdown.

use std::collections::BTreeMap;
use std::fmt;

use super::case::Verdict;

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<String, [usize; 5]>,
}

impl Table {
    pub(crate) fn count(&mut self, row: &str, verdict: &Verdict) {
        let column = match verdict {
            Verdict::Done => 0,
            Verdict::Nothing => 1,
            Verdict::Clean => 2,
            Verdict::Left => 3,
            Verdict::Wrong(_) => 4,
        };
        self.rows.entry(row.to_owned()).or_default()[column] += 1;
    }

    /// How many bakes left something.
    pub(crate) fn left(&self) -> usize {
        self.rows.values().map(|columns| columns[3]).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, cells: [String; 6]| writeln!(f, "| {name} | {} |", cells.join(" | "));
        line(
            "fault",
            ["bakes", "done (0)", "nothing begun (2)", "clean (3)", "named (4)", "wrong"].map(str::to_owned),
        )?;
        line("---", std::array::from_fn(|_| "---".to_owned()))?;
        let mut sum = [0; 5];
        for (name, columns) in &self.rows {
            let all: usize = columns.iter().sum();
            let [a, b, c, d, e] = columns.map(|count| count.to_string());
            line(name, [all.to_string(), a, b, c, d, e])?;
            for (sum, count) in sum.iter_mut().zip(columns) {
                *sum += count;
            }
        }
        let all: usize = sum.iter().sum();
        let [a, b, c, d, e] = sum.map(|count| count.to_string());
        line("all", [all.to_string(), a, b, c, d, e])
    }
}
