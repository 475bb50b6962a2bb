//! What the runs came to: a table, a picture and a file.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::register_font;
use serde::Serialize;

use crate::files::write_whole;
use crate::options::{OptimizerName, Options};
use crate::training::{Epoch, Run};

#[derive(Serialize)]
pub struct Summary {
    runs: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    optimizer: &'static str,
    learning_rate: f64,
    l2_penalty: Option<f64>,
    weight_decay: Option<f64>,
    epochs: usize,
    train_loss: f64,
    test_loss: f64,
    test_accuracy: f64,
    weight_norm: f64,
    seconds: Option<f64>,
}

impl Summary {
    pub fn new(runs: &[Run], options: &Options) -> Self {
        let settings = &options.settings;
        let row = |run: &Run| {
            let lambda = run.optimizer.lambda(settings);
            let (l2_penalty, weight_decay) = match run.optimizer {
                OptimizerName::AdamL2 | OptimizerName::SgdL2 => (Some(lambda), None),
                OptimizerName::AdamW | OptimizerName::SgdW => (None, Some(lambda)),
            };
            let last = run.history.last().expect("a run has at least one epoch");
            Row {
                optimizer: run.optimizer.as_str(),
                learning_rate: run.optimizer.learning_rate(settings),
                l2_penalty,
                weight_decay,
                epochs: run.history.len(),
                train_loss: last.train_loss,
                test_loss: last.test_loss,
                test_accuracy: last.test_accuracy,
                weight_norm: last.weight_norm,
                seconds: run.seconds,
            }
        };
        Self {
            runs: runs.iter().map(row).collect(),
        }
    }

    pub fn print(&self) {
        println!();
        println!("scheme         λ  train loss  test loss  test accuracy  weight norm  seconds");
        for row in &self.runs {
            let lambda = row.l2_penalty.or(row.weight_decay).unwrap_or(0.0);
            let seconds = row
                .seconds
                .map_or("–".into(), |seconds| format!("{seconds:.1}"));
            println!(
                "{:8} {lambda:7} {:11.4} {:10.4} {:12.2} % {:12.2} {seconds:>8}",
                row.optimizer,
                row.train_loss,
                row.test_loss,
                100.0 * row.test_accuracy,
                row.weight_norm,
            );
        }
    }

    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        write_whole(path, |path| fs::write(path, text + "\n"))
    }
}

/// Draws loss, accuracy and weight norm over the epochs.
pub fn draw(runs: &[Run], path: &Path) -> Result<(), String> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    write_whole(path, |path| draw_panels(runs, path))
}

/// Of Okabe and Ito, which colour-blind people tell apart: blue, vermilion, green and purple.
const COLORS: [RGBColor; 4] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// One line of a panel: what it shows of an epoch, and how strongly.
struct Curve {
    of: fn(&Epoch) -> f64,
    opacity: f64,
}

fn draw_panels(runs: &[Run], path: &Path) -> Result<(), Box<dyn Error>> {
    let curve = |of, opacity| Curve { of, opacity };
    let panels = [
        (
            "loss: test, and paler train",
            vec![
                curve(|epoch| epoch.train_loss, 0.4),
                curve(|epoch| epoch.test_loss, 1.0),
            ],
        ),
        (
            "test accuracy (%)",
            vec![curve(|epoch| 100.0 * epoch.test_accuracy, 1.0)],
        ),
        (
            "weight norm ‖θ‖",
            vec![curve(|epoch| epoch.weight_norm, 1.0)],
        ),
    ];

    let root = BitMapBackend::new(path, (1560, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let (key, body) = root.split_vertically(48);
    for ((x, run), color) in (24..).step_by(180).zip(runs).zip(COLORS) {
        key.draw(&PathElement::new(
            [(x, 28), (x + 32, 28)],
            color.stroke_width(4),
        ))?;
        let name = run.optimizer.as_str();
        key.draw(&Text::new(name, (x + 44, 16), ("sans-serif", 22)))?;
    }
    for (area, (title, curves)) in body.split_evenly((1, 3)).iter().zip(&panels) {
        draw_panel(area, title, curves, runs)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(
    area: &DrawingArea<BitMapBackend, plotters::coord::Shift>,
    title: &str,
    curves: &[Curve],
    runs: &[Run],
) -> Result<(), Box<dyn Error>> {
    let values = |run: &Run, curve: &Curve| run.history.iter().map(curve.of).collect::<Vec<_>>();
    let lines = || {
        runs.iter()
            .flat_map(|run| curves.iter().map(move |curve| values(run, curve)))
    };
    let finite = lines().flatten().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let margin = (0.05 * (high - low)).max(1e-3 * high.abs()).max(1e-6);
    let epochs = runs.iter().map(|run| run.history.len()).max().unwrap_or(1);

    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(0.8..epochs as f64 + 0.2, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_labels(epochs.min(10))
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .label_style(("sans-serif", 16))
        .light_line_style(WHITE)
        .draw()?;
    for (run, color) in runs.iter().zip(COLORS) {
        for curve in curves {
            let points: Vec<_> = (1..).map(f64::from).zip(values(run, curve)).collect();
            let style = color.mix(curve.opacity);
            chart.draw_series(LineSeries::new(
                points.iter().copied(),
                style.stroke_width(3),
            ))?;
            let dot = |point: &(f64, f64)| Circle::new(*point, 4, style.filled());
            chart.draw_series(points.iter().map(dot))?;
        }
    }
    Ok(())
}
