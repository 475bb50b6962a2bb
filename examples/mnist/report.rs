//! What the runs came to: a table and a picture.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use serde::Serialize;

#[path = "../overfitting/chart.rs"]
mod chart;

use chart::{COLORS, Line, panel};

#[derive(Serialize)]
pub struct Run {
    pub optimizer: String,
    pub lambda: f64,
    pub train_loss: Vec<f64>,
    pub test_loss: Vec<f64>,
    /// In percent.
    pub test_accuracy: Vec<f64>,
    /// Of each tenth of the weights, as is the next.
    pub gradient_rms: Vec<f64>,
    pub effective_lambda: Vec<f64>,
    #[serde(skip)]
    pub seconds: f64,
}

pub fn print(runs: &[Run]) {
    println!(
        "\nEffective λ: the share of a weight that decays in a step, over the learning rate. Measured on the"
    );
    println!(
        "first layer's weights: on the tenth with the smallest gradients, and that with the largest.\n"
    );
    println!(
        "optimizer      λ  effective λ: smallest    largest  train loss  test loss  test accuracy  seconds"
    );
    for run in runs {
        let [train, test, accuracy] = [&run.train_loss, &run.test_loss, &run.test_accuracy];
        println!(
            "{:9} {:6} {:22.4} {:10.4} {:11.4} {:10.4} {:12.2} % {:8.1}",
            run.optimizer,
            run.lambda,
            run.effective_lambda[0],
            run.effective_lambda[9],
            train[train.len() - 1],
            test[test.len() - 1],
            accuracy[accuracy.len() - 1],
            run.seconds,
        );
    }
}

pub fn draw(runs: &[Run], path: &Path) -> Result<(), Box<dyn Error>> {
    let epochs = |values: &[f64]| (1..).map(f64::from).zip(values.iter().copied()).collect();
    let lines = |opacity, points: &dyn Fn(&Run) -> Vec<(f64, f64)>| -> Vec<Line> {
        let line = |(run, color): (&Run, RGBColor)| (color.mix(opacity), points(run));
        runs.iter().zip(COLORS).map(line).collect()
    };
    let logarithms = |run: &Run| {
        let points = run.gradient_rms.iter().zip(&run.effective_lambda);
        points
            .map(|(gradient, lambda)| (gradient.log10(), lambda.log10()))
            .collect()
    };
    let losses = [
        lines(0.4, &|run| epochs(&run.train_loss)),
        lines(1.0, &|run| epochs(&run.test_loss)),
    ]
    .concat();
    let accuracies = lines(1.0, &|run| epochs(&run.test_accuracy));
    let decays = lines(1.0, &logarithms);

    let root = BitMapBackend::new(path, (1560, 520)).into_drawing_area();
    let names: Vec<_> = runs.iter().map(|run| run.optimizer.as_str()).collect();
    let panels = chart::panels(&root, &names, 3)?;
    panel(
        &panels[0],
        ["loss: test, and paler train", "epoch"],
        &losses,
        chart::plain,
    )?;
    panel(
        &panels[1],
        ["test accuracy (%)", "epoch"],
        &accuracies,
        chart::plain,
    )?;
    let titles = [
        "effective λ of each tenth of the weights",
        "size (rms) of the weight's gradients",
    ];
    panel(&panels[2], titles, &decays, chart::power_of_ten)?;
    Ok(root.present()?)
}
