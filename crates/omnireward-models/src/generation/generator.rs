use std::{collections::VecDeque, ops::Range, sync::Arc};

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::{
    Features, Result, Row,
    decoder::{Continuation, Decoder, DecoderConfig, RowPositions},
    generation::{
        Constraint, Prompt, Reply, Sampling, Stop, Watched, Words,
        cache::{Cache, Opened, PAGE, Tail, pages},
        prompt::{Key, Positions, embed, unusable},
        reply::{Draft, End, Terms},
        sampling::Sampler,
    },
    ops::{AttentionItem, AttentionLayout, Visibility},
};

/// A prompt, and how it is answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the replies follow.
    pub prompt: Prompt,
    /// The numbers of the replies to write. Each number has draws of its own, so that replies can be added to earlier
    /// ones.
    pub samples: Range<u64>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// What ends a reply before its longest length.
    pub stop: Stop,
    /// What a reply is to end with.
    pub constraint: Option<Constraint>,
    /// What a reply is expected to choose between by itself.
    pub watched: Option<Watched>,
}

/// Tells requests of one generator apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// A reply that is whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// What it answers.
    pub request: RequestId,
    /// Its number among the request's samples.
    pub sample: u64,
    /// What was written.
    pub reply: Reply,
}

/// What a generator may use. None of it changes a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratorOptions {
    /// Rows whose keys and values are kept at most, those of prompts and of replies at their longest together.
    pub rows: usize,
    /// About how many rows of prompts are computed at once, which bounds the memory of activations.
    pub batch_rows: usize,
}

impl Default for GeneratorOptions {
    /// 65,536 rows kept, 4096 computed at once.
    fn default() -> Self {
        Self {
            rows: 1 << 16,
            batch_rows: 4096,
        }
    }
}

/// Writes replies to many prompts at once.
///
/// Rows that prompts begin alike with are computed once, whether they are samples of one prompt, a pair in both orders,
/// or prompts that came earlier. Each [step](Self::step) takes up new requests as there is room for them and gives every
/// reply one more token; a reply that ends makes room at once. What a reply says does not depend on what is written
/// beside it, nor on when it was asked for.
///
/// ```
/// # use omnireward_models::{decoder::Decoder, generation::*};
/// # fn both(decoder: &Decoder, prompt: Prompt) -> omnireward_models::Result<()> {
/// let mut generator = Generator::new(decoder, GeneratorOptions::default())?;
/// let sampling = Sampling { temperature: 1.0, max_tokens: 64, ..Sampling::default() };
/// generator.add(Request { prompt, samples: 0..8, sampling, stop: Stop::default(), constraint: None, watched: None })?;
/// let replies = generator.run()?;
/// # assert_eq!(replies.len(), 8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Generator<'a> {
    decoder: &'a Decoder,
    options: GeneratorOptions,
    words: Option<Words>,
    cache: Cache,
    /// Only the first may have replies that have begun and others that have not.
    waiting: VecDeque<Job>,
    live: Vec<Branch>,
    next: u64,
}

/// A request, some of whose replies have not begun.
#[derive(Debug)]
struct Job {
    id: RequestId,
    prompt: Prompt,
    keys: Vec<Key>,
    /// Those that have not begun.
    samples: Range<u64>,
    sampling: Sampling,
    terms: Arc<Terms>,
    /// Pages that a reply takes at most.
    pages: usize,
    begun: Option<Begun>,
}

/// What the replies of a job begin with.
#[derive(Debug)]
struct Begun {
    trunk: u64,
    /// Scores of the first token.
    logits: Vec<f32>,
}

/// A reply that is being written.
#[derive(Debug)]
struct Branch {
    request: RequestId,
    sample: u64,
    draft: Draft,
    tail: Tail,
    /// Of its first token.
    position: u32,
}

/// A prompt that is taken up in this step.
struct Opening {
    trunk: u64,
    /// Rows of the prompt that are there already.
    shared: usize,
    tails: Vec<Tail>,
}

