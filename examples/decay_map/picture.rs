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

/// Pixels: a panel's map and what is around it, the legend at the right and the caption below.
const MAP: i32 = 306;
const LEFT: i32 = 100;
const TOP: i32 = 92;
const BOTTOM: i32 = 76;
const LEGEND: i32 = 170;
const CAPTION: i32 = 44;

/// The panels of a row.
const ROW: usize = 3;

/// The colours end at this many times the least error of all.
const WORST: f64 = 1.5;

pub fn draw(
    settings: &Settings,
    results: &Results,
    findings: &[Finding],
    path: &Path,
) -> Result<(), String> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    let mean = |map| numbers::mean(&results.errors(settings, map));
    let maps: Vec<_> = settings.maps.iter().map(mean).collect();
    let least = maps.iter().flatten().flatten().copied().fold(1.0, f64::min);
    let scale = Scale { least };
    write_whole(path, |path| -> Drawn {
        let columns = settings.maps.len().min(ROW) as i32;
        let rows = settings.maps.len().div_ceil(ROW) as i32;
        let width = columns * (LEFT + MAP) + LEGEND;
        let height = rows * (TOP + MAP + BOTTOM) + CAPTION;
        let root = BitMapBackend::new(path, (width as u32, height as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        let panels = settings.maps.iter().zip(&maps).zip(findings);
        for (i, ((map, errors), finding)) in panels.enumerate() {
            let [column, row] = [i % ROW, i / ROW].map(|place| place as i32);
            let panel = Panel {
                area: &root,
                left: column * (LEFT + MAP) + LEFT,
                top: row * (TOP + MAP + BOTTOM) + TOP,
                map,
                errors,
            };
            panel.draw(&scale, finding)?;
        }
        scale.draw(&root, width - LEGEND + 40)?;
        let caption = match settings.seeds {
            1 => "a training run each".into(),
            seeds => format!("the mean of {seeds} training runs each"),
        };
        let caption = format!("{caption}; outlined: the best tenth; dot: the best");
        let place = (LEFT, height - CAPTION / 2);
        root.draw(&Text::new(
            caption,
            place,
            text(18, HPos::Left, VPos::Center),
        ))?;
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
        let style = text(18, HPos::Left, VPos::Center);
        for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let error = 100.0 * self.least * (1.0 + (WORST - 1.0) * (1.0 - share));
            let more = if share == 0.0 { "≥ " } else { "" };
            let label = format!("{more}{error:.1}");
            area.draw(&Text::new(label, (left + 32, y(share)), style.clone()))?;
        }
        let style = text(18, HPos::Left, VPos::Bottom);
        area.draw(&Text::new("test error (%)", (left - 10, TOP - 18), style))?;
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
    top: i32,
    map: &'a Map,
    /// By learning rate and λ.
    errors: &'a [Vec<f64>],
}

impl Panel<'_, '_> {
    fn draw(&self, scale: &Scale, finding: &Finding) -> Drawn {
        for (i, column) in self.errors.iter().enumerate() {
            for (j, error) in column.iter().enumerate() {
                let cell = Rectangle::new(self.cell(i, j), scale.color(*error).filled());
                self.area.draw(&cell)?;
            }
        }
        self.outline_best_tenth()?;
        self.mark_optimum()?;
        self.label_axes()?;

        let slope = format!("slope of the best λ: {}", finding.slope.show(2));
        let middle = self.left + MAP / 2;
        for (label, size, up) in [(self.map.optimizer.title(), 22, 62), (&slope, 18, 30)] {
            let style = text(size, HPos::Center, VPos::Center);
            self.area
                .draw(&Text::new(label.to_owned(), (middle, self.top - up), style))?;
        }
        Ok(())
    }

    /// The corners of a cell. As in the paper, λ grows to the right and the learning rate upwards:
    /// where λ can be tuned alone, the good region stands upright.
    fn cell(&self, rate: usize, lambda: usize) -> [(i32, i32); 2] {
        let [rows, columns] = [self.errors.len(), self.errors[0].len()];
        let x = |j: usize| self.left + MAP * j as i32 / columns as i32;
        let y = |i: usize| self.top + MAP - MAP * i as i32 / rows as i32;
        [(x(lambda), y(rate + 1)), (x(lambda + 1), y(rate))]
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
                    (i.checked_sub(1), Some(j), [(left, bottom), (right, bottom)]),
                    (Some(i + 1), Some(j), [(left, top), (right, top)]),
                    (Some(i), j.checked_sub(1), [(left, top), (left, bottom)]),
                    (Some(i), Some(j + 1), [(right, top), (right, bottom)]),
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

    fn label_axes(&self) -> Drawn {
        let bottom = self.top + MAP;
        let number = |place, horizontal, vertical, value: f64| {
            let label = if (1e-2..1e3).contains(&value) {
                format!("{value}")
            } else {
                format!("{value:e}")
            };
            let style = text(18, horizontal, vertical);
            self.area.draw(&Text::new(label, place, style))
        };
        for (place, value) in ticks(&self.map.lambdas) {
            let x = self.left + place;
            self.tick([(x, bottom), (x, bottom + 5)])?;
            number((x, bottom + 10), HPos::Center, VPos::Top, value)?;
        }
        for (place, value) in ticks(&self.map.learning_rates) {
            let y = bottom - place;
            self.tick([(self.left - 5, y), (self.left, y)])?;
            number((self.left - 10, y), HPos::Right, VPos::Center, value)?;
        }
        let lambda = (self.left + MAP / 2, bottom + 36);
        let style = text(20, HPos::Center, VPos::Top);
        self.area.draw(&Text::new("λ", lambda, style))?;
        let style = text(18, HPos::Right, VPos::Bottom);
        let rate = (self.left + 20, self.top - 6);
        self.area.draw(&Text::new("learning rate", rate, style))?;
        Ok(())
    }

    fn tick(&self, ends: [(i32, i32); 2]) -> Drawn {
        Ok(self
            .area
            .draw(&PathElement::new(ends, BLACK.stroke_width(1)))?)
    }
}

/// The powers of ten along an axis of cells, and how far from its start they lie; the axis' ends
/// where there are fewer than two.
fn ticks(axis: &[f64]) -> Vec<(i32, f64)> {
    let (low, high) = (axis[0], axis[axis.len() - 1]);
    let powers = (-30..30).map(|power| format!("1e{power}").parse().expect("it is a number"));
    // An axis' values are rounded to three digits.
    let inside = |value: &f64| (0.99 * low..=1.01 * high).contains(value);
    let powers: Vec<f64> = powers.filter(inside).collect();
    let place = |value: f64| {
        let cell = (value / low).ln() / (high / low).ln() * (axis.len() - 1) as f64 + 0.5;
        (f64::from(MAP) * cell / axis.len() as f64) as i32
    };
    match &powers[..] {
        [] | [_] => vec![low, high],
        _ => powers,
    }
    .into_iter()
    .map(|value| (place(value), value))
    .collect()
}
