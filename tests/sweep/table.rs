//! How the cases of each row ended, as Markdown.

use std::collections::BTreeMap;
use std::fmt;

use super::case::Verdict;

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<String, [usize; 6]>,
}

impl Table {
    pub(crate) fn count(&mut self, row: &str, verdict: &Verdict) {
        let column = match verdict {
            Verdict::Done => 0,
            Verdict::Nothing => 1,
            Verdict::Clean => 2,
            Verdict::Left => 3,
            Verdict::Resumed => 4,
            Verdict::Wrong(_) => 5,
        };
        self.rows.entry(row.to_owned()).or_default()[column] += 1;
    }

    /// How many bakes left something.
    pub(crate) fn left(&self) -> usize {
        self.rows.values().map(|columns| columns[3] + columns[4]).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, cells: &[String]| writeln!(f, "| {name} | {} |", cells.join(" | "));
        let counts = |columns: &[usize; 6]| -> Vec<String> {
            let all = columns.iter().sum::<usize>();
            std::iter::once(&all).chain(columns).map(ToString::to_string).collect()
        };
        let heads = ["bakes", "done (0)", "nothing begun (2)", "clean (3)", "named (4)", "to be resumed (4)", "wrong"]
            .map(str::to_owned);
        line("fault", &heads)?;
        line("---", &heads.map(|_| "---".to_owned()))?;
        let mut sum = [0; 6];
        for (name, columns) in &self.rows {
            line(name, &counts(columns))?;
            for (sum, count) in sum.iter_mut().zip(columns) {
                *sum += count;
            }
        }
        line("all", &counts(&sum))
    }
}
