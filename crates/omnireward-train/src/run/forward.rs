//! From examples to rewards and back to gradients.

use std::ops::AddAssign;

use candle_core::{DType, Tensor, Var, backprop::GradStore};
use omnireward_core::Task;
use omnireward_models::{
    Features, Forest, RewardNetwork, Row, TokenTree, decoder::Pass, ops::pull_back,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::data::Example;
use crate::{
    Error, Result,
    objective::{Evaluation, Item, Objective},
    recipe::TrainRecipe,
};

/// One example as a token tree.
pub(super) struct Planted<'a> {
    pub(super) example: &'a Example,
    pub(super) tree: TokenTree,
    /// Which of the step's media the tree's media are.
    pub(super) media: Vec<usize>,
    /// The words of the best response, where they are learned.
    pub(super) words: Vec<NextWord>,
}

/// A token to be foretold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NextWord {
    /// The row before it, by its place in the tree.
    pub(super) after: usize,
    /// The token.
    pub(super) token: u32,
    /// Tokens of the response it belongs to.
    pub(super) of: usize,
}

/// Trees that go through the decoder together.
pub(super) struct Stream<'a> {
    trees: Vec<Planted<'a>>,
    forest: Forest,
    /// Rows that rewards are read at.
    rewarded: Vec<usize>,
    /// Rows that are read: those, and then the rows before each word that is learned.
    reads: Vec<usize>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(trees: Vec<Planted<'a>>) -> Self {
        let mut offset = 0;
        let placed: Vec<(&TokenTree, usize)> = trees
            .iter()
            .map(|planted| {
                let start = offset;
                offset += planted.media.len();
                (&planted.tree, start)
            })
            .collect();
        let forest = Forest::new(&placed);
        let rewarded: Vec<usize> = forest.reads.iter().flatten().copied().collect();
        let mut start = 0;
        let words = trees.iter().flat_map(|planted| {
            let first = start;
            start += planted.tree.rows();
            planted.words.iter().map(move |word| first + word.after)
        });
        Self {
            reads: rewarded.iter().copied().chain(words).collect(),
            rewarded,
            trees,
            forest,
        }
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.forest.rows
    }

    /// What is asked of the rewards, which stand in the order of the reads.
    pub(super) fn items(&self) -> Vec<Item> {
        let mut start = 0;
        self.trees
            .iter()
            .zip(&self.forest.reads)
            .map(|(planted, reads)| {
                let responses = start..start + reads.len();
                start = responses.end;
                Item {
                    responses,
                    judgement: planted.example.judgement.clone(),
                    weight: planted.example.weight,
                    share: 1.0 - planted.example.language_modelling,
                    margin: planted.example.margin,
                }
            })
            .collect()
    }

    /// Which of the step's media its own are.
    fn media(&self) -> Vec<usize> {
        let media = self.trees.iter().flat_map(|planted| &planted.media);
        media.copied().collect()
    }

    /// Tokens of all its sequences, those that several share counted for each.
    pub(super) fn tokens(&self) -> u64 {
        let ends = self
            .rewarded
            .iter()
            .map(|&read| u64::from(self.forest.positions[read]) + 1);
        ends.sum()
    }

    /// The words that are learned, each with what it counts: the words of a response count together what its pair's share
    /// of them does.
    fn words(&self) -> impl Iterator<Item = (u32, f64)> {
        self.trees.iter().flat_map(|planted| {
            let weight = planted.example.weight * planted.example.language_modelling;
            let words = planted.words.iter();
            words.map(move |word| (word.token, weight / word.of as f64))
        })
    }

    /// The task of each of its pairs.
    pub(super) fn tasks(&self) -> impl Iterator<Item = Task> {
        self.trees.iter().map(|planted| planted.example.pair.task)
    }

    /// The ids of its pairs, for messages.
    pub(super) fn pairs(&self) -> Vec<String> {
        let ids = self
            .trees
            .iter()
            .map(|planted| planted.example.pair.id.clone());
        ids.collect()
    }
}

/// Numbers that are dropped from the hidden states before the head, with the seed of which ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropout {
    share: f64,
    seed: u64,
    stream: u64,
}

