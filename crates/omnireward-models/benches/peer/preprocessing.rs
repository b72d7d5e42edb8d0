//! From pixels and samples to what the towers take.

use std::path::Path;

use candle_core::{Device, safetensors};
use omnireward_core::NoProgress;
use omnireward_media::{RgbaImage, audio::log_mel};
use omnireward_models::{
    checkpoint::{Family, RandomCheckpoint, Size},
    processor::{MiniCpmOProcessor, Preprocessing},
};

use crate::{Error, Work};

pub(crate) struct Image {
    processor: MiniCpmOProcessor,
    pixels: RgbaImage,
}

impl Image {
    pub(crate) fn open(inputs: &Path) -> Result<Self, Error> {
        // The published settings; the weights play no part.
        let checkpoint = tempfile::tempdir()?;
        RandomCheckpoint::new(Family::MiniCpmO, Size::Tiny)
            .write(checkpoint.path(), &NoProgress)?;
        let pixels = &safetensors::load(inputs, &Device::Cpu)?["pixels"];
        let (height, width, _) = pixels.dims3()?;
        let colours = pixels.flatten_all()?.to_vec1::<u8>()?;
        let with_alpha = colours
            .chunks_exact(3)
            .flat_map(|colour| [colour[0], colour[1], colour[2], u8::MAX])
            .collect();
        Ok(Self {
            processor: MiniCpmOProcessor::open(checkpoint.path(), Preprocessing::reference())?,
            pixels: RgbaImage::from_raw(width as u32, height as u32, with_alpha)
                .ok_or("the pixels do not fill the picture")?,
        })
    }
}

impl Work for Image {
    fn run(&self) -> Result<Vec<f64>, Error> {
        let input = self.processor.image(&self.pixels);
        // A tile's first and last number, rather than its mean, which would cost as much as the work itself.
        let ends = input.tiles.iter().map(|tile| {
            let (first, last) = (tile.patches.first(), tile.patches.last());
            first.zip(last).map(|(first, last)| f64::from(first + last))
        });
        ends.collect::<Option<_>>()
            .ok_or_else(|| "a tile is empty".into())
    }
}

pub(crate) struct Sound {
    samples: Vec<f32>,
}

impl Sound {
    pub(crate) fn open(inputs: &Path) -> Result<Self, Error> {
        let tensors = safetensors::load(inputs, &Device::Cpu)?;
        Ok(Self {
            samples: tensors["samples"].to_vec1()?,
        })
    }
}

impl Work for Sound {
    fn run(&self) -> Result<Vec<f64>, Error> {
        let mel = log_mel(&self.samples);
        let (first, last) = mel
            .values
            .first()
            .zip(mel.values.last())
            .ok_or("no frames")?;
        Ok(vec![f64::from(first + last)])
    }
}
