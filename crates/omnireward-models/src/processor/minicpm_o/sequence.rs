use omnireward_core::PreferencePair;

use super::{
    MediumShape,
    config::ImageConfig,
    conversation::Conversation,
    tokens::{Markers, Tokens},
};
use crate::{
    Error, Feature, Result, Row,
    minicpm_o::Grid,
    processor::{
        AudioRows, ImageNumbers, Preprocessing,
        turns::{Content, Speaker, Turn, media},
    },
};

/// Rows of a sound that stand between two markers: a second.
const GROUP: usize = 25;

/// Writes out conversations.
#[derive(Clone, Copy)]
pub(super) struct Builder<'a> {
    pub(super) tokens: &'a Tokens,
    pub(super) images: &'a ImageConfig,
    pub(super) preprocessing: &'a Preprocessing,
    /// Of the pair's media, the prompt's first.
    pub(super) shapes: &'a [MediumShape],
}

impl Builder<'_> {
    /// A sequence for each response.
    pub(super) fn sequences(self, pair: &PreferencePair) -> Result<Vec<Vec<Row>>> {
        let conversation = Conversation::new(pair);
        let prompt = media(&pair.prompt);
        let mut shared = Draft::new(self, (0..prompt).collect());
        shared.system(&conversation.system)?;
        shared.turns(&conversation.shared)?;

        let mut next = prompt;
        let mut drafts = Vec::with_capacity(pair.responses.len());
        for (response, turns) in pair.responses.iter().zip(&conversation.own) {
            let own = media(&response.parts);
            let mut draft = shared.clone();
            draft.media.extend(next..next + own);
            next += own;
            draft.turns(turns)?;
            draft.deal_pictures(&pair.id)?;
            drafts.push(draft);
        }
        self.deal_sounds(&mut drafts, &pair.id)?;
        Ok(drafts.into_iter().map(|draft| draft.rows).collect())
    }

    /// Writes the features of each response's sounds to its sequence, or to the first.
    fn deal_sounds(self, drafts: &mut [Draft<'_>], pair: &str) -> Result<()> {
        for index in 0..drafts.len() {
            let features = drafts[index].sound_features();
            check(&drafts[index].sounds, &features, pair)?;
            let places = std::mem::take(&mut drafts[index].sounds);
            let target = match self.preprocessing.audio_rows {
                AudioRows::OwnRow => index,
                AudioRows::FirstRow => 0,
            };
            for (place, feature) in places.into_iter().zip(features) {
                // Beyond the first sequence's end is padding, which nothing reads.
                if let Some(row) = drafts[target].rows.get_mut(place) {
                    row.feature = Some(feature);
                }
            }
        }
        Ok(())
    }
}

/// A sequence being written.
#[derive(Clone)]
struct Draft<'a> {
    builder: Builder<'a>,
    /// The media that belong to it.
    media: Vec<usize>,
    rows: Vec<Row>,
    /// Text since the last special token. A tokenizer cuts a text at special tokens before anything
    /// else, so what stands between two of them has the tokens that it has alone.
    text: String,
    /// Rows that wait for features of pictures.
    pictures: Vec<usize>,
    /// Rows that wait for features of sounds.
    sounds: Vec<usize>,
    seen: Seen,
}

/// What has been placed so far, of what is counted.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Images.
    images: usize,
    /// Images and frames.
    pictures: usize,
    sounds: usize,
}

impl<'a> Draft<'a> {
    const fn new(builder: Builder<'a>, media: Vec<usize>) -> Self {
        Self {
            builder,
            media,
            rows: Vec::new(),
            text: String::new(),
            pictures: Vec::new(),
            sounds: Vec::new(),
            seen: Seen {
                images: 0,
                pictures: 0,
                sounds: 0,
            },
        }
    }

    fn system(&mut self, text: &str) -> Result<()> {
        let turn = self.builder.tokens.turn;
        self.special(turn.start)?;
        self.text.push_str("system\n");
        self.text.push_str(text);
        self.special(turn.end)?;
        self.text.push('\n');
        self.end_block()
    }

    fn turns(&mut self, turns: &[Turn]) -> Result<()> {
        turns.iter().try_for_each(|turn| self.turn(turn))
    }

    /// A message. The words that announce the assistant belong to the user's block, so that they do
    /// not merge with the beginning of the response.
    fn turn(&mut self, turn: &Turn) -> Result<()> {
        let markers = self.builder.tokens.turn;
        if self.builder.preprocessing.image_numbers == ImageNumbers::PerMessage {
            self.seen = Seen::default();
        }
        if turn.speaker == Speaker::User {
            self.special(markers.start)?;
            self.text.push_str("user\n");
        }
        for content in &turn.content {
            match content {
                Content::Text(text) => self.text.push_str(text),
                Content::Medium(medium) => self.medium(*medium)?,
            }
        }
        self.special(markers.end)?;
        self.text.push('\n');
        if turn.speaker == Speaker::User {
            self.special(markers.start)?;
            self.text.push_str("assistant\n");
        }
        self.end_block()
    }

