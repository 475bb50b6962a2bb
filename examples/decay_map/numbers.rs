//! Two numbers for what the eye sees on a map.

use serde::Serialize;

use crate::options::{Map, Settings};
use crate::results::Results;

/// What a map says of an optimizer: means over the seeds, with the standard deviations.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub optimizer: &'static str,
    /// The learning rate and the λ with the least mean error.
    pub best_learning_rate: f64,
    pub best_lambda: f64,
    pub best_error: Spread,
    /// How much more test error one has who tunes λ at some learning rate, and then the learning
    /// rate with that λ, than who searches the whole map: the mean over the learning rates that one
    /// could start from. As the slope, on maps that are smoothed, so that no lucky run decides.
    pub lost_by_two_searches: Spread,
    /// The slope of the best λ over the learning rate, both logarithmic: 0 where the good region
    /// stands upright, -1 where ten times the learning rate wants a tenth of λ.
    pub slope: Spread,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub mean: f64,
    pub deviation: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = if values.len() > 1 {
            (squares / (count - 1.0)).sqrt()
        } else {
            f64::NAN
        };
        Self { mean, deviation }
    }

    fn times(self, factor: f64) -> Self {
        Self {
            mean: factor * self.mean,
            deviation: factor * self.deviation,
        }
    }

    pub fn show(self, digits: usize) -> String {
        let unit = 10f64.powi(digits as i32);
        // Not -0.0.
        let mean = (unit * self.mean).round() / unit + 0.0;
        if mean.is_nan() {
            "–".into()
        } else if self.deviation.is_nan() {
            format!("{mean:.digits$}")
        } else {
            format!("{mean:.digits$} ± {:.digits$}", self.deviation)
        }
    }
}

impl Finding {
    pub fn of_all(settings: &Settings, results: &Results) -> Vec<Self> {
        let of = |map: &Map| Self::of(map, &results.errors(settings, map));
        settings.maps.iter().map(of).collect()
    }

    fn of(map: &Map, seeds: &[Vec<Vec<f64>>]) -> Self {
        let [rate, lambda] = best(&mean(seeds));
        let at_best: Vec<f64> = seeds.iter().map(|errors| errors[rate][lambda]).collect();
        let smooth: Vec<_> = seeds.iter().map(|errors| smoothed(errors)).collect();
        let each = |number: &dyn Fn(&Vec<Vec<f64>>) -> f64| {
            Spread::of(&smooth.iter().map(number).collect::<Vec<_>>())
        };
        Self {
            optimizer: map.optimizer.as_str(),
            best_learning_rate: map.learning_rates[rate],
            best_lambda: map.lambdas[lambda],
            best_error: Spread::of(&at_best),
            lost_by_two_searches: each(&|errors| lost_by_two_searches(errors)),
            slope: each(&|errors| slope(map, errors)),
        }
    }
}

/// The mean over the seeds, point by point.
pub fn mean(seeds: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
    let mut sum = seeds[0].clone();
    for errors in &seeds[1..] {
        for (sum, errors) in sum.iter_mut().flatten().zip(errors.iter().flatten()) {
            *sum += errors;
        }
    }
    for error in sum.iter_mut().flatten() {
        *error /= seeds.len() as f64;
    }
    sum
}

/// Each point averaged with its neighbours, which count half in each direction.
fn smoothed(errors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let weights = |length: usize, middle: usize| {
        let places = middle.saturating_sub(1)..(middle + 2).min(length);
        places.map(move |place| (place, if place == middle { 2.0 } else { 1.0 }))
    };
    let average = |i: usize, j: usize| {
        let mut sum = [0.0; 2];
        for (row, of_row) in weights(errors.len(), i) {
            for (column, of_column) in weights(errors[row].len(), j) {
                sum[0] += of_row * of_column * errors[row][column];
                sum[1] += of_row * of_column;
            }
        }
        sum[0] / sum[1]
    };
    let row = |i: usize| (0..errors[i].len()).map(|j| average(i, j)).collect();
    (0..errors.len()).map(row).collect()
}

fn least(errors: impl Iterator<Item = f64>) -> usize {
    let least = errors.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    least.expect("a map has points").0
}

/// The place of the least error: of the learning rate and of λ.
pub fn best(errors: &[Vec<f64>]) -> [usize; 2] {
    let rate = least(errors.iter().map(|column| column[best_lambda(column)]));
    [rate, best_lambda(&errors[rate])]
}

