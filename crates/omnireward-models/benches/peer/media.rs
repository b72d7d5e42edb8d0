//! A MiniCPM-o-2.6 on one pair, judged by one criterion or several.

use std::path::Path;

use omnireward_models::{
    TokenTree,
    minicpm_o::{Config, Towers, weights as parts},
    weights::Weights,
};

use crate::{Case, Error, Work, inputs::Inputs, text::Reader};

/// Rows that go through the decoder at once, as far as whole pairs allow.
const ROWS: usize = 4096;

pub(crate) struct Media {
    towers: Towers,
    reader: Reader,
    inputs: Inputs,
    responses: usize,
}

impl Media {
    pub(crate) fn open(case: &Case, inputs: &Path) -> Result<Self, Error> {
        let folder = case.checkpoint()?;
        let weights = Weights::open(folder)?;
        Ok(Self {
            towers: Towers::load(&Config::read(folder)?, &weights, &case.placement())?,
            reader: Reader::open(case, &weights, parts::DECODER)?,
            inputs: Inputs::read(inputs)?,
            responses: case.responses,
        })
    }
}

impl Work for Media {
    fn run(&self) -> Result<Vec<f64>, Error> {
        // Once, for both responses and all criteria.
        let mut features = self.towers.encode_images(&self.inputs.images)?;
        for clip in &self.inputs.clips {
            features.push(self.towers.encode_audio(clip)?);
        }
        let criteria = self.inputs.sequences.chunks(self.responses);
        let trees: Vec<TokenTree> = criteria.map(TokenTree::new).collect();
        let mut rewards = Vec::new();
        for batch in batches(&trees) {
            rewards.extend(self.reader.rewards(&batch, &features)?);
        }
        Ok(rewards)
    }
}

fn batches(trees: &[TokenTree]) -> Vec<Vec<&TokenTree>> {
    let mut batches: Vec<Vec<&TokenTree>> = Vec::new();
    let mut rows = ROWS;
    for tree in trees {
        if rows + tree.rows() > ROWS {
            batches.push(Vec::new());
            rows = 0;
        }
        rows += tree.rows();
        if let Some(batch) = batches.last_mut() {
            batch.push(tree);
        }
    }
    batches
}