    fn medium(&mut self, medium: usize) -> Result<()> {
        match &self.builder.shapes[medium] {
            MediumShape::Image { .. } => {
                let numbered = self.builder.images.use_image_id;
                let number = numbered.then_some(self.seen.images);
                self.seen.images += 1;
                self.picture(number)
            }
            MediumShape::Video { frames } => frames.iter().try_for_each(|_| self.picture(None)),
            MediumShape::Audio { .. } => self.sound(),
        }
    }

    /// The places of the next picture: an overview, and slices row by row.
    fn picture(&mut self, number: Option<usize>) -> Result<()> {
        let grid = self.grids().nth(self.seen.pictures).flatten();
        self.seen.pictures += 1;
        let Tokens {
            image,
            slice,
            image_number,
            ..
        } = self.builder.tokens;
        if let Some(number) = number {
            self.special(image_number.start)?;
            self.text.push_str(&number.to_string());
            self.special(image_number.end)?;
        }
        self.tile(*image)?;
        let Some(grid) = grid else { return Ok(()) };
        for row in 0..grid.rows {
            if row > 0 {
                self.text.push('\n');
            }
            for _ in 0..grid.columns {
                self.tile(*slice)?;
            }
        }
        Ok(())
    }

    /// The slices of all pictures that belong to the sequence, in order.
    fn grids(&self) -> impl Iterator<Item = Option<Grid>> {
        let shapes = self.builder.shapes;
        self.media
            .iter()
            .flat_map(move |&medium| match &shapes[medium] {
                MediumShape::Image { grid } => std::slice::from_ref(grid),
                MediumShape::Video { frames } => frames,
                MediumShape::Audio { .. } => &[],
            })
            .copied()
    }

    fn tile(&mut self, markers: Markers) -> Result<()> {
        self.special(markers.start)?;
        for _ in 0..self.builder.images.image_feature_size {
            self.pictures.push(self.rows.len());
            self.rows.push(Row::token(self.builder.tokens.placeholder));
        }
        self.special(markers.end)
    }

    /// The places of the next sound, a second at a time.
    fn sound(&mut self) -> Result<()> {
        let shapes = self.builder.shapes;
        let mut lengths = self
            .media
            .iter()
            .filter_map(|&medium| match shapes[medium] {
                MediumShape::Audio { tokens } => Some(tokens),
                _ => None,
            });
        let mut left = lengths.nth(self.seen.sounds).unwrap_or(0);
        self.seen.sounds += 1;
        let markers = self.builder.tokens.audio;
        while left > 0 {
            let group = left.min(GROUP);
            left -= group;
            self.special(markers.start)?;
            for _ in 0..group {
                self.sounds.push(self.rows.len());
                self.rows.push(Row::token(self.builder.tokens.placeholder));
            }
            self.special(markers.end)?;
        }
        Ok(())
    }

    fn special(&mut self, token: u32) -> Result<()> {
        self.end_block()?;
        self.rows.push(Row::token(token));
        Ok(())
    }

    /// Writes the tokens of the text so far; what follows does not merge with it.
    fn end_block(&mut self) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let tokens = self
            .builder
            .tokens
            .of(&self.text, self.builder.preprocessing.special_text)?;
        self.rows.extend(tokens.into_iter().map(Row::token));
        self.text.clear();
        Ok(())
    }

    /// Gives the features of the sequence's pictures to the rows that wait for them, in order.
    fn deal_pictures(&mut self, pair: &str) -> Result<()> {
        let features = self.picture_features();
        check(&self.pictures, &features, pair)?;
        for (&place, feature) in self.pictures.iter().zip(features) {
            self.rows[place].feature = Some(feature);
        }
        Ok(())
    }

    fn picture_features(&self) -> Vec<Feature> {
        let tiles = |grid: &Option<Grid>| 1 + grid.map_or(0, |grid| grid.columns * grid.rows);
        self.features(|shape| {
            let tiles: usize = match shape {
                MediumShape::Image { grid } => tiles(grid),
                MediumShape::Video { frames } => frames.iter().map(tiles).sum(),
                MediumShape::Audio { .. } => 0,
            };
            tiles * self.builder.images.image_feature_size
        })
    }

    fn sound_features(&self) -> Vec<Feature> {
        self.features(|shape| match shape {
            MediumShape::Audio { tokens } => *tokens,
            MediumShape::Image { .. } | MediumShape::Video { .. } => 0,
        })
    }

    /// All features of the sequence's media, one medium after another.
    fn features(&self, rows: impl Fn(&MediumShape) -> usize) -> Vec<Feature> {
        self.media
            .iter()
            .flat_map(|&medium| {
                (0..rows(&self.builder.shapes[medium])).map(move |row| Feature { medium, row })
            })
            .collect()
    }
}

/// Refuses more places than there are features.
fn check(places: &[usize], features: &[Feature], pair: &str) -> Result<()> {
    if places.len() <= features.len() {
        return Ok(());
    }
    Err(Error::Unsupported {
        pair: pair.to_owned(),
        reason: format!(
            "its messages have {} places for the {} features of its media; \
             `image_numbers = \"running\"` takes it",
            places.len(),
            features.len()
        ),
    })
}
