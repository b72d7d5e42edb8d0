use super::svg::{Anchor, Svg};
use crate::report::words;

/// Counts of predictions (columns) for each label (rows).
#[derive(Clone, Debug)]
pub(crate) struct Confusion {
    pub(crate) label: String,
    pub(crate) rows: Vec<String>,
    pub(crate) columns: Vec<String>,
    /// `counts[row][column]`.
    pub(crate) counts: Vec<Vec<u64>>,
}

const NAME_WIDTH: f64 = 74.0;
const HEADER: f64 = 40.0;
const CELL_HEIGHT: f64 = 52.0;
const GAP: f64 = 3.0;

/// Draws a table of counts, each shaded by its share of its row. Empty without any count.
pub(crate) fn confusion(matrix: &Confusion, width: f64) -> String {
    let total: u64 = matrix.counts.iter().flatten().sum();
    if total == 0 {
        return String::new();
    }
    let cell = (width - NAME_WIDTH) / matrix.columns.len() as f64;
    let height = CELL_HEIGHT.mul_add(matrix.rows.len() as f64, HEADER);
    let mut svg = Svg::new(width, height, &matrix.label);
    svg.text((NAME_WIDTH, 12.0), Anchor::Start, "tick", "judged →");
    svg.text((0.0, 32.0), Anchor::Start, "tick", "label ↓");
    for (column, name) in matrix.columns.iter().enumerate() {
        let x = cell.mul_add(column as f64 + 0.5, NAME_WIDTH);
        svg.text((x, 32.0), Anchor::Middle, "rowname", name);
    }
    for (row, name) in matrix.rows.iter().enumerate() {
        let y = CELL_HEIGHT.mul_add(row as f64, HEADER);
        svg.text(
            (0.0, y + CELL_HEIGHT / 2.0 + 4.0),
            Anchor::Start,
            "rowname",
            name,
        );
        let in_row: u64 = matrix
            .counts
            .get(row)
            .map_or(0, |counts| counts.iter().sum());
        for (column, predicted) in matrix.columns.iter().enumerate() {
            let count = matrix
                .counts
                .get(row)
                .and_then(|c| c.get(column))
                .copied()
                .unwrap_or(0);
            let share = if in_row == 0 {
                0.0
            } else {
                count as f64 / in_row as f64
            };
            let x = cell.mul_add(column as f64, NAME_WIDTH);
            let title = format!(
                "label {name}, judged {predicted}: {count} of {in_row} ({:.1}%)",
                share * 100.0
            );
            svg.titled(&title, |svg| {
                let size = (cell - GAP, CELL_HEIGHT - GAP);
                svg.rect((x, y), size, "cell", 4.0);
                let class = if name == predicted {
                    "shade agree"
                } else {
                    "shade"
                };
                svg.shade((x, y), size, class, share * 0.6);
                if name == predicted {
                    svg.rect(
                        (x + 1.0, y + 1.0),
                        (size.0 - 2.0, size.1 - 2.0),
                        "agreed",
                        3.0,
                    );
                }
                let centre = x + size.0 / 2.0;
                svg.text(
                    (centre, y + 22.0),
                    Anchor::Middle,
                    "count",
                    &words::count(count),
                );
                svg.text(
                    (centre, y + 39.0),
                    Anchor::Middle,
                    "tick",
                    &format!("{:.0}%", share * 100.0),
                );
            });
        }
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_row_is_zero_not_nan() {
        let matrix = Confusion {
            label: "agreement".into(),
            rows: vec!["first".into(), "tie".into()],
            columns: vec!["first".into(), "tie".into()],
            counts: vec![vec![3, 1], vec![0, 0]],
        };
        let svg = confusion(&matrix, 300.0);
        assert!(svg.contains("75%") && !svg.contains("NaN"), "{svg}");
        let none = Confusion {
            counts: vec![vec![0, 0], vec![0, 0]],
            ..matrix
        };
        assert_eq!(confusion(&none, 300.0), "");
    }
}