impl Dropout {
    /// What is dropped after so many steps, in the first stream of micro-batch `piece`.
    pub(super) fn new(train: &TrainRecipe, steps: u64, piece: usize) -> Self {
        Self {
            share: train.head_dropout,
            seed: train.seed,
            stream: (steps << 32) + ((piece as u64) << 16),
        }
    }

    /// The same for another stream of the micro-batch.
    pub(super) fn of_stream(self, number: usize) -> Self {
        Self {
            stream: self.stream + number as u64,
            ..self
        }
    }

    /// Sets a share of the numbers to zero and enlarges the others so that the mean stays (Srivastava et al. 2014).
    fn apply(self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        if self.share == 0.0 {
            return Ok(hidden.clone());
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(self.stream);
        let kept = 1.0 / (1.0 - self.share);
        let mask: Vec<f32> = (0..hidden.elem_count())
            .map(|_| {
                if random.random::<f64>() < self.share {
                    0.0
                } else {
                    kept as f32
                }
            })
            .collect();
        hidden * Tensor::from_vec(mask, hidden.dims(), hidden.device())?
    }
}

/// The network as it is in one step, and what is asked of it.
#[derive(Clone, Copy)]
pub(super) struct Learner<'a> {
    pub(super) network: &'a RewardNetwork,
    pub(super) objective: &'a Objective,
    /// The parameter of ties.
    pub(super) tie: f64,
    pub(super) checkpointing: bool,
    /// The lowest layer that something is trained in; 0 when it is below the decoder.
    pub(super) lowest_stage: usize,
    /// Steps done.
    pub(super) step: u64,
}

/// Where gradients go: those of one backward pass at a time, perhaps of a part of the network.
pub(super) type Sink<'a> = dyn FnMut(GradStore) -> Result<()> + 'a;

