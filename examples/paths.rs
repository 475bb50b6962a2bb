//! Draws the paths of two weights under each way to decay, on one loss surface.
//!
//! ```text
//! cargo run --release --example paths
//! ```
//!
//! The guide's page on the ways to decay has the picture: copy paths.svg to src/guide/ where it changes.

use burn::optim::Optimizer;
use burn::tensor::{Device, Distribution, Tensor};
use burn_decay::{AdamL2Config, AdamWConfig, DecayScaling, DecayTarget};
use plotters::{prelude::*, style::register_font};

const STEPS: usize = 4000;
const MAX_LR: f64 = 5e-3;
const START: [f32; 2] = [-0.5, 1.5];
/// The loss is `Σ steepness · (w - lowest)²/2`: a bowl, steep along the first weight.
const STEEPNESS: [f32; 2] = [5.0, 0.2];
const LOWEST: [f32; 2] = [1.0, 0.3];
/// What the picture shows of either weight.
const SEEN: [std::ops::Range<f64>; 2] = [-0.6..1.5, -0.1..1.6];

/// Where the weights are, on average over forty steps each, under a cosine schedule. The gradients are
/// noisy, each in proportion to its slope.
fn path(optimizer: impl Optimizer) -> Vec<(f64, f64)> {
    let device = Device::default();
    device.seed(1);
    let [start, steepness, lowest] =
        [START, STEEPNESS, LOWEST].map(|numbers| Tensor::<1>::from_floats(numbers, &device));
    let (mut weights, mut state) = (start, None);
    let mut seen = Vec::new();
    for step in 0..STEPS {
        let at: Vec<f64> = weights.to_data().iter().collect();
        seen.push(at);
        let noise = Tensor::random([2], Distribution::Normal(0.0, 1.0), &device);
        let gradient = steepness.clone() * (weights.clone() - lowest.clone() + noise);
        let turn = std::f64::consts::PI * step as f64 / STEPS as f64;
        let lr = MAX_LR * (1.0 + turn.cos()) / 2.0;
        (weights, state) = optimizer.step(lr, weights, gradient, state);
    }
    let mean = |part: &[Vec<f64>]| {
        let of = |axis: usize| part.iter().map(|at| at[axis]).sum::<f64>() / part.len() as f64;
        (of(0), of(1))
    };
    seen.chunks(40).map(mean).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let adamw = AdamWConfig::torch().with_weight_decay(0.5);
    let corrected = DecayScaling::Corrected { max_lr: MAX_LR };
    let l1 = adamw.clone().with_weight_decay(0.0).with_l1_decay(0.4);
    let paths = [
        (
            "L2 penalty (AdamL2)",
            path(AdamL2Config::torch().with_l2_penalty(0.3).build()),
        ),
        ("decoupled (AdamW)", path(adamw.build())),
        (
            "cautious",
            path(adamw.clone().with_cautious_weight_decay(true).build()),
        ),
        (
            "corrected",
            path(adamw.clone().with_decay_scaling(corrected).build()),
        ),
        ("L1", path(l1.build())),
        (
            "towards the start",
            path(adamw.with_decay_target(DecayTarget::Start).build()),
        ),
    ];

    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    let root = SVGBackend::new("paths.svg", (760, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .set_left_and_bottom_label_area_size(45)
        .build_cartesian_2d(SEEN[0].clone(), SEEN[1].clone())?;
    let mut axes = chart.configure_mesh();
    axes.x_desc("steep weight").y_desc("flat weight");
    axes.disable_mesh().label_style(("sans-serif", 15)).draw()?;
    // The level lines of the loss: ellipses around its lowest point.
    let [x, y] = LOWEST.map(f64::from);
    chart.draw_series([Cross::new((x, y), 5, BLACK)])?;
    for level in 1..6 {
        let radius = |axis: usize| 0.18 * f64::from(level) / f64::from(STEEPNESS[axis]).sqrt();
        let at = |i: i32| {
            let (sin, cos) = (std::f64::consts::TAU * f64::from(i) / 72.0).sin_cos();
            (x + radius(0) * cos, y + radius(1) * sin)
        };
        let ellipse: Vec<_> = (0..=72).map(at).collect();
        for arc in ellipse.split(|(_, y)| !SEEN[1].contains(y)) {
            chart.draw_series(LineSeries::new(arc.to_vec(), BLACK.mix(0.2)))?;
        }
    }
    // Of Okabe and Ito, which colour-blind people tell apart.
    let colors = [0xd55e00, 0x0072b2, 0x009e73, 0xcc79a7, 0xe69f00, 0x000000];
    for ((name, path), color) in paths.into_iter().zip(colors) {
        let [_, red, green, blue] = u32::to_be_bytes(color);
        let style = RGBColor(red, green, blue).stroke_width(2);
        let (x, y) = path[path.len() - 1];
        println!("{name:20} ends at ({x:.3}, {y:.3})");
        chart.draw_series([Circle::new((x, y), 5, style.filled())])?;
        let key = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style);
        chart
            .draw_series(LineSeries::new(path, style))?
            .label(name)
            .legend(key);
    }
    let mut legend = chart.configure_series_labels();
    legend
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8));
    legend.label_font(("sans-serif", 15)).draw()?;
    Ok(root.present()?)
}
