//! Panels of lines, side by side.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

/// Of Okabe and Ito, which colour-blind people tell apart.
pub const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    BLACK,
];

pub type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
pub type Line = (RGBAColor, Vec<(f64, f64)>);

/// How to write the values of the x axis and of the y axis.
pub type Labels = [fn(&f64) -> String; 2];
pub const PLAIN: Labels = [plain; 2];

/// The places of `N` panels, under a key to the colours.
pub fn panels<'a, const N: usize>(
    root: &Area<'a>,
    names: &[impl AsRef<str>],
) -> Result<[Area<'a>; N], Box<dyn Error>> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    root.fill(&WHITE)?;
    let (key, body) = root.split_vertically(48);
    for ((name, color), x) in names.iter().zip(COLORS).zip((24..).step_by(206)) {
        key.draw(&Rectangle::new([(x, 24), (x + 32, 29)], color.filled()))?;
        key.draw(&Text::new(name.as_ref(), (x + 42, 16), ("sans-serif", 20)))?;
    }
    let panels = body.split_evenly((1, N));
    panels
        .try_into()
        .map_err(|_| "the picture has no room".into())
}

pub fn panel(
    area: &Area,
    title: &str,
    x_title: &str,
    lines: &[Line],
    labels: Labels,
) -> Result<(), Box<dyn Error>> {
    let finite = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
    let range = |of: fn(&(f64, f64)) -> f64| {
        let points = lines.iter().flat_map(|line| &line.1);
        let values = points.filter(|point| finite(point)).map(of);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = if low < high {
            (low, high)
        } else {
            (low.min(0.0), high.max(1.0))
        };
        let margin = 0.05 * (high - low);
        low - margin..high + margin
    };
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(range(|point| point.0), range(|point| point.1))?;
    chart
        .configure_mesh()
        .x_desc(x_title)
        .x_label_formatter(&labels[0])
        .y_label_formatter(&labels[1])
        .label_style(("sans-serif", 16))
        .light_line_style(WHITE)
        .draw()?;
    for ((color, points), below) in lines.iter().zip((0..lines.len() as u32).rev()) {
        let points: Vec<_> = points.iter().copied().filter(finite).collect();
        // Dots that lie on one another are told apart by their size.
        let size = if points.len() <= 20 {
            3 + below.min(3)
        } else {
            0
        };
        let dots = points
            .iter()
            .map(|&point| Circle::new(point, size, color.filled()));
        chart.draw_series(dots)?;
        chart.draw_series(LineSeries::new(
            points.iter().copied(),
            color.stroke_width(3),
        ))?;
    }
    Ok(())
}

/// A value of each epoch.
pub fn epochs(values: &[f64]) -> Vec<(f64, f64)> {
    (1..).map(f64::from).zip(values.iter().copied()).collect()
}

pub fn plain(value: &f64) -> String {
    ((value * 1e6).round() / 1e6).to_string()
}
