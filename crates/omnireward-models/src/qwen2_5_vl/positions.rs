use crate::Row;

use super::{MediaShape, VisionConfig, VisualShape};

/// Where the rows of a sequence with media stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultimodalPositions {
    /// Each row's time, height and width.
    pub rows: Vec<[u32; 3]>,
    /// Where the row that follows stands, on all three axes.
    pub next: u32,
}

/// The positions of a sequence (Wang et al. 2024, section 2.1, with times in seconds as Qwen2.5-VL was trained).
///
/// A word, or a row of a sound, stands one behind all that came before it, on all three axes. Another medium begins
/// there: its rows stand at its beginning plus their row and column among the merged cells, and in time plus
/// `⌊k · seconds · positions_per_second⌋` for frame `k` of its grid. What follows a medium stands one behind the largest
/// of its positions on any axis.
///
/// `media` are those that rows name. A sequence without any has the positions 0, 1, 2, … on all axes.
///
/// # Errors
///
/// A text that says which medium does not stand in the sequence as a whole, row by row.
pub fn positions(
    rows: &[Row],
    media: &[MediaShape],
    config: &VisionConfig,
) -> Result<MultimodalPositions, String> {
    let mut found = MultimodalPositions {
        rows: Vec::with_capacity(rows.len()),
        next: 0,
    };
    while let Some(row) = rows.get(found.rows.len()) {
        let Some(feature) = row.feature else {
            found.word();
            continue;
        };
        let shape = media
            .get(feature.medium)
            .ok_or_else(|| format!("medium `{}` of `{}`", feature.medium, media.len()))?;
        let cells = shape.rows(config);
        let begun = &rows[found.rows.len()..];
        let whole = begun.len() >= cells
            && (0..cells).all(|index| {
                let own = begun[index].feature;
                own.is_some_and(|own| own.medium == feature.medium && own.row == index)
            });
        if !whole || cells == 0 {
            return Err(format!(
                "the `{cells}` rows of medium `{}` do not stand one behind another",
                feature.medium
            ));
        }
        match shape {
            MediaShape::Visual(shape) => found.medium(shape, config),
            MediaShape::Sound { rows } => (0..*rows).for_each(|_| found.word()),
        }
    }
    Ok(found)
}

impl From<MultimodalPositions> for crate::generation::Positions {
    fn from(positions: MultimodalPositions) -> Self {
        Self::Multimodal(positions.rows, positions.next)
    }
}

impl MultimodalPositions {
    fn word(&mut self) {
        self.rows.push([self.next; 3]);
        self.next += 1;
    }

    fn medium(&mut self, shape: &VisualShape, config: &VisionConfig) {
        let cells = shape.grid.merged(config.merge);
        let begin = self.next;
        for frame in 0..cells.frames {
            let time = begin + time(frame, shape.seconds, config.positions_per_second);
            for row in 0..cells.rows as u32 {
                for column in 0..cells.columns as u32 {
                    let position = [time, begin + row, begin + column];
                    let last = position.into_iter().max().unwrap_or(begin);
                    self.next = self.next.max(last + 1);
                    self.rows.push(position);
                }
            }
        }
    }
}

/// Both products are rounded to `f32`, as where the model was trained; the fraction is cut off after them. Some
/// releases of Hugging Face transformers, 4.57 among them, cut off that of the seconds before, and in some of 5 the
/// words after a video begin before its end.
fn time(frame: usize, seconds: Option<f64>, per_second: f64) -> u32 {
    let seconds = seconds.unwrap_or(0.0) as f32;
    (frame as f32 * seconds * per_second as f32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Feature, qwen2_5_vl::PatchGrid};

    fn config() -> VisionConfig {
        VisionConfig {
            depth: 1,
            hidden: 8,
            heads: 2,
            intermediate: 8,
            out_hidden: 8,
            patch: 14,
            temporal_patch: 2,
            merge: 2,
            window: 112,
            full_attention: Vec::new(),
            positions_per_second: 2.0,
        }
    }

    fn shape(frames: usize, rows: usize, columns: usize, seconds: Option<f64>) -> MediaShape {
        let grid = PatchGrid {
            frames,
            rows,
            columns,
        };
        MediaShape::Visual(VisualShape { grid, seconds })
    }

    fn words(count: usize) -> impl Iterator<Item = Row> {
        std::iter::repeat_n(Row::token(7), count)
    }

    fn medium(medium: usize, rows: usize) -> impl Iterator<Item = Row> {
        (0..rows).map(move |row| Row {
            token: 9,
            feature: Some(Feature { medium, row }),
        })
    }

    #[test]
    fn words_alone_stand_one_behind_another() {
        let rows: Vec<Row> = words(3).collect();
        let found = positions(&rows, &[], &config()).unwrap();
        assert_eq!(found.rows, [[0; 3], [1; 3], [2; 3]]);
        assert_eq!(found.next, 3);
    }

    #[test]
    fn a_picture_and_a_video_stand_where_the_reference_has_them() {
        let media = [shape(1, 10, 14, None), shape(6, 4, 4, Some(1.0))];
        let rows: Vec<Row> = words(3)
            .chain(medium(0, 35))
            .chain(words(4))
            .chain(medium(1, 24))
            .chain(words(4))
            .collect();
        let found = positions(&rows, &media, &config()).unwrap();
        assert_eq!(found.rows.len(), 70);
        let picture = &found.rows[3..38];
        assert_eq!((picture[0], picture[34]), ([3, 3, 3], [3, 7, 9]));
        assert_eq!(picture[8], [3, 4, 4]);
        assert_eq!(found.rows[38..42], [[10; 3], [11; 3], [12; 3], [13; 3]]);
        let video = &found.rows[42..66];
        let times: Vec<u32> = video.iter().step_by(4).map(|row| row[0]).collect();
        assert_eq!(times, [14, 16, 18, 20, 22, 24]);
        assert_eq!((video[1], video[2]), ([14, 14, 15], [14, 15, 14]));
        assert_eq!(found.rows[66..], [[25; 3], [26; 3], [27; 3], [28; 3]]);
        // The reference's delta is −41.
        assert_eq!(i64::from(found.next) - 70, -41);
    }

    #[test]
    fn rows_of_a_sound_stand_like_words() {
        let media = [MediaShape::Sound { rows: 3 }, shape(1, 4, 4, None)];
        let rows: Vec<Row> = medium(0, 3).chain(medium(1, 4)).chain(words(1)).collect();
        let found = positions(&rows, &media, &config()).unwrap();
        assert_eq!(found.rows[..3], [[0; 3], [1; 3], [2; 3]]);
        assert_eq!(
            found.rows[3..],
            [[3, 3, 3], [3, 3, 4], [3, 4, 3], [3, 4, 4], [5; 3]]
        );
    }

    #[test]
    fn times_are_cut_off_after_the_product() {
        let times = |seconds| [0, 1, 2, 3].map(|frame| time(frame, Some(seconds), 2.0));
        assert_eq!(times(0.75), [0, 1, 3, 4]);
        assert_eq!(times(0.25), [0, 0, 1, 1]);
        assert_eq!(time(3, None, 2.0), 0);
    }

    #[test]
    fn a_medium_stands_there_as_a_whole() {
        let media = [shape(1, 4, 4, None)];
        let broken: [Vec<Row>; 3] = [
            medium(0, 3).collect(),
            medium(0, 4).skip(1).collect(),
            medium(1, 4).collect(),
        ];
        for rows in broken {
            assert!(positions(&rows, &media, &config()).is_err());
        }
        assert!(positions(&medium(0, 4).collect::<Vec<_>>(), &media, &config()).is_ok());
    }
}
