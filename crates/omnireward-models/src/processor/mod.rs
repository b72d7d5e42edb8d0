//! From a pair to token sequences, and from media to what the towers read.

pub(crate) mod chat;
mod minicpm_o;
mod preprocessing;
mod qwen2_5_vl;
mod turns;
mod vocabulary;

pub use chat::{ChatOptions, ChatProcessor};
pub(crate) use minicpm_o::is_mesh;
pub use minicpm_o::{MediaUse, MediumInput, MediumShape, MiniCpmOProcessor};
pub use preprocessing::{
    AudioPadding, AudioRows, ImageNumbers, MediaSplit, MixedMedia, Orientation, Preprocessing,
    ShortVideos, Shrink, SpecialText, Transparency, UncountedVideos, UnknownPreprocessing,
};
pub use qwen2_5_vl::{Qwen2_5VlProcessor, VideoSettings};
