//! The maps side by side.

use std::error::Error;
use std::path::Path;

use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::colors::colormaps::{ColorMap, ViridisRGB};
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::files::write_whole;
use crate::numbers::{self, Finding};
use crate::options::{Map, Settings};
use crate::results::Results;

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// Pixels: a panel's map, what is around it, and the legend at the right.
const MAP: i32 = 330;
const LEFT: i32 = 84;
const TOP: i32 = 76;
const BOTTOM: i32 = 86;
const LEGEND: i32 = 130;

/// The colours end at this many times the least error of all.
const WORST: f64 = 2.0;

pub fn draw(
    settings: &Settings,
    results: &Results,
    findings: &[Finding],
    path: &Path,
) -> Result<(), String> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    let maps: Vec<_> = (0..settings.maps.len())
        .map(|map| {
            let errors = |seed| results.errors(settings, map, seed);
            numbers::mean(&(0..settings.seeds).map(errors).collect::<Vec<_>>())
        })
        .collect();
    let least = maps.iter().flatten().flatten().copied().fold(1.0, f64::min);
    let scale = Scale { least };
    write_whole(path, |path| -> Drawn {
        let width = settings.maps.len() as i32 * (LEFT + MAP) + LEGEND;
        let size = (width as u32, (TOP + MAP + BOTTOM) as u32);
        let root = BitMapBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        let panels = settings.maps.iter().zip(&maps).zip(findings);
        for (i, ((map, errors), finding)) in (0..).zip(panels) {
            let panel = Panel {
                area: &root,
                left: i * (LEFT + MAP) + LEFT,
                map,
                errors,
            };
            panel.draw(&scale, finding, i == 0)?;
        }
        scale.draw(&root, width - LEGEND + 30)?;
        root.present()?;
        Ok(())
    })
}

struct Scale {
    least: f64,
}

impl Scale {
    /// Bright where the error is small. The brightness falls all the way, so that the map reads in
    /// grey, and the colours are told apart by colour-blind people.
    fn color(&self, error: f64) -> RGBColor {
        let share = (error / self.least - 1.0) / (WORST - 1.0);
        ViridisRGB.get_color((1.0 - share.clamp(0.0, 1.0)) as f32)
    }

    fn draw(&self, area: &Area, left: i32) -> Drawn {
        const STEPS: i32 = 110;
        let y = |share: f64| TOP + (f64::from(MAP) * share) as i32;
        for step in 0..STEPS {
            let share = |step: i32| f64::from(step) / f64::from(STEPS);
            let error = self.least * (1.0 + (WORST - 1.0) * (1.0 - share(step)));
            let corners = [(left, y(share(step))), (left + 24, y(share(step + 1)))];
            area.draw(&Rectangle::new(corners, self.color(error).filled()))?;
        }
        let style = text(16, HPos::Left, VPos::Center);
        for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let error = 100.0 * self.least * (1.0 + (WORST - 1.0) * (1.0 - share));
            let more = if share == 0.0 { "≥ " } else { "" };
            let label = format!("{more}{error:.1}");
            area.draw(&Text::new(label, (left + 32, y(share)), style.clone()))?;
        }
        let style = text(16, HPos::Left, VPos::Bottom);
        area.draw(&Text::new("test error (%)", (left - 8, TOP - 14), style))?;
        Ok(())
    }
}

fn text(size: i32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    let style = TextStyle::from(("sans-serif", size).into_font());
    style.pos(Pos::new(horizontal, vertical))
}

struct Panel<'a, 'b> {
    area: &'a Area<'b>,
    left: i32,
    map: &'a Map,
    /// By learning rate and λ.
    errors: &'a [Vec<f64>],
}

impl Panel<'_, '_> {
    fn draw(&self, scale: &Scale, finding: &Finding, first: bool) -> Drawn {
        for (i, column) in self.errors.iter().enumerate() {
            for (j, error) in column.iter().enumerate() {
                let cell = Rectangle::new(self.cell(i, j), scale.color(*error).filled());
                self.area.draw(&cell)?;
            }
        }
        self.outline_best_tenth()?;
        self.mark_optimum()?;
        self.label_axes(first)?;

        let slope = format!("slope of the best λ: {:.1}", finding.slope.mean);
        let middle = self.left + MAP / 2;
        for (label, size, y) in [(self.map.optimizer.title(), 20, 24), (&slope, 16, 52)] {
            let style = text(size, HPos::Center, VPos::Center);
            self.area
                .draw(&Text::new(label.to_owned(), (middle, y), style))?;
        }
        Ok(())
    }

