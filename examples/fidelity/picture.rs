//! A panel for each precision, side by side.

use plotters::{prelude::*, style::register_font};

/// Of Okabe and Ito, which colour-blind people tell apart.
const COLORS: [u32; 6] = [0x0072b2, 0xe69f00, 0xcc79a7, 0x009e73, 0x000000, 0xd55e00];

/// A library's name, and the share of each decay that it delivers.
pub type Curve = (&'static str, Vec<f64>);

pub fn draw(panels: &[(&str, Vec<Curve>)]) -> Result<(), Box<dyn std::error::Error>> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read")?;
    let root = BitMapBackend::new("fidelity.png", (1600, 760)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (precision, curves)) in root.split_evenly((1, 2)).iter().zip(panels) {
        let title = format!("{precision}: decay delivered / decay asked for");
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 32))
            .margin(12)
            .set_left_and_bottom_label_area_size(80)
            .build_cartesian_2d(-9.2..-1.8, -0.5..3.0)?;
        let mut axes = chart.configure_mesh();
        axes.x_labels(8).x_label_formatter(&|x| format!("1e{x}"));
        axes.y_labels(4).label_style(("sans-serif", 26));
        axes.x_desc("lr · λ").light_line_style(WHITE).draw()?;
        // Where lines coincide, the wider ones show below the others.
        for (i, (name, shares)) in curves.iter().enumerate() {
            let [_, red, green, blue] = COLORS[i].to_be_bytes();
            let style = RGBColor(red, green, blue).stroke_width([20, 14, 11, 8, 5, 2][i]);
            let shares = shares.iter().map(|share| share.clamp(-0.5, 3.0));
            let points = crate::asked().map(f64::log10).into_iter().zip(shares);
            let key = move |(x, y)| PathElement::new([(x - 20, y), (x + 10, y)], style);
            let line = chart.draw_series(LineSeries::new(points, style))?;
            line.label(*name).legend(key);
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperRight);
        legend.label_font(("sans-serif", 26)).draw()?;
    }
    Ok(root.present()?)
}
