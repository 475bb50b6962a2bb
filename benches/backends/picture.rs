//! The table's times as a picture.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::table::{Figures, Table};

type Drawn = Result<(), Box<dyn Error>>;

/// Of Okabe and Ito, which colour-blind people tell apart: ours, and Burn's.
const COLORS: [RGBColor; 2] = [RGBColor(213, 94, 0), RGBColor(0, 114, 178)];

pub fn draw(table: &Table, path: &Path) -> Drawn {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    let height = 190 + 110 * table.backends.len() as u32 + 26 * table.about.len() as u32;
    let root = BitMapBackend::new(path, (1560, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (key, panels) = root.split_vertically(60);
    for ((name, color), x) in ["burn-decay", "Burn's own"]
        .iter()
        .zip(COLORS)
        .zip([40, 240])
    {
        key.draw(&Circle::new((x, 28), 7, color.filled()))?;
        key.draw(&Text::new(*name, (x + 18, 20), ("sans-serif", 22)))?;
    }
    let about = "median and quartiles; logarithmic; to the left is faster";
    key.draw(&Text::new(about, (440, 20), ("sans-serif", 22)))?;
    let (panels, notes) = panels.split_vertically(130 + 110 * table.backends.len() as i32 - 30);
    for (line, y) in table.about.iter().zip((6..).step_by(26)) {
        notes.draw(&Text::new(
            line.replace('`', ""),
            (34, y),
            ("sans-serif", 18),
        ))?;
    }
    let panels = panels.split_evenly((1, table.times.len()));
    for (figures, panel) in table.times.iter().zip(panels) {
        draw_panel(figures, &table.backends, &panel)?;
    }
    Ok(root.present()?)
}

fn draw_panel(
    figures: &Figures,
    backends: &[&str],
    panel: &DrawingArea<BitMapBackend, Shift>,
) -> Drawn {
    let all = figures.pairs.iter().flatten();
    let low = all.clone().map(|time| time.lower).fold(f64::MAX, f64::min);
    let high = all.map(|time| time.upper).fold(0.0, f64::max);
    // A backend has ten units of height; the first is on top.
    let y = |backend: usize| 10 * (backends.len() - 1 - backend) as i32;
    let marks = (-6..6).flat_map(|power| [1.0, 2.0, 5.0].map(|mark| mark * 10f64.powi(power)));
    let marks = marks
        .filter(|mark| (low / 1.7..high * 1.7).contains(mark))
        .collect();
    let mut chart = ChartBuilder::on(panel)
        .caption(&figures.title, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(36)
        .y_label_area_size(86)
        .build_cartesian_2d(
            (low / 1.7..high * 1.7).log_scale().with_key_points(marks),
            (-5..y(0) + 6).with_key_points((0..backends.len()).map(y).collect()),
        )?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .label_style(("sans-serif", 18))
        .x_label_formatter(&|x| format!("{x}"))
        .y_label_formatter(&|y| backends[backends.len() - 1 - (y / 10) as usize].to_string())
        .draw()?;
    for (backend, times) in figures.pairs.iter().enumerate() {
        for ((time, color), shift) in times.iter().zip(COLORS).zip([2, -2]) {
            let y = y(backend) + shift;
            let spread = [(time.lower, y), (time.upper, y)];
            let dot = (time.median, y);
            let label = ("sans-serif", 18)
                .into_font()
                .color(&color)
                .pos(Pos::new(HPos::Center, VPos::Bottom));
            let text =
                EmptyElement::at(dot) + Text::new(format!("{:.3}", time.median), (0, -8), label);
            chart.draw_series([PathElement::new(spread, color.stroke_width(5))])?;
            chart.draw_series([Circle::new(dot, 6, color.filled())])?;
            chart.draw_series([text])?;
        }
    }
    Ok(())
}