impl Learner<'_> {
    /// The rewards of a stream, without a graph.
    pub(super) fn rewards(self, stream: &Stream<'_>, features: &Features) -> Result<Vec<f64>> {
        let decoder = self.network.decoder();
        let inputs = self
            .network
            .inputs(stream.rows(), features, &stream.media())?;
        let pass = self.pass(stream, &stream.rewarded, &inputs)?;
        let mut hidden = inputs.detach();
        for stage in 0..decoder.stages() {
            hidden = decoder.stage(stage, hidden, &pass)?.detach();
        }
        let hidden = decoder.finish(&hidden, &pass)?.detach();
        Ok(self.network.head().rewards(&hidden)?)
    }

    /// Evaluates a stream and gives the gradient of its loss to `sink`.
    pub(super) fn learn(
        self,
        stream: &Stream<'_>,
        media: &mut StepMedia,
        dropout: Dropout,
        sink: &mut Sink<'_>,
    ) -> Result<Judged> {
        if self.checkpointing {
            self.learn_by_stages(stream, media, dropout, sink)
        } else {
            self.learn_at_once(stream, media, dropout, sink)
        }
    }

    fn learn_at_once(
        self,
        stream: &Stream<'_>,
        media: &mut StepMedia,
        dropout: Dropout,
        sink: &mut Sink<'_>,
    ) -> Result<Judged> {
        let decoder = self.network.decoder();
        let inputs = self
            .network
            .inputs(stream.rows(), &media.features, &stream.media())?;
        let hidden = decoder.forward(
            &inputs,
            &stream.forest.positions,
            &stream.forest.layout,
            &stream.reads,
        )?;
        drop(inputs);
        let (judged, loss) = self.judge(&hidden, stream, dropout)?;
        drop(hidden);
        loss.pull(None, media, sink)?;
        Ok(judged)
    }

    /// Keeps only what goes into each layer, and computes a layer again when its gradient is wanted (Chen et al. 2016).
    fn learn_by_stages(
        self,
        stream: &Stream<'_>,
        media: &mut StepMedia,
        dropout: Dropout,
        sink: &mut Sink<'_>,
    ) -> Result<Judged> {
        let decoder = self.network.decoder();
        let inputs = self
            .network
            .inputs(stream.rows(), &media.features, &stream.media())?;
        let pass = self.pass(stream, &stream.reads, &inputs)?;
        let mut kept = vec![inputs.detach()];
        for stage in 0..decoder.stages() {
            let before = kept[stage].clone();
            kept.push(decoder.stage(stage, before, &pass)?.detach());
        }
        let last = leaf(kept.pop())?;
        let hidden = decoder.finish(&last, &pass)?;
        let (judged, loss) = self.judge(&hidden, stream, dropout)?;
        drop(hidden);
        let mut gradient = loss.pull(Some(&last), media, sink)?;
        for stage in (self.lowest_stage..self.network.decoder().stages()).rev() {
            let Some(after_gradient) = gradient else {
                return Ok(judged);
            };
            let before = leaf(kept.pop())?;
            let after = self
                .network
                .decoder()
                .stage(stage, before.as_tensor().clone(), &pass)?;
            gradient = pull(after, &after_gradient, Some(&before), media, sink)?;
        }
        if let Some(gradient) = gradient.filter(|_| self.lowest_stage == 0) {
            pull(inputs, &gradient, None, media, sink)?;
        }
        Ok(judged)
    }

    fn pass(self, stream: &Stream<'_>, reads: &[usize], inputs: &Tensor) -> Result<Pass> {
        Ok(self.network.decoder().pass(
            &stream.forest.positions,
            &stream.forest.layout,
            reads,
            inputs.device(),
        )?)
    }

    /// What the objective makes of hidden states, and the loss that is to flow back.
    fn judge(
        self,
        hidden: &Tensor,
        stream: &Stream<'_>,
        dropout: Dropout,
    ) -> Result<(Judged, Loss)> {
        let hidden = hidden.to_dtype(DType::F32)?;
        let rewarded = dropout.apply(&hidden.narrow(0, 0, stream.rewarded.len())?)?;
        let rewards = self.network.head().forward(&rewarded)?;
        let values: Vec<f64> = rewards
            .to_vec1::<f32>()?
            .into_iter()
            .map(f64::from)
            .collect();
        let evaluation = self.objective.evaluate(&values, &stream.items(), self.tie);
        let gradient: Vec<f32> = evaluation.gradient.iter().map(|&g| g as f32).collect();
        let gradient = Tensor::from_vec(gradient, values.len(), rewards.device())?;
        let (words, loss) = if stream.reads.len() > stream.rewarded.len() {
            let (words, loss) = self.words(&hidden, stream)?;
            (words, loss.and(&rewards, &gradient)?)
        } else {
            let loss = Loss {
                of: rewards,
                gradient,
            };
            (Words::default(), loss)
        };
        if !(evaluation.loss + words.loss).is_finite() {
            return Err(Error::NotFinite {
                what: "loss",
                step: self.step + 1,
                pairs: stream.pairs(),
            });
        }
        Ok((Judged { evaluation, words }, loss))
    }

    /// How well the words of the best responses are foretold: `−log p(word | what stands before it)`.
    fn words(self, hidden: &Tensor, stream: &Stream<'_>) -> Result<(Words, Loss)> {
        let first = stream.rewarded.len();
        let hidden = hidden.narrow(0, first, stream.reads.len() - first)?;
        let logits = self.network.decoder().logits(&hidden)?;
        let (tokens, weights): (Vec<u32>, Vec<f64>) = stream.words().unzip();
        let count = tokens.len();
        let device = logits.device();
        let highest = logits.max_keepdim(1)?.detach();
        let shifted = logits.broadcast_sub(&highest)?;
        let normaliser = shifted.exp()?.sum_keepdim(1)?.log()?;
        let said = shifted.gather(&Tensor::from_vec(tokens, (count, 1), device)?, 1)?;
        let of = (normaliser - said)?.flatten_all()?;
        let losses = of.to_vec1::<f32>()?;
        let gradient = weights.into_iter().map(|weight| weight as f32).collect();
        let words = Words {
            loss: losses.into_iter().map(f64::from).sum(),
            words: count as u64,
        };
        let gradient = Tensor::from_vec(gradient, count, device)?;
        Ok((words, Loss { of, gradient }))
    }
}