    /// The corners of a cell; λ grows upwards.
    fn cell(&self, rate: usize, lambda: usize) -> [(i32, i32); 2] {
        let [columns, rows] = [self.errors.len(), self.errors[0].len()];
        let x = |i: usize| self.left + MAP * i as i32 / columns as i32;
        let y = |j: usize| TOP + MAP - MAP * j as i32 / rows as i32;
        [(x(rate), y(lambda + 1)), (x(rate + 1), y(lambda))]
    }

    fn outline_best_tenth(&self) -> Drawn {
        let mut sorted: Vec<f64> = self.errors.iter().flatten().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let bound = sorted[(sorted.len() / 10).max(1) - 1];
        let inside = |i: Option<usize>, j: Option<usize>| {
            let error = i.zip(j).and_then(|(i, j)| self.errors.get(i)?.get(j));
            error.is_some_and(|error| *error <= bound)
        };
        for i in 0..self.errors.len() {
            for j in 0..self.errors[0].len() {
                if !inside(Some(i), Some(j)) {
                    continue;
                }
                let [(left, top), (right, bottom)] = self.cell(i, j);
                let sides = [
                    (i.checked_sub(1), Some(j), [(left, top), (left, bottom)]),
                    (Some(i + 1), Some(j), [(right, top), (right, bottom)]),
                    (Some(i), j.checked_sub(1), [(left, bottom), (right, bottom)]),
                    (Some(i), Some(j + 1), [(left, top), (right, top)]),
                ];
                for (i, j, side) in sides {
                    if !inside(i, j) {
                        self.area
                            .draw(&PathElement::new(side, BLACK.stroke_width(4)))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn mark_optimum(&self) -> Drawn {
        let [rate, lambda] = numbers::best(self.errors);
        let [(left, top), (right, bottom)] = self.cell(rate, lambda);
        let middle = ((left + right) / 2, (top + bottom) / 2);
        self.area.draw(&Circle::new(middle, 9, WHITE.filled()))?;
        self.area.draw(&Circle::new(middle, 6, BLACK.filled()))?;
        Ok(())
    }

    fn label_axes(&self, first: bool) -> Drawn {
        // At most five labels an axis.
        let step = |count: usize| (count - 1).div_ceil(4).max(1);
        let rates = &self.map.learning_rates;
        for (i, rate) in rates.iter().enumerate().step_by(step(rates.len())) {
            let [(left, _), (right, bottom)] = self.cell(i, 0);
            let place = ((left + right) / 2, bottom + 10);
            let style = text(15, HPos::Center, VPos::Top);
            self.area.draw(&Text::new(value(*rate), place, style))?;
        }
        let lambdas = &self.map.lambdas;
        for (j, lambda) in lambdas.iter().enumerate().step_by(step(lambdas.len())) {
            let [(left, top), (_, bottom)] = self.cell(0, j);
            let place = (left - 8, (top + bottom) / 2);
            let style = text(15, HPos::Right, VPos::Center);
            self.area.draw(&Text::new(value(*lambda), place, style))?;
        }
        let style = text(17, HPos::Center, VPos::Top);
        let place = (self.left + MAP / 2, TOP + MAP + 44);
        self.area
            .draw(&Text::new("learning rate", place, style.clone()))?;
        if first {
            let style = text(17, HPos::Left, VPos::Bottom);
            self.area
                .draw(&Text::new("λ", (self.left - 36, TOP - 8), style))?;
        }
        Ok(())
    }
}

/// `0.03` or `3e-5`, whichever is shorter.
fn value(value: f64) -> String {
    if (1e-3..1e3).contains(&value) {
        format!("{}", (value * 1e6).round() / 1e6)
    } else {
        format!("{value:.0e}")
    }
}
