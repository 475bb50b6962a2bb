//! What the maps say, in numbers.

use std::fmt;

use serde::Serialize;

use crate::options::Map;
use crate::sweep::Results;
use crate::training::{Errors, Run};

/// What a map says, in percent. Its cells are counted as its first runs are.
///
/// Validation errors make every choice, and test errors tell what it is worth. All but `test_error`
/// is of errors that are averaged with the neighbours', so that no lucky run decides.
#[derive(Serialize)]
pub struct Finding<'a> {
    #[serde(skip)]
    pub map: &'a Map,
    /// For each cell, the mean over the seeds.
    #[serde(skip)]
    pub validation_errors: Vec<f64>,
    /// The best cell first.
    #[serde(skip)]
    pub best_tenth: Vec<usize>,
    optimizer: &'static str,
    best_learning_rate: f64,
    best_lambda: f64,
    pub test_error: Spread,
    /// How much more test error the best cell of λ = 0 has than the best of the others.
    gained_by_decay: Spread,
    /// How much more test error one has who tunes λ at some learning rate, and then the learning
    /// rate with that λ, than who searches the whole map: the mean over all that one can start from.
    lost_by_two_searches: Spread,
    /// The slope of the best λ over the learning rate, both logarithmic: 0 where the good region
    /// stands upright, -1 where ten times the learning rate wants a tenth of λ.
    slope: Spread,
}

impl<'a> Finding<'a> {
    pub fn new(map: &'a Map, results: &Results) -> Self {
        let errors = |run| results.get(run).expect("the sweep is complete");
        let errors: Vec<Errors> = map.runs.iter().map(errors).collect();
        let cells = map.learning_rates.len() * map.lambdas.len();
        let [validation, test] = [0, 1].map(|kind| {
            let of_seed = |errors: &[Errors]| errors.iter().map(|errors| errors[kind]).collect();
            errors.chunks(cells).map(of_seed).collect::<Vec<Vec<f64>>>()
        });
        let mean = |cell: usize| Spread::of(validation.iter().map(|errors| errors[cell])).mean;
        let validation_errors: Vec<f64> = (0..cells).map(mean).collect();

        let smooth = |errors: &Vec<f64>| smoothed(errors, map.lambdas.len());
        let mean = smooth(&validation_errors);
        let mut best_tenth: Vec<usize> = (0..cells).collect();
        best_tenth.sort_by(|a, b| mean[*a].total_cmp(&mean[*b]));
        best_tenth.truncate(1.max(cells / 10));
        let best = best_tenth[0];
        let with = map.best(&mean, |run| run.lambda > 0.0);
        let without = map.best(&mean, |run| run.lambda == 0.0);

        let test_error = Spread::of(test.iter().map(|errors| errors[best]));
        let test: Vec<_> = test.iter().map(smooth).collect();
        let validation: Vec<_> = validation.iter().map(smooth).collect();
        let both = validation.iter().zip(&test);
        Self {
            map,
            validation_errors,
            best_tenth,
            optimizer: map.title,
            best_learning_rate: map.runs[best].learning_rate,
            best_lambda: map.runs[best].lambda,
            test_error,
            gained_by_decay: Spread::of(test.iter().map(|test| test[without] - test[with])),
            lost_by_two_searches: Spread::of(both.map(|both| map.lost_by_two_searches(both))),
            slope: Spread::of(validation.iter().map(|errors| map.slope(errors))),
        }
    }

    /// The slope, unless what the best λ gains is within its standard deviation.
    pub fn summary(&self) -> String {
        if self.gained_by_decay.mean <= self.gained_by_decay.deviation.max(0.0) {
            "no λ is clearly better than none".into()
        } else {
            format!("slope of the best λ: {}", self.slope)
        }
    }
}

/// Each cell averaged with its neighbours, which count half in each direction.
fn smoothed(errors: &[f64], columns: usize) -> Vec<f64> {
    let near = |place: usize, count: usize| {
        let next = (place + 1).min(count - 1);
        [place.saturating_sub(1), place, place, next]
    };
    let average = |cell: usize| {
        let rows = near(cell / columns, errors.len() / columns).into_iter();
        let row = |row| near(cell % columns, columns).map(|column| errors[row * columns + column]);
        rows.flat_map(row).sum::<f64>() / 16.0
    };
    (0..errors.len()).map(average).collect()
}

