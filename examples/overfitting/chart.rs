//! Panels of lines, side by side.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::register_font;

/// Of Okabe and Ito, which colour-blind people tell apart.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    BLACK,
];

pub type Points = Vec<(f64, f64)>;

/// Draws panels, each with a title and on logarithmic axes or not, and in each a line of each run.
pub fn draw<const N: usize>(
    path: &Path,
    panels: [(&str, bool); N],
    runs: &[(impl AsRef<str>, [Points; N])],
) -> Result<(), Box<dyn Error>> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    let root = BitMapBackend::new(path, (1560, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let (key, body) = root.split_vertically(48);
    for ((run, color), x) in runs.iter().zip(COLORS).zip((24..).step_by(206)) {
        key.draw(&Rectangle::new([(x, 24), (x + 32, 29)], color.filled()))?;
        key.draw(&Text::new(run.0.as_ref(), (x + 42, 16), ("sans-serif", 20)))?;
    }

    let areas = body.split_evenly((1, N));
    for (index, (title, logarithmic)) in panels.into_iter().enumerate() {
        let label: fn(&f64) -> String = if logarithmic { power } else { plain };
        let scale: fn(f64) -> f64 = if logarithmic { f64::log10 } else { f64::from };
        let lines = runs.iter().map(|run| {
            let points = run.1[index].iter().map(|&(x, y)| (scale(x), scale(y)));
            points.filter(|(x, y)| x.is_finite() && y.is_finite())
        });
        let range = |of: fn((f64, f64)) -> f64| {
            let values = lines.clone().flatten().map(of);
            let low = values.clone().reduce(f64::min).unwrap_or(0.0);
            let high = values.reduce(f64::max).unwrap_or(1.0);
            let margin = (0.05 * (high - low)).max(1e-3);
            low - margin..high + margin
        };
        let mut chart = ChartBuilder::on(&areas[index])
            .caption(title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(range(|point| point.0), range(|point| point.1))?;
        chart
            .configure_mesh()
            .x_labels(6)
            .x_label_formatter(&label)
            .y_label_formatter(&label)
            .label_style(("sans-serif", 16))
            .light_line_style(WHITE)
            .draw()?;
        for (points, color) in lines.zip(COLORS) {
            let line = LineSeries::new(points, color.filled().stroke_width(3));
            chart.draw_series(line.point_size(4))?;
        }
    }
    Ok(root.present()?)
}

/// A value of each epoch.
pub fn epochs(values: impl Iterator<Item = f64>) -> Points {
    (1..).map(f64::from).zip(values).collect()
}

fn plain(value: &f64) -> String {
    ((value * 1e6).round() / 1e6).to_string()
}

fn power(exponent: &f64) -> String {
    format!("{:.0e}", 10f64.powf(*exponent))
}