/// What a stream gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Judged {
    pub(super) evaluation: Evaluation,
    pub(super) words: Words,
}

impl AddAssign for Judged {
    fn add_assign(&mut self, other: Self) {
        self.evaluation += other.evaluation;
        self.words += other.words;
    }
}

/// How unlikely words were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Words {
    /// The sum of `−log p`.
    pub(super) loss: f64,
    /// How many words it is over.
    pub(super) words: u64,
}

impl Words {
    /// The mean over words; nothing where there are none.
    pub(super) fn mean(self) -> Option<f64> {
        (self.words > 0).then(|| self.loss / self.words as f64)
    }
}

impl AddAssign for Words {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.words += other.words;
    }
}

/// Numbers at the end of the graph, with the gradient of the loss by them.
struct Loss {
    of: Tensor,
    gradient: Tensor,
}

impl Loss {
    /// The same loss, with that of other numbers.
    fn and(self, of: &Tensor, gradient: &Tensor) -> Result<Self> {
        Ok(Self {
            of: Tensor::cat(&[&self.of, of], 0)?,
            gradient: Tensor::cat(&[&self.gradient, gradient], 0)?,
        })
    }

    fn pull(
        self,
        of: Option<&Var>,
        media: &mut StepMedia,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Tensor>> {
        pull(self.of, &self.gradient, of, media, sink)
    }
}

/// Gives the gradients below `out`, whose own is known, to `sink`, and returns that of `of`, if it has one.
fn pull(
    out: Tensor,
    gradient: &Tensor,
    of: Option<&Var>,
    media: &mut StepMedia,
    sink: &mut Sink<'_>,
) -> Result<Option<Tensor>> {
    if !out.track_op() {
        // Nothing that is trained is below.
        return Ok(None);
    }
    let mut gradients = pull_back(&out, gradient)?;
    drop(out);
    media.collect(&mut gradients)?;
    let gradient = of.and_then(|of| gradients.remove(of.as_tensor()));
    sink(gradients)?;
    Ok(gradient)
}

/// The features of a step's media, and where towers are trained, the gradient they receive.
pub(super) struct StepMedia {
    /// As the decoder takes them: where towers are trained, a leaf.
    features: Features,
    /// As trained towers gave them.
    computed: Option<Tensor>,
    gradient: Option<Tensor>,
}

impl StepMedia {
    pub(super) fn new(features: Features, are_trained: bool) -> Result<Self> {
        if are_trained {
            Self::trained(features)
        } else {
            Ok(Self::frozen(features))
        }
    }

    /// Features whose towers stay as they are.
    fn frozen(features: Features) -> Self {
        Self {
            features,
            computed: None,
            gradient: None,
        }
    }

    /// Features that towers are to be trained by.
    fn trained(features: Features) -> Result<Self> {
        let leaf = features
            .rows
            .as_ref()
            .map(|rows| Ok::<_, Error>(Var::from_tensor(&rows.detach())?.into_inner()))
            .transpose()?;
        Ok(Self {
            features: Features {
                rows: leaf,
                starts: features.starts,
            },
            computed: features.rows,
            gradient: None,
        })
    }

    /// Lets the gradients that features have received flow into the towers, in one go for all streams.
    pub(super) fn learn(self, sink: &mut Sink<'_>) -> Result<()> {
        match (self.computed, self.gradient) {
            (Some(computed), Some(gradient)) => sink(pull_back(&computed, &gradient)?),
            _ => Ok(()),
        }
    }

    fn collect(&mut self, gradients: &mut GradStore) -> Result<()> {
        let rows = self.features.rows.as_ref();
        if let Some(gradient) = rows.and_then(|rows| gradients.remove(rows)) {
            self.gradient = Some(match self.gradient.take() {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            });
        }
        Ok(())
    }
}

/// A tensor that gets a gradient of its own.
fn leaf(tensor: Option<Tensor>) -> Result<Var> {
    let tensor = tensor.expect("one is kept for every stage");
    Ok(Var::from_tensor(&tensor)?)
}