impl Map {
    /// The cell with the least error.
    fn best(&self, errors: &[f64], among: impl Fn(&Run) -> bool) -> usize {
        let cells = (0..errors.len()).filter(|cell| among(&self.runs[*cell]));
        let best = cells.min_by(|a, b| errors[*a].total_cmp(&errors[*b]));
        best.expect("there are cells")
    }

    fn lost_by_two_searches(&self, (validation, test): (&Vec<f64>, &Vec<f64>)) -> f64 {
        let best = self.best(validation, |_| true);
        let lost = self.learning_rates.iter().map(|start| {
            let first = self.best(validation, |run| run.learning_rate == *start);
            let second = self.best(validation, |run| run.lambda == self.runs[first].lambda);
            test[second] - test[best]
        });
        Spread::of(lost).mean
    }

    /// By least squares, over the learning rates at which some λ comes near the best of all.
    fn slope(&self, errors: &[f64]) -> f64 {
        let rates = self.learning_rates.iter();
        let best = rates
            .map(|rate| self.best(errors, |run| run.learning_rate == *rate && run.lambda > 0.0));
        let least = errors[self.best(errors, |run| run.lambda > 0.0)];
        let near = best.filter(|cell| errors[*cell] <= 1.25 * least);
        let near: Vec<&Run> = near.map(|cell| &self.runs[cell]).collect();
        let mean = Spread::of(near.iter().map(|run| run.learning_rate.ln())).mean;
        let from_mean = |run: &&Run| run.learning_rate.ln() - mean;
        let product = near.iter().map(|run| from_mean(run) * run.lambda.ln());
        let square = near.iter().map(|run| from_mean(run).powi(2));
        product.sum::<f64>() / square.sum::<f64>()
    }
}

/// Over the seeds: the mean and the standard deviation, which is NaN of one.
#[derive(Clone, Copy, Serialize)]
pub struct Spread {
    mean: f64,
    deviation: f64,
}

impl Spread {
    fn of(values: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let count = values.len() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let squares = values.map(|value| (value - mean).powi(2));
        let deviation = (squares.sum::<f64>() / (count - 1.0)).sqrt();
        Self { mean, deviation }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let text = format!("{:.2} ± {:.2}", self.mean, self.deviation);
        formatter.pad(&text.replace("NaN ± NaN", "–").replace(" ± NaN", ""))
    }
}

pub fn print(findings: &[Finding]) {
    println!(
        "optimizer                   lr     λ  test error, %  gained by λ  lost by 2 searches"
    );
    for finding in findings {
        println!(
            "{:24} {:5.0e} {:5.0e}  {:>13}  {:>11}  {:>18}  {}",
            finding.optimizer,
            finding.best_learning_rate,
            finding.best_lambda,
            finding.test_error,
            finding.gained_by_decay,
            finding.lost_by_two_searches,
            finding.summary(),
        );
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::Options;

    #[test]
    fn an_upright_valley_loses_nothing_and_a_diagonal_does() {
        let line = "decay_map --seeds 1 --learning-rates 1e-4 1 --lambdas 1e-4 1";
        let map = &Options::parse_from(line.split(' ')).maps().unwrap()[0];
        for slope in [0.0, -1.0] {
            let error = |run: &Run| {
                let (rate, lambda) = (run.learning_rate.log10() + 2.0, run.lambda.log10() + 2.0);
                5.0 + 0.1 * rate.powi(2) + (lambda - slope * rate).powi(2)
            };
            let errors: Vec<f64> = map.runs.iter().map(error).collect();
            assert!((map.slope(&errors) - slope).abs() < 0.05);
            let lost = map.lost_by_two_searches((&errors, &errors));
            assert_eq!(lost > 0.01, slope == -1.0, "{lost}");
            // One lucky run does not decide.
            let best = |errors: &[f64]| map.best(&smoothed(errors, 10), |_| true);
            let lucky = [&errors[..22], &[4.0], &errors[23..]].concat();
            assert_eq!(best(&lucky), best(&errors));
        }
    }
}
