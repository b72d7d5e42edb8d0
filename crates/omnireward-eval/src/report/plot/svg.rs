use std::fmt::Write as _;

use crate::report::escape::escape;

/// Where a text's given point lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing in pixels, from the top left.
#[derive(Debug)]
pub(super) struct Svg {
    width: f64,
    height: f64,
    label: String,
    body: String,
}

impl Svg {
    /// An empty drawing. `label` is read out in its place.
    pub(super) fn new(width: f64, height: f64, label: &str) -> Self {
        Self {
            width,
            height,
            label: label.to_owned(),
            body: String::new(),
        }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ends = [from.0, from.1, to.0, to.1].map(number);
        let [x1, y1, x2, y2] = ends;
        self.push(format_args!(
            r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#
        ));
    }

    pub(super) fn rect(&mut self, corner: (f64, f64), size: (f64, f64), class: &str, radius: f64) {
        let [x, y, width, height, radius] =
            [corner.0, corner.1, size.0.max(0.0), size.1.max(0.0), radius].map(number);
        self.push(format_args!(
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}"/>"#
        ));
    }

    /// A rectangle that is drawn more strongly the larger `strength` (0 to 1) is.
    pub(super) fn shade(
        &mut self,
        corner: (f64, f64),
        size: (f64, f64),
        class: &str,
        strength: f64,
    ) {
        let [x, y, width, height] = [corner.0, corner.1, size.0, size.1].map(number);
        let opacity = number(strength.clamp(0.0, 1.0));
        self.push(format_args!(
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill-opacity="{opacity}"/>"#
        ));
    }

    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let [x, y] = [at.0, at.1].map(number);
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.push(format_args!(
            r#"<text class="{class}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        if points.is_empty() {
            return;
        }
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{},{}", number(*x), number(*y)))
            .collect();
        let path = path.join(" ");
        self.push(format_args!(
            r#"<polyline class="{class}" points="{path}"/>"#
        ));
    }

    /// The shape that belongs to a series, centred on a point.
    pub(super) fn marker(&mut self, series: usize, at: (f64, f64), class: &str) {
        let (x, y) = at;
        match series % super::SERIES {
            0 => {
                let [x, y] = [x, y].map(number);
                self.push(format_args!(
                    r#"<circle class="{class}" cx="{x}" cy="{y}" r="4.6"/>"#
                ));
            }
            1 => self.polygon(&square(x, y, 4.1), class),
            2 => self.polygon(&regular(x, y, 5.8, 3, -90.0), class),
            3 => self.polygon(&regular(x, y, 5.8, 4, -90.0), class),
            4 => self.polygon(&regular(x, y, 5.8, 3, 90.0), class),
            _ => self.polygon(&regular(x, y, 5.4, 6, 0.0), class),
        }
    }

    pub(super) fn polygon(&mut self, points: &[(f64, f64)], class: &str) {
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{},{}", number(*x), number(*y)))
            .collect();
        let path = path.join(" ");
        self.push(format_args!(
            r#"<polygon class="{class}" points="{path}"/>"#
        ));
    }

    /// Draws a group that shows `title` under the pointer.
    pub(super) fn titled(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        let title = escape(title);
        self.push(format_args!("<g><title>{title}</title>"));
        draw(self);
        self.push(format_args!("</g>"));
    }

    pub(super) fn finish(self) -> String {
        let [width, height] = [self.width, self.height].map(number);
        let label = escape(&self.label);
        format!(
            r#"<svg class="plot" role="img" aria-label="{label}" viewBox="0 0 {width} {height}" width="{width}" height="{height}">{}</svg>"#,
            self.body
        )
    }

    fn push(&mut self, markup: std::fmt::Arguments<'_>) {
        self.body
            .write_fmt(markup)
            .expect("writing to a string cannot fail");
    }
}

/// At most two decimals, never `NaN` or `-0`.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let rounded = (value * 100.0).round() / 100.0 + 0.0;
    format!("{rounded}")
}

fn square(x: f64, y: f64, half: f64) -> [(f64, f64); 4] {
    [
        (x - half, y - half),
        (x + half, y - half),
        (x + half, y + half),
        (x - half, y + half),
    ]
}

/// The corners of a regular polygon whose first corner lies at an angle, clockwise from the right.
fn regular(x: f64, y: f64, radius: f64, corners: u32, first_degrees: f64) -> Vec<(f64, f64)> {
    (0..corners)
        .map(|corner| {
            let turn = f64::from(corner) / f64::from(corners) * 360.0;
            let (sin, cos) = (first_degrees + turn).to_radians().sin_cos();
            (radius.mul_add(cos, x), radius.mul_add(sin, y))
        })
        .collect()
}

/// Shortens a label to about `pixels` at the figures' text size, with an ellipsis.
pub(super) fn fit(label: &str, pixels: f64) -> String {
    const PIXELS_PER_CHARACTER: f64 = 6.6;
    let room = (pixels / PIXELS_PER_CHARACTER).floor().max(2.0) as usize;
    if label.chars().count() <= room {
        return label.to_owned();
    }
    let kept: String = label.chars().take(room - 1).collect();
    format!("{}…", kept.trim_end())
}

/// Room for the names of a figure's rows, in pixels.
pub(super) fn name_width<'a>(names: impl Iterator<Item = &'a String>, width: f64) -> f64 {
    let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
    (longest as f64 * 7.2 + 6.0).clamp(38.0, width * 0.34)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_finite() {
        assert_eq!(number(1.0 / 3.0), "0.33");
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(f64::NAN), "0");
        assert_eq!(number(f64::INFINITY), "0");
    }

    #[test]
    fn labels_are_cut_with_an_ellipsis() {
        assert_eq!(fit("T2T", 40.0), "T2T");
        assert_eq!(fit("a much longer label", 60.0), "a much l…");
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg::new(10.0, 10.0, "\"><script>");
        svg.text((0.0, 0.0), Anchor::Start, "t", "<b>&");
        svg.titled("</title><x>", |_| ());
        let out = svg.finish();
        assert!(
            !out.contains("<script>") && !out.contains("<b>") && !out.contains("<x>"),
            "{out}"
        );
    }
}
