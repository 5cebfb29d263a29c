//! Charts of lines, as SVG that takes its colours from the page.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// Ticks that fit beside each other.
const TICKS: f64 = 6.0;

/// A line through some points, in the colour with this number.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) color: usize,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A mark on an axis: where in the axis' values, and what it says.
pub(crate) type Tick = (f64, String);

pub(crate) struct Axis {
    pub(crate) label: &'static str,
    /// The ends of the axis.
    pub(crate) range: (f64, f64),
    pub(crate) ticks: Vec<Tick>,
    pub(crate) log: bool,
}

impl Axis {
    /// From zero to a round number, in steps of 1, 2 or 5.
    pub(crate) fn linear(label: &'static str, max: f64, show: impl Fn(f64) -> String) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = round_step(max / TICKS);
        let steps = (max / step).ceil();
        let ticks = (0..=steps as u32).map(|n| f64::from(n) * step);
        Self {
            label,
            range: (0.0, steps * step),
            ticks: ticks.map(|value| (value, show(value))).collect(),
            log: false,
        }
    }

    /// The same that ends exactly there, for time.
    pub(crate) fn until(label: &'static str, max: f64, show: impl Fn(f64) -> String) -> Self {
        let mut axis = Self::linear(label, max, show);
        axis.range.1 = max.max(f64::MIN_POSITIVE);
        axis.ticks.retain(|(value, _)| *value <= max * 1.0001);
        axis
    }

    /// Powers of ten, and 2 and 5 times those where there is room.
    pub(crate) fn log(
        label: &'static str,
        (min, max): (f64, f64),
        show: impl Fn(f64) -> String,
    ) -> Self {
        let marks: Vec<f64> = (-12..12)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * 10f64.powi(power)))
            .collect();
        let below = marks.iter().rev().find(|mark| **mark <= min * 1.0001);
        let above = marks.iter().find(|mark| **mark >= max && **mark > min);
        let range = (*below.unwrap_or(&1e-12), *above.unwrap_or(&1e12));
        let few = (range.1 / range.0).log10() <= 3.0;
        let is_power = |mark: f64| (mark.log10() - mark.log10().round()).abs() < 1e-9;
        let ticks = marks
            .into_iter()
            .filter(|mark| (range.0 * 0.999..=range.1 * 1.001).contains(mark))
            .filter(|mark| few || is_power(*mark));
        Self {
            label,
            range,
            ticks: ticks.map(|mark| (mark, show(mark))).collect(),
            log: true,
        }
    }

    /// Where a value is on the axis, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let (min, max) = self.range;
        let place = if self.log {
            (value.max(min) / min).ln() / (max / min).ln()
        } else {
            (value - min) / (max - min)
        };
        place.clamp(0.0, 1.0)
    }
}

fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|n| n * power >= step);
    factor.unwrap_or(10.0) * power
}

/// A figure: its title, what the colours mean, and the lines.
pub(crate) fn figure(title: &str, note: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let mut legend = String::new();
    for Series { name, color, .. } in series {
        let _ = write!(legend, r#"<li class="c{color}">{name}</li>"#);
    }
    let mut inside = String::new();
    draw_grid(&mut inside, x, y);
    for line in series {
        draw_line(&mut inside, x, y, line);
    }
    format!(
        r#"<figure><figcaption><h2>{title}</h2><p>{note}</p><ul>{legend}</ul></figcaption>
<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{inside}</svg></figure>
"#
    )
}

fn at_x(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)
}

fn at_y(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
}

fn draw_grid(svg: &mut String, x: &Axis, y: &Axis) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (value, text) in &y.ticks {
        let at = at_y(y, *value);
        let _ = write!(
            svg,
            r#"<path class="grid" d="M{LEFT} {at:.1}H{right}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
            LEFT - 8.0,
            at + 4.0
        );
    }
    for (value, text) in &x.ticks {
        let at = at_x(x, *value);
        let _ = write!(
            svg,
            r#"<path class="tick" d="M{at:.1} {bottom}v5"/><text x="{at:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
            bottom + 18.0
        );
    }
    let _ = write!(
        svg,
        r#"<path class="tick" d="M{LEFT} {bottom}H{right}"/><text class="label" x="{right}" y="{:.1}" text-anchor="end">{}</text>"#,
        HEIGHT - 4.0,
        x.label
    );
    let middle = (TOP + bottom) / 2.0;
    let _ = write!(
        svg,
        r#"<text class="label" transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{}</text>"#,
        y.label
    );
}

fn draw_line(svg: &mut String, x: &Axis, y: &Axis, line: &Series) {
    let mut path = String::new();
    for (n, (px, py)) in line.points.iter().enumerate() {
        let to = if n == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{to}{:.1} {:.1}", at_x(x, *px), at_y(y, *py));
    }
    let _ = write!(svg, r#"<path class="line c{}" d="{path}"/>"#, line.color);
    // A line through one point shows nothing.
    if let [(px, py)] = line.points[..] {
        let (cx, cy) = (at_x(x, px), at_y(y, py));
        let _ = write!(
            svg,
            r#"<circle class="dot c{}" cx="{cx:.1}" cy="{cy:.1}" r="3"/>"#,
            line.color
        );
    }
}