/// Rows of a prompt that are computed together.
struct Piece {
    opening: usize,
    rows: Range<usize>,
}

impl<'a> Generator<'a> {
    /// A generator that writes with `decoder`, which has its language-model head.
    pub fn new(decoder: &'a Decoder, options: GeneratorOptions) -> Result<Self> {
        Ok(Self {
            decoder,
            options,
            words: None,
            cache: Cache::new(decoder, options.rows)?,
            waiting: VecDeque::new(),
            live: Vec::new(),
            next: 0,
        })
    }

    /// The same, able to find strings in replies.
    #[must_use]
    pub fn with_words(mut self, words: Words) -> Self {
        self.words = Some(words);
        self
    }

    /// Takes a request. Its replies begin in the order of requests, as soon as there is room.
    ///
    /// A reply is no longer than the model has positions for, whatever its longest length is.
    ///
    /// # Errors
    ///
    /// Fails when the prompt, a setting or the constraint is not valid, when strings are to be found without
    /// [words](Self::with_words), and when the prompt and one reply do not fit the model's positions or the
    /// [budget of rows](GeneratorOptions::rows).
    pub fn add(&mut self, request: Request) -> Result<RequestId> {
        let Request {
            prompt,
            samples,
            sampling,
            stop,
            constraint,
            watched,
        } = request;
        sampling.check()?;
        let config = self.decoder.config();
        let mut closing = 0;
        if let Some(constraint) = &constraint {
            constraint.check(config.vocabulary)?;
            closing = constraint.longest();
        }
        if let Some(watched) = &watched {
            watched.check(config.vocabulary)?;
        }
        let has_strings = |constraint: &Constraint| !constraint.unless.is_empty();
        let asks_for_words = !stop.strings.is_empty()
            || constraint.as_ref().is_some_and(has_strings)
            || watched.is_some();
        if asks_for_words && self.words.is_none() {
            return Err(unusable(
                "strings are to be found in replies whose words are not known",
            ));
        }
        check_rows(&prompt, config)?;
        let keys = prompt.keys()?;
        let room = config.max_positions.saturating_sub(keys.len() + closing);
        let free = sampling.max_tokens.min(room);
        if free + closing == 0 || config.max_positions < keys.len() + closing {
            return Err(unusable(format!(
                "a prompt of `{}` rows leaves no room for a reply of `{}` tokens among the model's `{}` positions",
                keys.len(),
                sampling.max_tokens + closing,
                config.max_positions
            )));
        }
        let pages_of_reply = pages(free + closing);
        let needed = pages(keys.len()) + pages_of_reply;
        if needed > self.cache.budget() {
            return Err(unusable(format!(
                "a prompt of `{}` rows and a reply of up to `{}` need `{}` rows, the budget is `{}`",
                keys.len(),
                free + closing,
                needed * PAGE,
                self.options.rows
            )));
        }
        let id = RequestId(self.next);
        self.next += 1;
        if samples.is_empty() {
            return Ok(id);
        }
        self.waiting.push_back(Job {
            id,
            prompt,
            keys,
            samples,
            sampling,
            terms: Arc::new(Terms {
                free,
                stop,
                constraint,
                watched,
            }),
            pages: pages_of_reply,
            begun: None,
        });
        Ok(id)
    }

    /// Forgets a request: what was written for it so far, and what was not begun.
    pub fn cancel(&mut self, request: RequestId) {
        if let Some(index) = self.waiting.iter().position(|job| job.id == request)
            && let Some(Job {
                begun: Some(begun), ..
            }) = self.waiting.remove(index)
        {
            self.cache.close(begun.trunk);
        }
        let (gone, live): (Vec<Branch>, Vec<Branch>) = std::mem::take(&mut self.live)
            .into_iter()
            .partition(|branch| branch.request == request);
        self.live = live;
        for branch in gone {
            self.cache.retire(branch.tail);
        }
    }

