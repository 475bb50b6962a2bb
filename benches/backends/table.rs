//! What was measured, as a table.

use std::fmt::{self, Display, Formatter};

use crate::timing::Quarters;

pub struct Table {
    /// What the backends run on.
    pub about: Vec<String>,
    pub backends: Vec<&'static str>,
    pub times: Vec<Figures>,
    pub scores: Vec<Figures>,
}

pub struct Figures {
    pub title: String,
    /// Of each backend, with burn-decay and with Burn's own.
    pub pairs: Vec<[Quarters; 2]>,
}

const HEAD: [&str; 6] = [
    "",
    "backend",
    "burn-decay",
    "Burn's own",
    "Burn's ÷ ours",
    "ours ÷ fastest",
];

impl Table {
    fn rows(&self) -> Vec<[String; 6]> {
        let mut rows = vec![HEAD.map(String::from), [(); 6].map(|()| "---".into())];
        for (i, Figures { title, pairs }) in self.times.iter().chain(&self.scores).enumerate() {
            let ours = pairs.iter().map(|[ours, _]| *ours);
            let fastest = ours.reduce(|a, b| if b.median < a.median { b } else { a });
            // A score is no time.
            let fastest = fastest.filter(|_| i < self.times.len());
            for (backend, [ours, burns]) in self.backends.iter().zip(pairs) {
                rows.push([
                    title.clone(),
                    backend.to_string(),
                    ours.to_string(),
                    burns.to_string(),
                    ratio(*burns, *ours),
                    fastest.map_or(String::new(), |fastest| ratio(*ours, fastest)),
                ]);
            }
        }
        rows
    }
}

/// Where the spreads overlap, the two are equal within the noise.
fn ratio(one: Quarters, other: Quarters) -> String {
    if one.median == other.median {
        "1".into()
    } else if one.lower <= other.upper && other.lower <= one.upper {
        "equal".into()
    } else {
        format!("{:.2}", one.median / other.median)
    }
}

/// As Markdown, in columns.
impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in &self.about {
            writeln!(f, "- {line}")?;
        }
        writeln!(f)?;
        let rows = self.rows();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        for row in &rows {
            for (column, cell) in row.iter().enumerate() {
                write!(f, "| {cell:0$} ", width(column).unwrap_or_default())?;
            }
            writeln!(f, "|")?;
        }
        Ok(())
    }
}
