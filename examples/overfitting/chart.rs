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

/// A title, the lines, and how to write the values of the x axis and of the y axis.
pub type Panel<'a> = (&'a str, Vec<Points>, [fn(&f64) -> String; 2]);

/// A panel has a line for each of the names, and maybe more, which are paler.
pub fn draw(path: &Path, names: &[&str], panels: &[Panel]) -> Result<(), Box<dyn Error>> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    let root = BitMapBackend::new(path, (1560, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let (key, body) = root.split_vertically(48);
    for ((name, color), x) in names.iter().zip(COLORS).zip((24..).step_by(206)) {
        key.draw(&Rectangle::new([(x, 24), (x + 32, 29)], color.filled()))?;
        key.draw(&Text::new(*name, (x + 42, 16), ("sans-serif", 20)))?;
    }

    for (area, (title, lines, [x_label, y_label])) in
        body.split_evenly((1, panels.len())).iter().zip(panels)
    {
        let finite = |&&(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
        let range = |of: fn(&(f64, f64)) -> f64| {
            let values = lines.iter().flatten().filter(finite).map(of);
            let low = values.clone().reduce(f64::min).unwrap_or(0.0);
            let high = values.reduce(f64::max).unwrap_or(1.0);
            let margin = (0.05 * (high - low)).max(1e-3);
            low - margin..high + margin
        };
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(range(|point| point.0), range(|point| point.1))?;
        chart
            .configure_mesh()
            .x_label_formatter(x_label)
            .y_label_formatter(y_label)
            .label_style(("sans-serif", 16))
            .light_line_style(WHITE)
            .draw()?;
        for (index, points) in lines.iter().enumerate() {
            let opacity = if index < names.len() { 1.0 } else { 0.4 };
            let style = COLORS[index % names.len()]
                .mix(opacity)
                .filled()
                .stroke_width(3);
            let points = points.iter().filter(finite).copied();
            chart.draw_series(LineSeries::new(points, style).point_size(4))?;
        }
    }
    Ok(root.present()?)
}

pub fn plain(value: &f64) -> String {
    ((value * 1e6).round() / 1e6).to_string()
}