    /// Whether every request has been answered.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.live.is_empty()
    }

    /// Gives every reply its next token and takes up new requests as there is room; returns the replies that have ended.
    ///
    /// # Errors
    ///
    /// When a tensor operation fails or the model's scores are not finite. All requests are gone then.
    pub fn step(&mut self) -> Result<Vec<Finished>> {
        let mut finished = Vec::new();
        let stepped = self
            .decode(&mut finished)
            .and_then(|()| self.admit(&mut finished));
        match stepped {
            Ok(()) => Ok(finished),
            Err(error) => {
                self.clear()?;
                Err(error)
            }
        }
    }

    /// Steps until every request has been answered; returns all replies, by request and sample.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn run(&mut self) -> Result<Vec<Finished>> {
        let mut finished = Vec::new();
        while !self.is_idle() {
            finished.extend(self.step()?);
        }
        finished.sort_by_key(|finished| (finished.request, finished.sample));
        Ok(finished)
    }

    /// Forgets everything: for a decoder whose weights have changed, and after a failure.
    pub fn clear(&mut self) -> Result<()> {
        self.waiting.clear();
        self.live.clear();
        self.cache = Cache::new(self.decoder, self.options.rows)?;
        Ok(())
    }

    fn decode(&mut self, finished: &mut Vec<Finished>) -> Result<()> {
        if self.live.is_empty() {
            return Ok(());
        }
        let mut live = std::mem::take(&mut self.live);
        let mut tokens: Vec<u32> = Vec::with_capacity(live.len());
        let mut positions = Vec::with_capacity(live.len());
        let mut places = Vec::with_capacity(live.len());
        for branch in &mut live {
            positions.push(branch.position + branch.tail.rows() as u32);
            let place = self.cache.extend(&mut branch.tail)?;
            places.push(place..place + 1);
            tokens.extend(branch.draft.tokens().last());
        }
        let item = |(index, branch): (usize, &Branch)| AttentionItem {
            queries: index..index + 1,
            keys: self.cache.path_of(&branch.tail),
            visibility: Visibility::Causal,
        };
        let items = live.iter().enumerate().map(item).collect();
        let reads: Vec<usize> = (0..live.len()).collect();
        let logits = self.run_rows(
            &self.decoder.embed(&tokens)?,
            &Continuation {
                positions: RowPositions::Plain(&positions),
                layout: self.layout(live.len(), items),
                places: &places,
                reads: &reads,
            },
        )?;
        let logits: Vec<&[f32]> = logits.iter().map(Vec::as_slice).collect();
        self.write(live, &logits, finished)
    }

    fn admit(&mut self, finished: &mut Vec<Finished>) -> Result<()> {
        self.resume(finished)?;
        let openings = self.open()?;
        let logits = self.compute(&openings)?;
        for (opening, logits) in openings.into_iter().zip(logits) {
            // An opening is the prompt of the job in its place.
            let Some(job) = self.waiting.pop_front() else {
                break;
            };
            let begun = Begun {
                trunk: opening.trunk,
                logits,
            };
            self.begin(job, begun, opening.tails, finished)?;
        }
        Ok(())
    }

    /// Begins replies of a job that has begun, as many as there is room for.
    fn resume(&mut self, finished: &mut Vec<Finished>) -> Result<()> {
        let Some(mut job) = self.waiting.pop_front() else {
            return Ok(());
        };
        let Some(begun) = job.begun.take() else {
            self.waiting.push_front(job);
            return Ok(());
        };
        let mut tails = Vec::new();
        promise(&mut self.cache, begun.trunk, &job, &mut tails);
        self.begin(job, begun, tails, finished)
    }

    /// Begins as many replies as there are tails. The job goes on waiting if it has more.
    fn begin(
        &mut self,
        mut job: Job,
        begun: Begun,
        tails: Vec<Tail>,
        finished: &mut Vec<Finished>,
    ) -> Result<()> {
        let branches = job.begin(tails);
        let logits = vec![begun.logits.as_slice(); branches.len()];
        self.write(branches, &logits, finished)?;
        if job.samples.is_empty() {
            self.cache.close(begun.trunk);
        } else {
            job.begun = Some(begun);
            self.waiting.push_front(job);
        }
        Ok(())
    }

    /// Finds places for the prompts of the first jobs, as many as there is room for and are computed at once. All but
    /// the last have room for all of their replies.
    fn open(&mut self) -> Result<Vec<Opening>> {
        let mut openings = Vec::new();
        let mut rows = 0;
        for job in &self.waiting {
            if job.begun.is_some() || rows >= self.options.batch_rows {
                break;
            }
            let mut opened = self.cache.open(&job.keys, job.pages)?;
            if opened.is_none() && openings.is_empty() && self.live.is_empty() {
                // A trunk that is kept for prompts like this one can be too large to stay beside it.
                self.cache.forget();
                opened = self.cache.open(&job.keys, job.pages)?;
            }
            let Some(Opened {
                trunk,
                shared,
                tail,
            }) = opened
            else {
                break;
            };
            rows += job.keys.len() - shared;
            let mut tails = vec![tail];
            promise(&mut self.cache, trunk, job, &mut tails);
            let is_whole = tails.len() == job.left();
            openings.push(Opening {
                trunk,
                shared,
                tails,
            });
            if !is_whole {
                break;
            }
        }
        Ok(openings)
    }

    /// The scores of the first token after each of the prompts, of which the rows that are not there yet are computed.
    fn compute(&self, openings: &[Opening]) -> Result<Vec<Vec<f32>>> {
        let mut logits = Vec::with_capacity(openings.len());
        for batch in self.batches(openings) {
            logits.extend(self.compute_batch(openings, &batch)?);
        }
        Ok(logits)
    }

    fn batches(&self, openings: &[Opening]) -> Vec<Vec<Piece>> {
        let most = self.options.batch_rows.max(1);
        let mut batches = Vec::new();
        let (mut batch, mut room) = (Vec::new(), most);
        for (opening, Opening { shared, .. }) in openings.iter().enumerate() {
            let end = self.waiting[opening].keys.len();
            let mut start = *shared;
            while start < end {
                let len = room.min(end - start);
                batch.push(Piece {
                    opening,
                    rows: start..start + len,
                });
                start += len;
                room -= len;
                if room == 0 {
                    batches.push(std::mem::take(&mut batch));
                    room = most;
                }
            }
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }

    /// The scores after each prompt that ends in this batch.
    fn compute_batch(&self, openings: &[Opening], batch: &[Piece]) -> Result<Vec<Vec<f32>>> {
        let mut rows: Vec<(Row, &Features)> = Vec::new();
        let mut positions: Vec<[u32; 3]> = Vec::new();
        let (mut items, mut places, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_plain = true;
        for piece in batch {
            let (job, trunk) = (&self.waiting[piece.opening], openings[piece.opening].trunk);
            let first = rows.len();
            let of_piece = job.prompt.rows[piece.rows.clone()].iter();
            rows.extend(of_piece.map(|row| (*row, &job.prompt.features)));
            let keys = job.keys[piece.rows.clone()].iter();
            positions.extend(keys.map(|key| key.position));
            is_plain &= matches!(job.prompt.positions, Positions::Plain);
            items.push(AttentionItem {
                queries: first..rows.len(),
                keys: self.cache.path(trunk, piece.rows.end),
                visibility: Visibility::Causal,
            });
            places.extend(self.cache.places(trunk, piece.rows.clone()));
            if piece.rows.end == job.keys.len() {
                reads.push(rows.len() - 1);
            }
        }
        let ends = reads.len();
        if reads.is_empty() {
            // The decoder reads one at least.
            reads.push(rows.len() - 1);
        }
        let plain: Vec<u32> = positions.iter().map(|position| position[0]).collect();
        let mut logits = self.run_rows(
            &embed(self.decoder, &rows)?,
            &Continuation {
                positions: if is_plain {
                    RowPositions::Plain(&plain)
                } else {
                    RowPositions::Multimodal(&positions)
                },
                layout: self.layout(rows.len(), items),
                places: &places,
                reads: &reads,
            },
        )?;
        logits.truncate(ends);
        Ok(logits)
    }

    fn layout(&self, queries: usize, items: Vec<AttentionItem>) -> Arc<AttentionLayout> {
        Arc::new(AttentionLayout {
            queries,
            keys: self.cache.store().places(),
            items,
        })
    }

    /// The scores of all tokens after each row that is read.
    fn run_rows(&self, inputs: &Tensor, rows: &Continuation<'_>) -> Result<Vec<Vec<f32>>> {
        let hidden = self.decoder.advance(inputs, rows, self.cache.store())?;
        let logits = self.decoder.logits(&hidden)?;
        Ok(logits.to_dtype(DType::F32)?.to_vec2()?)
    }

    /// Gives each branch its next token, and parts those that end with it from those that go on.
    fn write(
        &mut self,
        mut branches: Vec<Branch>,
        logits: &[&[f32]],
        finished: &mut Vec<Finished>,
    ) -> Result<()> {
        let words = self.words.as_ref();
        let ends = branches
            .par_iter_mut()
            .zip(logits.par_iter())
            .map(|(branch, logits)| branch.draft.write(logits, words))
            .collect::<Result<Vec<Option<End>>>>()?;
        for (branch, end) in branches.into_iter().zip(ends) {
            let Some(end) = end else {
                self.live.push(branch);
                continue;
            };
            self.cache.retire(branch.tail);
            finished.push(Finished {
                request: branch.request,
                sample: branch.sample,
                reply: branch.draft.finish(end),
            });
        }
        Ok(())
    }
}

impl Job {
    /// How many replies have not begun.
    fn left(&self) -> usize {
        (self.samples.end - self.samples.start) as usize
    }

    /// As many of its next replies as there are tails.
    fn begin(&mut self, tails: Vec<Tail>) -> Vec<Branch> {
        let mut branches = Vec::with_capacity(tails.len());
        for (tail, sample) in tails.into_iter().zip(self.samples.clone()) {
            let read = self.prompt.rows.iter().map(|row| row.token);
            let sampler = Sampler::new(self.sampling, sample, read);
            branches.push(Branch {
                request: self.id,
                sample,
                draft: Draft::new(Arc::clone(&self.terms), sampler),
                tail,
                position: self.prompt.next_position(),
            });
        }
        self.samples.start += branches.len() as u64;
        branches
    }
}

/// Fails when the model has no embedding of a token, or no positions such as the prompt has.
fn check_rows(prompt: &Prompt, config: &DecoderConfig) -> Result<()> {
    let mut words = prompt.rows.iter().filter(|row| row.feature.is_none());
    if let Some(row) = words.find(|row| row.token as usize >= config.vocabulary) {
        return Err(unusable(format!(
            "token `{}` of the prompt is outside of the vocabulary of `{}`",
            row.token, config.vocabulary
        )));
    }
    if matches!(prompt.positions, Positions::Multimodal(..)) && config.rope.sections.is_none() {
        return Err(unusable(
            "the prompt has positions in time, height and width, and the model has one position for each row",
        ));
    }
    Ok(())
}

/// Adds tails until there is one for each reply that has not begun, or no more room.
fn promise(cache: &mut Cache, trunk: u64, job: &Job, tails: &mut Vec<Tail>) {
    while tails.len() < job.left()
        && let Some(tail) = cache.promise(trunk, job.pages)
    {
        tails.push(tail);
    }
}
