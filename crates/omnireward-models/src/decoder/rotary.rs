use std::f32::consts::TAU;

use candle_core::{Device, Result, Tensor, bail};

/// The rotary positions of a decoder (Su et al. 2021, eq. 15).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// How the frequencies are stretched for longer sequences than those of pre-training.
    pub scaling: RopeScaling,
    /// How many of the frequencies, from the first on, turn by a row's time, its height and its width (M-RoPE; Wang et
    /// al. 2024, section 2.1). `None` in a decoder whose rows stand at one position each.
    pub sections: Option<[usize; 3]>,
}

/// Where the rows of a stream stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowPositions<'a> {
    /// One behind another.
    Plain(&'a [u32]),
    /// At a time, a height and a width each; words at three equal numbers.
    Multimodal(&'a [[u32; 3]]),
}

impl RowPositions<'_> {
    /// How many rows there are.
    pub const fn len(&self) -> usize {
        match self {
            Self::Plain(positions) => positions.len(),
            Self::Multimodal(positions) => positions.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> From<&'a [u32]> for RowPositions<'a> {
    fn from(positions: &'a [u32]) -> Self {
        Self::Plain(positions)
    }
}

/// How rotary frequencies are stretched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency divided by `factor` (Chen et al. 2023, eq. 4).
    Linear {
        /// How many times longer.
        factor: f64,
    },
    /// Llama 3.1's: long waves divided by `factor`, short waves kept, those between blended.
    Llama3 {
        /// How many times longer.
        factor: f64,
        /// Waves longer than `original_positions / low_frequency` are stretched in full.
        low_frequency: f64,
        /// Waves shorter than `original_positions / high_frequency` are kept.
        high_frequency: f64,
        /// Positions of pre-training.
        original_positions: usize,
    },
}

impl Rope {
    /// `theta^(−2i / head_dim)` for each pair of elements, stretched. Every step is rounded to `f32`, as Hugging Face
    /// transformers does: at large positions a frequency's last bit is seen.
    pub fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        (0..head_dim / 2)
            .map(|pair| {
                let exponent = (2 * pair) as f32 / head_dim as f32;
                let frequency = 1.0 / self.theta.powf(f64::from(exponent)) as f32;
                self.scaling.stretch(frequency)
            })
            .collect()
    }

    /// The angles' cosines and sines for each row.
    ///
    /// # Errors
    ///
    /// When rows stand at three positions each and the decoder's frequencies are not divided among them.
    pub(super) fn tables(
        &self,
        positions: RowPositions<'_>,
        head_dim: usize,
        device: &Device,
    ) -> Result<Rotary> {
        let frequencies = self.frequencies(head_dim);
        let angles: Vec<f32> = match positions {
            RowPositions::Plain(positions) => positions
                .iter()
                .flat_map(|position| frequencies.iter().map(move |f| *position as f32 * f))
                .collect(),
            RowPositions::Multimodal(positions) => {
                let axes = self.axes(frequencies.len())?;
                let turned = |position: &[u32; 3]| {
                    let slots = frequencies.iter().zip(&axes);
                    let angles = slots.map(|(f, axis)| position[*axis] as f32 * f);
                    angles.collect::<Vec<f32>>()
                };
                positions.iter().flat_map(turned).collect()
            }
        };
        let table = |turn: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|angle| turn(*angle)).collect();
            Tensor::from_vec(values, (positions.len(), frequencies.len()), device)
        };
        Ok(Rotary {
            cos: table(f32::cos)?,
            sin: table(f32::sin)?,
        })
    }

    /// Which of a row's three positions each frequency turns by.
    fn axes(&self, frequencies: usize) -> Result<Vec<usize>> {
        let Some(sections) = self.sections else {
            bail!("rows at a time, a height and a width in a decoder of plain positions");
        };
        if sections.iter().sum::<usize>() != frequencies {
            bail!("sections {sections:?} of `{frequencies}` frequencies");
        }
        let axes = sections.into_iter().enumerate();
        Ok(axes
            .flat_map(|(axis, len)| std::iter::repeat_n(axis, len))
            .collect())
    }
}

