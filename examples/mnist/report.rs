//! What the runs came to: a table and a picture.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use serde::Serialize;

use crate::chart::{COLORS, Labels, Line, PLAIN, epochs, panel, panels};

#[derive(Serialize)]
pub struct Run {
    pub optimizer: String,
    pub lambda: f64,
    pub train_loss: Vec<f64>,
    pub test_loss: Vec<f64>,
    pub test_accuracy: Vec<f64>,
    /// Of the tenths of the first layer's weights, and so are the next.
    pub gradient_rms: Vec<f64>,
    pub effective_lambda: Vec<f64>,
    #[serde(skip)]
    pub seconds: f64,
}

const HEAD: &str = "
Effective λ, measured: the share of a weight that decays in a step, over the learning rate;
of the tenth of the first layer's weights with the smallest and with the largest gradients.

            λ  effective λ: smallest  largest  train loss  test loss  test accuracy  seconds";

pub fn print(runs: &[Run]) {
    println!("{HEAD}");
    for run in runs {
        let last = |values: &[f64]| values[values.len() - 1];
        let (small, large) = (run.effective_lambda[0], last(&run.effective_lambda));
        let (train, test) = (last(&run.train_loss), last(&run.test_loss));
        let (accuracy, seconds) = (last(&run.test_accuracy), run.seconds);
        print!(
            "{:6} {:6} {small:22.4} {large:8.4}",
            run.optimizer, run.lambda
        );
        println!(" {train:11.4} {test:10.4} {accuracy:12.2} % {seconds:8.1}");
    }
}

pub fn draw(runs: &[Run], path: &Path) -> Result<(), Box<dyn Error>> {
    let lines = |opacity, points: fn(&Run) -> Vec<(f64, f64)>| -> Vec<Line> {
        let line = |(run, color): (_, RGBColor)| (color.mix(opacity), points(run));
        runs.iter().zip(COLORS).map(line).collect()
    };
    let mut losses = lines(0.4, |run| epochs(&run.train_loss));
    losses.extend(lines(1.0, |run| epochs(&run.test_loss)));
    let accuracies = lines(1.0, |run| epochs(&run.test_accuracy));
    let lambdas = lines(1.0, |run| {
        let points = run.gradient_rms.iter().zip(&run.effective_lambda);
        points.map(|(x, y)| (x.log10(), y.log10())).collect()
    });
    let root = BitMapBackend::new(path, (1560, 520)).into_drawing_area();
    let names: Vec<_> = runs.iter().map(|run| &run.optimizer).collect();
    let [left, middle, right] = panels(&root, &names)?;
    panel(&left, "loss: test, paler: train", "epoch", &losses, PLAIN)?;
    panel(&middle, "test accuracy (%)", "epoch", &accuracies, PLAIN)?;
    let title = "effective λ of each tenth of the weights";
    let powers: Labels = [|exponent| format!("{:.0e}", 10f64.powf(*exponent)); 2];
    panel(
        &right,
        title,
        "size (rms) of their gradients",
        &lambdas,
        powers,
    )?;
    Ok(root.present()?)
}
