use candle_core::{Tensor, TensorId};

use crate::{Error, Features, Result, Row, decoder::Decoder, ops};

/// What a reply follows: the rows of a conversation, up to where the model goes on.
///
/// A copy of a prompt is known to be the same, features included, so what copies share is computed once; so is what
/// prompts have in common at their beginning, up to the first row of a medium that another tensor holds.
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    /// Tokens, and places of features.
    pub rows: Vec<Row>,
    /// Where each row stands.
    pub positions: Positions,
    /// The features of the media that rows name.
    pub features: Features,
}

/// The positions of a prompt's rows, and of the tokens that come after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Positions {
    /// 0, 1, 2, …, and on.
    #[default]
    Plain,
    /// Time, height and width of each row, and the position, in all three, of the first token after them.
    Multimodal(Vec<[u32; 3]>, u32),
}

/// What makes two rows at the same depth of two prompts the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    token: u32,
    feature: Option<(TensorId, usize)>,
    pub(super) position: [u32; 3],
}

impl Prompt {
    /// A prompt of words.
    pub fn of_tokens(tokens: &[u32]) -> Self {
        Self {
            rows: tokens.iter().copied().map(Row::token).collect(),
            ..Self::default()
        }
    }

    /// Adds tokens to the end: a beginning of the reply that is given.
    pub fn go_on(&mut self, tokens: &[u32]) {
        self.rows.extend(tokens.iter().copied().map(Row::token));
        if let Positions::Multimodal(positions, next) = &mut self.positions {
            for _ in tokens {
                positions.push([*next; 3]);
                *next += 1;
            }
        }
    }

    /// The position of the first token after the prompt.
    pub(super) fn next_position(&self) -> u32 {
        match &self.positions {
            Positions::Plain => self.rows.len() as u32,
            Positions::Multimodal(_, next) => *next,
        }
    }

    /// What each row is known by.
    ///
    /// # Errors
    ///
    /// Fails when the prompt is empty, has another number of positions than of rows, or names a feature that it does
    /// not have.
    pub(super) fn keys(&self) -> Result<Vec<Key>> {
        if self.rows.is_empty() {
            return Err(unusable("the prompt is empty"));
        }
        if let Positions::Multimodal(positions, _) = &self.positions
            && positions.len() != self.rows.len()
        {
            return Err(unusable(format!(
                "the prompt has `{}` rows and `{}` positions",
                self.rows.len(),
                positions.len()
            )));
        }
        let rows = self.rows.iter().enumerate();
        rows.map(|(index, row)| {
            Ok(Key {
                token: row.token,
                feature: self.feature(*row)?,
                position: match &self.positions {
                    Positions::Plain => [index as u32; 3],
                    Positions::Multimodal(positions, _) => positions[index],
                },
            })
        })
        .collect()
    }

    /// The tensor and the row in it that stand in the place of a row's token.
    fn feature(&self, row: Row) -> Result<Option<(TensorId, usize)>> {
        let Some(feature) = row.feature else {
            return Ok(None);
        };
        let start = self.features.starts.get(feature.medium);
        let (Some(table), Some(start)) = (&self.features.rows, start) else {
            return Err(unusable(format!(
                "the prompt has no medium `{}`",
                feature.medium
            )));
        };
        let place = start + feature.row;
        if place >= table.dim(0)? {
            return Err(unusable(format!(
                "medium `{}` of the prompt has no row `{}`",
                feature.medium, feature.row
            )));
        }
        Ok(Some((table.id(), place)))
    }
}

/// The embeddings of rows of several prompts, with features in the places of media.
///
/// # Shapes
///
/// Returns `[rows, hidden]`.
pub(super) fn embed(decoder: &Decoder, rows: &[(Row, &Features)]) -> Result<Tensor> {
    let words = rows.iter().filter(|(row, _)| row.feature.is_none());
    let tokens: Vec<u32> = words.map(|(row, _)| row.token).collect();
    if tokens.len() == rows.len() {
        return decoder.embed(&tokens);
    }
    let mut parts = Vec::new();
    if !tokens.is_empty() {
        parts.push(decoder.embed(&tokens)?);
    }
    let mut known: Vec<(TensorId, usize)> = Vec::new();
    let (mut word, mut end) = (0_usize, tokens.len());
    let mut places = Vec::with_capacity(rows.len());
    for (row, features) in rows {
        let (Some(feature), Some(table)) = (row.feature, &features.rows) else {
            places.push(word as u32);
            word += 1;
            continue;
        };
        let place = known.iter().find(|(id, _)| *id == table.id());
        let first = if let Some((_, first)) = place {
            *first
        } else {
            known.push((table.id(), end));
            parts.push(table.to_dtype(decoder.placement().dtype)?);
            end += table.dim(0)?;
            end - table.dim(0)?
        };
        places.push((first + features.starts[feature.medium] + feature.row) as u32);
    }
    let all = match &parts[..] {
        [only] => only.clone(),
        _ => Tensor::cat(&parts, 0)?,
    };
    Ok(ops::rows(&all, &places)?)
}

/// A request that cannot be met.
pub(super) fn unusable(reason: impl Into<String>) -> Error {
    Error::Request {
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::Feature;

    fn seeing(positions: Positions) -> Prompt {
        let feature = |row| Row {
            token: 9,
            feature: Some(Feature { medium: 0, row }),
        };
        Prompt {
            rows: vec![Row::token(1), feature(0), feature(1)],
            positions,
            features: Features {
                rows: Some(Tensor::zeros((2, 4), DType::F32, &Device::Cpu).unwrap()),
                starts: vec![0],
            },
        }
    }

    #[test]
    fn copies_are_the_same_and_other_media_are_not() {
        let prompt = seeing(Positions::Plain);
        let keys = prompt.keys().unwrap();
        assert_eq!(keys, prompt.clone().keys().unwrap());
        let other = seeing(Positions::Plain).keys().unwrap();
        assert_eq!(keys[0], other[0]);
        assert_ne!(keys[1], other[1]);
        let moved = seeing(Positions::Multimodal(vec![[0; 3], [1; 3], [1, 1, 2]], 3));
        assert_eq!(keys[0], moved.keys().unwrap()[0]);
        assert_eq!((prompt.next_position(), moved.next_position()), (3, 3));
        let [mut prompt, mut moved] = [prompt, moved];
        for prompt in [&mut prompt, &mut moved] {
            prompt.go_on(&[5, 6]);
        }
        assert_eq!(prompt.next_position(), 5);
        let keys = moved.keys().unwrap();
        assert_eq!((keys[4].position, moved.next_position()), ([4; 3], 5));
    }

    #[test]
    fn a_prompt_that_does_not_hold_together_is_refused() {
        let said = |prompt: Prompt| prompt.keys().unwrap_err().to_string();
        assert!(said(Prompt::default()).contains("empty"));
        assert!(said(seeing(Positions::Multimodal(vec![[0; 3]], 1))).contains("`1` positions"));
        let mut prompt = seeing(Positions::Plain);
        prompt.rows[2].feature = Some(Feature { medium: 0, row: 2 });
        assert!(said(prompt.clone()).contains("no row `2`"));
        prompt.rows[2].feature = Some(Feature { medium: 1, row: 0 });
        assert!(said(prompt).contains("no medium `1`"));
    }
}
