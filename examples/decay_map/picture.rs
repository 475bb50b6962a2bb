//! The maps side by side, and what their colours mean.

use std::error::Error;
use std::iter::once;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::colors::colormaps::{ColorMap, ViridisRGB};
use plotters::style::register_font;

use crate::files::write_whole;
use crate::findings::Finding;

type Drawn = Result<(), Box<dyn Error>>;

/// The colours end at this many times the least error of all.
const WORST: f64 = 1.5;

pub fn draw(findings: &[Finding], seeds: usize, path: &Path) -> Result<(), String> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    let errors = findings.iter().flat_map(|map| &map.validation_errors);
    let least = errors.copied().fold(f64::INFINITY, f64::min);
    write_whole(path, |path| -> Drawn {
        // A panel a map, and one for the legend.
        let columns = 3.min(findings.len() + 1);
        let rows = (findings.len() + 1).div_ceil(columns);
        let size = (470 * columns as u32, 520 * rows as u32);
        let root = BitMapBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        let panels = root.split_evenly((rows, columns));
        for (finding, panel) in findings.iter().zip(&panels) {
            map(finding, least, &panel.margin(16, 16, 16, 16))?;
        }
        legend(least, seeds, &panels[findings.len()].margin(16, 16, 60, 16))?;
        Ok(root.present()?)
    })
}

/// Bright where the error is small; it reads in grey too, and for colour-blind people.
fn color(error: f64, least: f64) -> RGBColor {
    let share = (error / least - 1.0) / (WORST - 1.0);
    ViridisRGB.get_color(1.0 - share.clamp(0.0, 1.0))
}

/// As in the paper, λ grows to the right and the learning rate upwards: where λ can be tuned alone,
/// the good region stands upright. The column of λ = 0 stands apart.
fn map(finding: &Finding, least: f64, panel: &DrawingArea<BitMapBackend, Shift>) -> Drawn {
    // Half the side of a cell: coordinates are whole numbers.
    const HALF: i32 = 10;
    let (learning_rates, lambdas) = (&finding.map.learning_rates, &finding.map.lambdas);
    let x = |lambda: usize| 2 * HALF * lambda as i32 - if lambda == 0 { 8 } else { 0 };
    let y = |learning_rate: usize| 2 * HALF * learning_rate as i32;
    let place = |coordinate: &i32| (coordinate + HALF) as usize / (2 * HALF as usize);
    let number = |value: f64| format!("{value:.0e}").replace("0e0", "0");
    // Where there are many, only some have a label.
    let labelled = |places: Range<usize>| places.clone().step_by(places.len().div_ceil(6));
    let x_labels = once(0).chain(labelled(1..lambdas.len()));
    let y_labels = labelled(0..learning_rates.len());

    let test_error = format!("test error of the dot: {} %", finding.test_error);
    let panel = panel.titled(finding.map.title, ("sans-serif", 22))?;
    let panel = panel.titled(&test_error, ("sans-serif", 18))?;
    let mut chart = ChartBuilder::on(&panel)
        .caption(finding.summary(), ("sans-serif", 18))
        .x_label_area_size(56)
        .y_label_area_size(86)
        .build_cartesian_2d(
            (x(0) - HALF..x(lambdas.len()) - HALF).with_key_points(x_labels.map(x).collect()),
            (-HALF..y(learning_rates.len()) - HALF).with_key_points(y_labels.map(y).collect()),
        )?;
    let mut axes = chart.configure_mesh();
    axes.disable_mesh().x_desc("λ").y_desc("learning rate");
    axes.axis_desc_style(("sans-serif", 18))
        .label_style(("sans-serif", 16));
    axes.x_label_formatter(&|x| number(lambdas[place(x)]))
        .y_label_formatter(&|y| number(learning_rates[place(y)]))
        .draw()?;

    let middle = |cell: usize| (x(cell % lambdas.len()), y(cell / lambdas.len()));
    let square = |cell: usize, half: i32, color: RGBColor| {
        let (x, y) = middle(cell);
        Rectangle::new([(x - half, y - half), (x + half, y + half)], color.filled())
    };
    let errors = &finding.validation_errors;
    let cell = |cell: usize| square(cell, HALF, color(errors[cell], least));
    chart.draw_series((0..errors.len()).map(cell))?;
    // An outline: larger squares in black, and the cells again on top.
    let best_tenth = finding.best_tenth.iter().copied();
    chart.draw_series(best_tenth.clone().map(|cell| square(cell, HALF + 2, BLACK)))?;
    chart.draw_series(best_tenth.map(cell))?;
    let best = middle(finding.best_tenth[0]);
    let dots = [(9, WHITE), (6, BLACK)];
    chart.draw_series(dots.map(|(size, color)| Circle::new(best, size, color.filled())))?;
    Ok(())
}

fn legend(least: f64, seeds: usize, panel: &DrawingArea<BitMapBackend, Shift>) -> Drawn {
    let (scale, text) = panel.split_vertically(240);
    let mut chart = ChartBuilder::on(&scale)
        .caption("validation error (%)", ("sans-serif", 18))
        .y_label_area_size(86)
        .margin_right(280)
        .build_cartesian_2d(0..1, least..WORST * least)?;
    let mut axes = chart.configure_mesh();
    axes.disable_mesh().disable_x_axis().y_labels(6);
    axes.label_style(("sans-serif", 16))
        .y_label_formatter(&|error| format!("{error}  "))
        .draw()?;
    let height = (WORST - 1.0) * least / 200.0;
    chart.draw_series((0..200).map(|step| {
        let low = least + height * f64::from(step);
        Rectangle::new([(0, low), (1, low + height)], color(low, least).filled())
    }))?;
    let lines = [
        &format!("training runs a cell: {seeds} (their mean)"),
        "darkest: that error, or more",
        "dot and outline: the best cell and tenth,",
        "chosen by validation errors that are",
        "averaged with the neighbouring cells'",
    ];
    for (i, line) in lines.into_iter().enumerate() {
        let place = (50, 20 + 26 * i as i32);
        text.draw(&Text::new(line, place, ("sans-serif", 18)))?;
    }
    Ok(())
}
