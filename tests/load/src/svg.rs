//! A plot with two logarithmic axes, as SVG.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
/// Where the field of the plot is: left, top, right, bottom.
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 540.0;
const BOTTOM: f64 = 390.0;
/// Between the names at the right.
const NAME_HEIGHT: f64 = 15.0;

/// Colours that differ for those who see few of them, too (Okabe and Ito's).
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c3c"];

/// What is plotted.
pub struct Plot<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    pub lines: &'a [Line],
}

/// One line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub name: String,
    /// Greater than 0 both, ascending by the first.
    pub points: Vec<(f64, f64)>,
}

/// From the smallest to the largest power of ten that is needed.
struct Axis {
    from: i32,
    to: i32,
    start: f64,
    end: f64,
}

impl Plot<'_> {
    /// The whole file.
    pub fn svg(&self) -> String {
        let all = || self.lines.iter().flat_map(|line| &line.points).filter(|(x, y)| *x > 0.0 && *y > 0.0);
        let x = Axis::over(all().map(|point| point.0), LEFT, RIGHT);
        let y = Axis::over(all().map(|point| point.1), BOTTOM, TOP);
        let mut svg = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>",
            escaped(self.title)
        );
        for power in x.from..=x.to {
            let at = x.place(10f64.powi(power));
            let _ = writeln!(svg, "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/>");
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 17.0,
                power_of_ten(power)
            );
        }
        for power in y.from..=y.to {
            let at = y.place(10f64.powi(power));
            let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>");
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                power_of_ten(power)
            );
        }
        let middle = (LEFT + RIGHT) / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 10.0,
            escaped(self.x)
        );
        let _ = writeln!(
            svg,
            "<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (TOP + BOTTOM) / 2.0,
            escaped(self.y)
        );
        // Names stand beside the last points, as far as there is room: from the top, in the order of these.
        let mut order: Vec<(usize, f64)> = (self.lines.iter().enumerate())
            .map(|(at, line)| (at, line.points.last().map_or(BOTTOM, |point| y.place(point.1))))
            .collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut free = TOP;
        for (left, (at, wanted)) in order.iter().enumerate() {
            let below = (order.len() - left) as f64 * NAME_HEIGHT;
            let text = wanted.max(free).min(BOTTOM + NAME_HEIGHT - below);
            free = text + NAME_HEIGHT;
            let (line, colour) = (&self.lines[*at], COLOURS[at % COLOURS.len()]);
            let dashes = if *at >= COLOURS.len() { " stroke-dasharray=\"5 3\"" } else { "" };
            let points: Vec<String> =
                line.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x.place(*px), y.place(*py))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
                points.join(" ")
            );
            for point in &points {
                let (px, py) = point.split_once(',').unwrap_or(("0", "0"));
                let _ = writeln!(svg, "<circle cx=\"{px}\" cy=\"{py}\" r=\"3\" fill=\"{colour}\"/>");
            }
            let _ = writeln!(
                svg,
                "<path d=\"M{:.1} {wanted:.1}L{:.1} {text:.1}\" stroke=\"{colour}\" stroke-width=\"0.5\"/>",
                RIGHT + 2.0,
                RIGHT + 14.0
            );
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                RIGHT + 17.0,
                text + 4.0,
                escaped(&line.name)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (least, most) =
            values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
        if least > most {
            return Self { from: 0, to: 1, start, end };
        }
        let from = least.log10().floor() as i32;
        Self { from, to: (most.log10().ceil() as i32).max(from + 1), start, end }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.from)) / f64::from(self.to - self.from);
        self.start + (self.end - self.start) * share
    }
}

fn power_of_ten(power: i32) -> String {
    match power {
        ..0 => format!("{:.*}", power.unsigned_abs() as usize, 10f64.powi(power)),
        0..=3 => format!("{}", 10u32.pow(power.unsigned_abs())),
        4..=5 => format!("{},000", 10u32.pow(power.unsigned_abs() - 3)),
        _ => format!("10^{power}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Axis, Line, Plot, power_of_ten};

    #[test]
    fn an_axis_has_whole_powers_of_ten() {
        let axis = Axis::over([3.0, 2000.0].into_iter(), 100.0, 500.0);
        assert_eq!((axis.from, axis.to), (0, 4));
        assert!((axis.place(100.0) - 300.0).abs() < 1e-9);
        let axis = Axis::over([1.0].into_iter(), 0.0, 1.0);
        assert_eq!((axis.from, axis.to), (0, 1));
    }

    #[test]
    fn powers_are_named() {
        assert_eq!([-2, 0, 3, 4, 7].map(power_of_ten), ["0.01", "1", "1000", "10,000", "10^7"]);
    }

    #[test]
    fn names_cannot_break_the_file_and_none_is_lost() {
        let lines: Vec<Line> =
            (0..12).map(|n| Line { name: format!("<{n}>"), points: vec![(1.0, 1.0), (10.0, 1.0)] }).collect();
        let svg = Plot { title: "a & b", x: "x", y: "y", lines: &lines }.svg();
        assert!(svg.contains("a &amp; b") && !svg.contains("<0>"));
        assert!((0..12).all(|n| svg.contains(&format!("&lt;{n}&gt;"))));
        assert_eq!(svg.matches("<polyline").count(), 12);
    }
}
