//! A chart of rates by size of the messages, for the README: bars relative to those of the first contender.

use std::{error::Error, path::Path};

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// In pixels.
const WIDTH: u32 = 960;
const HEIGHT: u32 = 320;
const LEGEND: u32 = 32;

/// Of the contenders, in their order: told apart by anybody's eyes, and in grey.
const COLOURS: [RGBColor; 4] = [
    RGBColor(0xb0, 0xb0, 0xb0),
    RGBColor(0x6b, 0x6b, 0x6b),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x72, 0xb2),
];

/// How much of a group's width its bars take.
const FILLED: f64 = 0.8;

/// A bar that is higher than this is cut off, and says how high it is.
const HIGHEST: f64 = 2.5;

const FONT: &str = "sans-serif";

/// Bars of some cases, in groups.
pub(crate) struct Panel {
    pub(crate) title: String,
    /// What is below a group, and the rates of the contenders.
    pub(crate) groups: Vec<(String, Vec<f64>)>,
}

type Drawn = Result<(), Box<dyn Error>>;

/// Writes an SVG of panels side by side.
pub(crate) fn write(file: &Path, contenders: &[&str], panels: &[Panel]) -> Drawn {
    let root = SVGBackend::new(file, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let (top, below) = root.split_vertically(LEGEND);
    legend(&top, contenders)?;
    for (area, panel) in below.split_evenly((1, panels.len())).iter().zip(panels) {
        draw(area, panel)?;
    }
    root.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn legend(area: &Area<'_>, contenders: &[&str]) -> Drawn {
    let step = 120;
    for (n, (name, colour)) in contenders.iter().zip(COLOURS).enumerate() {
        let x = 50 + step * n as i32;
        area.draw(&Rectangle::new([(x, 12), (x + 12, 24)], colour.filled()))?;
        let style = (FONT, 13).into_font().color(&BLACK);
        area.draw(&Text::new((*name).to_owned(), (x + 18, 12), style))?;
    }
    Ok(())
}

fn draw(area: &Area<'_>, panel: &Panel) -> Drawn {
    let title = (FONT, 14).into_font().color(&BLACK);
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, title)
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(32)
        .build_cartesian_2d(0.0..panel.groups.len() as f64, 0.0..HIGHEST)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(6)
        .y_label_formatter(&|ratio| format!("{ratio:.1}"))
        .light_line_style(TRANSPARENT)
        .label_style((FONT, 11))
        .draw()?;
    let small = |size: u32| (FONT, size).into_font().color(&BLACK);
    for (n, (name, rates)) in panel.groups.iter().enumerate() {
        let width = FILLED / rates.len() as f64;
        let left = n as f64 + (1.0 - FILLED) / 2.0;
        for ((bar, rate), colour) in rates.iter().enumerate().zip(COLOURS) {
            let (ratio, from) = (rate / rates[0], left + width * bar as f64);
            let corners = [(from, 0.0), (from + width, ratio.min(HIGHEST))];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            if ratio > HIGHEST {
                let style = small(10).pos(Pos::new(HPos::Center, VPos::Bottom));
                let at = (from + width / 2.0, HIGHEST);
                chart.draw_series([Text::new(format!("{ratio:.1}"), at, style)])?;
            }
        }
        let style = small(11).pos(Pos::new(HPos::Center, VPos::Top));
        let below = (n as f64 + 0.5, -0.04);
        chart.draw_series([Text::new(name.clone(), below, style)])?;
    }
    let one = [(0.0, 1.0), (panel.groups.len() as f64, 1.0)];
    chart.draw_series([PathElement::new(one, BLACK.stroke_width(1))])?;
    Ok(())
}