impl RopeScaling {
    fn stretch(self, frequency: f32) -> f32 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor as f32,
            Self::Llama3 {
                factor,
                low_frequency,
                high_frequency,
                original_positions,
            } => {
                let factor = factor as f32;
                let original = original_positions as f32;
                let wave = TAU / frequency;
                if wave > original / low_frequency as f32 {
                    frequency / factor
                } else if wave < original / high_frequency as f32 {
                    frequency
                } else {
                    let kept = (original / wave - low_frequency as f32)
                        / (high_frequency - low_frequency) as f32;
                    (1.0 - kept) * frequency / factor + kept * frequency
                }
            }
        }
    }
}

/// Cosines and sines of the rows' angles.
///
/// # Shapes
///
/// Both `[rows, head_dim / 2]`, in `f32`.
#[derive(Debug)]
pub(super) struct Rotary {
    pub(super) cos: Tensor,
    pub(super) sin: Tensor,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let apart = (found / expected - 1.0).abs();
            assert!(apart < 3e-7, "{found} for {expected}");
        }
    }

    #[test]
    fn frequencies_are_those_of_the_reference() {
        // `ROPE_INIT_FUNCTIONS` of transformers 4.57.6, heads of 16.
        let of = |scaling| {
            let theta = 500_000.0;
            Rope {
                theta,
                scaling,
                sections: None,
            }
            .frequencies(16)
        };
        let plain = [
            1.0,
            0.193_922_76,
            0.037_606_03,
            0.007_292_665,
            0.001_414_213_4,
            0.000_274_248_2,
            5.318_295_7e-5,
            1.031_338_5e-5,
        ];
        assert_close(&of(RopeScaling::None), &plain);
        let linear = RopeScaling::Linear { factor: 4.0 };
        assert_close(&of(linear), &plain.map(|frequency| frequency / 4.0));
        let llama3 = RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency: 1.0,
            high_frequency: 4.0,
            original_positions: 8192,
        };
        let mut expected = plain;
        expected[4] = 0.000_524_846;
        for stretched in &mut expected[5..] {
            *stretched /= 8.0;
        }
        assert_close(&of(llama3), &expected);
    }

    const ROPE: Rope = Rope {
        theta: 100.0,
        scaling: RopeScaling::None,
        sections: None,
    };

    fn values(tables: &Rotary) -> [Vec<Vec<f32>>; 2] {
        [&tables.cos, &tables.sin].map(|table| table.to_vec2().expect("rows of frequencies"))
    }

    #[test]
    fn tables_turn_each_pair_by_its_position() {
        let tables = ROPE
            .tables(RowPositions::Plain(&[0, 3]), 4, &Device::Cpu)
            .expect("on the processor");
        let [cos, sin] = values(&tables);
        assert_eq!(
            (cos[0].as_slice(), sin[0].as_slice()),
            (&[1.0, 1.0][..], &[0.0, 0.0][..])
        );
        assert_close(&cos[1], &[3.0_f32.cos(), 0.3_f32.cos()]);
        assert_close(&sin[1], &[3.0_f32.sin(), 0.3_f32.sin()]);
    }

    #[test]
    fn frequencies_are_divided_among_time_height_and_width() {
        let rope = Rope {
            sections: Some([1, 2, 1]),
            ..ROPE
        };
        let frequencies = rope.frequencies(8);
        let tables = rope
            .tables(RowPositions::Multimodal(&[[5, 7, 11]]), 8, &Device::Cpu)
            .expect("on the processor");
        let [cos, _] = values(&tables);
        let angles = [5.0, 7.0, 7.0, 11.0];
        let expected: Vec<f32> = angles
            .iter()
            .zip(&frequencies)
            .map(|(position, frequency)| (position * frequency).cos())
            .collect();
        assert_eq!(cos[0], expected);
    }

    #[test]
    fn words_stand_where_plain_positions_put_them() {
        let rope = Rope {
            sections: Some([1, 2, 1]),
            ..ROPE
        };
        let tables = |positions| values(&rope.tables(positions, 8, &Device::Cpu).expect("here"));
        assert_eq!(
            tables(RowPositions::Multimodal(&[[4; 3], [9; 3]])),
            tables(RowPositions::Plain(&[4, 9]))
        );
    }

    #[test]
    fn three_positions_need_sections_of_all_frequencies() {
        for sections in [None, Some([1, 1, 1])] {
            let rope = Rope { sections, ..ROPE };
            let positions = RowPositions::Multimodal(&[[1, 2, 3]]);
            assert!(rope.tables(positions, 8, &Device::Cpu).is_err());
        }
    }
}
