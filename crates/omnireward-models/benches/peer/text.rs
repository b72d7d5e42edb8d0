//! A text reward model on one group of responses.

use std::path::Path;

use candle_core::Tensor;
use omnireward_models::{
    Forest, Head, Row, TokenTree,
    decoder::{Decoder, DecoderConfig},
    weights::Weights,
};

use crate::{
    Case, Error, Work,
    inputs::{Inputs, place_features},
};

pub(crate) struct Text {
    reader: Reader,
    sequences: Vec<Vec<Row>>,
}

impl Text {
    pub(crate) fn open(case: &Case, inputs: &Path) -> Result<Self, Error> {
        let weights = Weights::open(case.checkpoint()?)?;
        Ok(Self {
            reader: Reader::open(case, &weights, "model")?,
            sequences: Inputs::read(inputs)?.sequences,
        })
    }
}

impl Work for Text {
    fn run(&self) -> Result<Vec<f64>, Error> {
        let tree = TokenTree::new(&self.sequences);
        self.reader.rewards(&[&tree], &[])
    }
}

/// Decoder and head.
pub(crate) struct Reader {
    decoder: Decoder,
    head: Head,
}

impl Reader {
    pub(crate) fn open(case: &Case, weights: &Weights, prefix: &str) -> Result<Self, Error> {
        let folder = case.checkpoint()?;
        let path = folder.join("config.json");
        let config =
            DecoderConfig::from_json(&serde_json::from_slice(&std::fs::read(&path)?)?, &path)?;
        let placement = case.placement();
        Ok(Self {
            decoder: Decoder::load(&config, &weights.scope(prefix, &placement))?,
            head: Head::load(weights, folder, config.hidden, &placement)?,
        })
    }

    /// The rewards of all sequences of `trees`, computed as one stream. The media of all trees are the same.
    pub(crate) fn rewards(
        &self,
        trees: &[&TokenTree],
        features: &[Tensor],
    ) -> Result<Vec<f64>, Error> {
        let trees: Vec<(&TokenTree, usize)> = trees.iter().map(|tree| (*tree, 0)).collect();
        let forest = Forest::new(&trees);
        let tokens: Vec<u32> = forest.rows.iter().map(|row| row.token).collect();
        let mut inputs = self.decoder.embed(&tokens)?;
        if !features.is_empty() {
            inputs = place_features(&inputs, &forest.rows, features)?;
        }
        let reads = forest.reads.concat();
        let hidden = self
            .decoder
            .forward(&inputs, &forest.positions, &forest.layout, &reads)?;
        Ok(self.head.rewards(&hidden)?)
    }
}
