use std::path::Path;

use serde::Deserialize;

use crate::{Error, Result, minicpm_o::Config};

/// `preprocessor_config.json`, as far as images need it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct ImageConfig {
    /// The side of the square whose area a tile has, in pixels.
    pub(super) scale_resolution: u32,
    /// The side of a patch, in pixels.
    pub(super) patch_size: u32,
    /// Rows of a tile in the decoder.
    pub(super) image_feature_size: usize,
    /// Into how many slices a picture may be cut, unless the preprocessing says so.
    #[serde(default = "slices")]
    pub(super) max_slice_nums: usize,
    /// Of red, green and blue, what is taken off, on a scale of 0 to 1.
    pub(super) norm_mean: [f32; 3],
    /// Of red, green and blue, what the rest is divided by.
    pub(super) norm_std: [f32; 3],
    /// Whether images are numbered.
    #[serde(default = "yes")]
    pub(super) use_image_id: bool,
    /// Whether large images are cut into slices.
    #[serde(default = "yes")]
    pub(super) slice_mode: bool,
}

const fn yes() -> bool {
    true
}

/// What the original's class takes when the file does not say.
const fn slices() -> usize {
    9
}

impl ImageConfig {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })?;
        let config: Self = serde_json::from_str(&text).map_err(|source| Error::Json {
            path: path.to_owned(),
            source,
        })?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let wrong = |field: &str, reason: String| {
            Err(Error::Config {
                path: path.to_owned(),
                field: field.to_owned(),
                reason,
            })
        };
        if self.patch_size == 0 || self.patch_size > 256 {
            return wrong(
                "patch_size",
                format!("`{}` is not 1 to 256", self.patch_size),
            );
        }
        if self.scale_resolution < self.patch_size || self.scale_resolution > 4096 {
            let reason = format!(
                "`{}` is not from `patch_size` to 4096",
                self.scale_resolution
            );
            return wrong("scale_resolution", reason);
        }
        if self.image_feature_size == 0 {
            return wrong("image_feature_size", "is zero".to_owned());
        }
        if self.max_slice_nums == 0 {
            return wrong("max_slice_nums", "is zero".to_owned());
        }
        if self.norm_std.contains(&0.0) {
            return wrong("norm_std", "has a zero".to_owned());
        }
        Ok(())
    }

    /// Refuses a file that says something else about tiles than the model's `config.json`.
    pub(super) fn check_model(&self, model: &Config, path: &Path) -> Result<()> {
        let fields = [
            (
                "image_feature_size",
                self.image_feature_size,
                "query_num",
                model.query_num,
            ),
            (
                "patch_size",
                self.patch_size as usize,
                "vision_config.patch_size",
                model.vision.patch_size,
            ),
        ];
        match fields.into_iter().find(|(_, is, _, should)| is != should) {
            None => Ok(()),
            Some((field, is, other, should)) => Err(Error::Config {
                path: path.to_owned(),
                field: field.to_owned(),
                reason: format!("it is `{is}`, and `{other}` of `config.json` is `{should}`"),
            }),
        }
    }

    /// What of it decides how a picture's pixels reach the tower.
    pub(super) fn fingerprint(&self) -> String {
        format!(
            "scale={};patch={};mean={:?};std={:?};slice={}",
            self.scale_resolution, self.patch_size, self.norm_mean, self.norm_std, self.slice_mode
        )
    }
}