fn best_lambda(column: &[f64]) -> usize {
    least(column.iter().copied())
}

fn lost_by_two_searches(errors: &[Vec<f64>]) -> f64 {
    let [rate, lambda] = best(errors);
    let lost = |start: &Vec<f64>| {
        let found_lambda = best_lambda(start);
        let found_rate = least(errors.iter().map(|column| column[found_lambda]));
        errors[found_rate][found_lambda] - errors[rate][lambda]
    };
    errors.iter().map(lost).sum::<f64>() / errors.len() as f64
}

/// By least squares, over the learning rates at which some λ comes near the best of all.
fn slope(map: &Map, errors: &[Vec<f64>]) -> f64 {
    let [rate, lambda] = best(errors);
    let near = 1.25 * errors[rate][lambda];
    let points: Vec<[f64; 2]> = errors
        .iter()
        .zip(&map.learning_rates)
        .filter_map(|(column, rate)| {
            // Between points that are all near: where λ hardly matters, the middle of what does.
            let least = column[best_lambda(column)];
            let good = |lambda: &usize| column[*lambda] <= least + 0.1 * (near - least).max(0.0);
            let good: Vec<usize> = (0..column.len()).filter(good).collect();
            let logarithms = good.iter().map(|lambda| map.lambdas[*lambda].ln());
            let centre = logarithms.sum::<f64>() / good.len() as f64;
            (least <= near).then_some([rate.ln(), centre])
        })
        .collect();
    let count = points.len() as f64;
    let centre = [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / count);
    let product = |a: usize, b: usize| {
        let of = |point: &[f64; 2]| (point[a] - centre[a]) * (point[b] - centre[b]);
        points.iter().map(of).sum::<f64>()
    };
    product(0, 1) / product(0, 0)
}

pub fn print(findings: &[Finding]) {
    println!(
        "optimizer     best lr    best λ    test error (%)   lost by two searches (%)   slope of λ"
    );
    for finding in findings {
        println!(
            "{:12} {:8.1e}  {:8.1e}  {:>16}  {:>25}  {:>11}",
            finding.optimizer,
            finding.best_learning_rate,
            finding.best_lambda,
            finding.best_error.times(100.0).show(2),
            finding.lost_by_two_searches.times(100.0).show(2),
            finding.slope.show(2),
        );
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::Options;

    fn map() -> Map {
        let arguments = [
            "decay_map",
            "--grid",
            "9",
            "--learning-rates",
            "1e-4",
            "1",
            "--lambdas",
            "1e-4",
            "1",
        ];
        Options::parse_from(arguments)
            .settings()
            .unwrap()
            .maps
            .remove(0)
    }

    /// A valley along `lambda = slope · rate`, in steps of the grid, deepest in the middle.
    fn valley(slope: f64) -> Vec<Vec<f64>> {
        let error = |rate: f64, lambda: f64| {
            0.05 + 0.001 * rate.powi(2) + 0.01 * (lambda - slope * rate).powi(2)
        };
        let from_middle = |i: i32| f64::from(i - 4);
        let column = |rate| {
            (0..9)
                .map(|i| error(from_middle(rate), from_middle(i)))
                .collect()
        };
        (0..9).map(column).collect()
    }

    #[test]
    fn one_lucky_run_does_not_decide() {
        let upright = valley(0.0);
        let mut lucky = upright.clone();
        lucky[8][0] = lucky[4][4] - 0.001;
        assert_eq!(best(&lucky), [8, 0]);
        assert_eq!(best(&smoothed(&lucky)), [4, 4]);
        let flat = vec![vec![0.25; 3]; 4];
        assert_eq!(smoothed(&flat), flat);
        assert_eq!(
            smoothed(&[vec![0.0, 4.0], vec![0.0, 0.0]])[0],
            [8.0 / 9.0, 16.0 / 9.0]
        );
    }

    #[test]
    fn an_upright_valley_loses_nothing_and_a_diagonal_does() {
        assert_eq!(best(&valley(-1.0)), [4, 4]);
        assert!(slope(&map(), &valley(0.0)).abs() < 1e-9);
        assert!((slope(&map(), &valley(-1.0)) + 1.0).abs() < 0.05);
        assert_eq!(lost_by_two_searches(&valley(0.0)), 0.0);
        assert!(lost_by_two_searches(&valley(-1.0)) > 0.001);
    }
}
