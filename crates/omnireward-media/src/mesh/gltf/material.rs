use std::{collections::HashMap, sync::Arc};

use ::gltf::{Document, Material, material::AlphaMode, texture};

use super::{
    super::{Alpha, Material as Surface, Texture, Wrap, builder::Builder, side::SideFiles},
    buffers::{Buffers, decoded_uri, embedded},
};
use crate::{Error, RgbaImage};

/// The materials of a document, read when first used.
pub(super) struct Materials<'d> {
    /// By the number in the file.
    read: HashMap<Option<usize>, (u32, Option<UvSource>)>,
    images: HashMap<usize, Option<Arc<RgbaImage>>>,
    document: &'d Document,
}

/// Which texture coordinates a material uses, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct UvSource {
    pub(super) set: u32,
    offset: [f32; 2],
    /// Radians.
    rotation: f32,
    scale: [f32; 2],
}

impl UvSource {
    fn of(info: &texture::Info<'_>) -> Self {
        let plain = Self {
            set: info.tex_coord(),
            offset: [0.0; 2],
            rotation: 0.0,
            scale: [1.0; 2],
        };
        info.texture_transform().map_or(plain, |transform| Self {
            set: transform.tex_coord().unwrap_or(plain.set),
            offset: transform.offset(),
            rotation: transform.rotation(),
            scale: transform.scale(),
        })
    }

    /// As `KHR_texture_transform` says: scale, rotate, move.
    pub(super) fn transformed(&self, [u, v]: [f32; 2]) -> [f32; 2] {
        let (u, v) = (u * self.scale[0], v * self.scale[1]);
        let (sin, cos) = self.rotation.sin_cos();
        [
            cos * u + sin * v + self.offset[0],
            cos * v - sin * u + self.offset[1],
        ]
    }
}

impl<'d> Materials<'d> {
    pub(super) fn new(document: &'d Document) -> Self {
        Self {
            read: HashMap::new(),
            images: HashMap::new(),
            document,
        }
    }

    /// The builder's number of a material and the texture coordinates that it needs.
    pub(super) fn of(
        &mut self,
        material: &Material<'_>,
        builder: &mut Builder<'_>,
        buffers: &Buffers,
        side: &mut SideFiles<'_>,
    ) -> Result<(u32, Option<UvSource>), Error> {
        if let Some(known) = self.read.get(&material.index()) {
            return Ok(*known);
        }
        if material.index().is_none() {
            return Ok((0, None));
        }
        let metallic = material.pbr_metallic_roughness();
        let (base_color, info) = match material.pbr_specular_glossiness() {
            Some(glossy) => (glossy.diffuse_factor(), glossy.diffuse_texture()),
            None => (metallic.base_color_factor(), metallic.base_color_texture()),
        };
        let texture = match &info {
            Some(info) => self.texture(&info.texture(), buffers, side)?,
            None => None,
        };
        let uv = info
            .as_ref()
            .filter(|_| texture.is_some())
            .map(UvSource::of);
        let number = builder.material(Surface {
            base_color: base_color.map(|x| x.clamp(0.0, 1.0)),
            texture,
            alpha: match material.alpha_mode() {
                AlphaMode::Opaque => Alpha::Opaque,
                AlphaMode::Mask => Alpha::Mask(material.alpha_cutoff().unwrap_or(0.5)),
                AlphaMode::Blend => Alpha::Blend,
            },
        });
        self.read.insert(material.index(), (number, uv));
        Ok((number, uv))
    }

    fn texture(
        &mut self,
        texture: &texture::Texture<'_>,
        buffers: &Buffers,
        side: &mut SideFiles<'_>,
    ) -> Result<Option<Texture>, Error> {
        let webp = texture
            .extension_value("EXT_texture_webp")
            .and_then(|value| value.get("source")?.as_u64());
        let index = match (webp, texture.source()) {
            (Some(index), _) => index as usize,
            (None, Some(image)) => image.index(),
            (None, None) => return Ok(None),
        };
        if !self.images.contains_key(&index) {
            let image = self.image(index, buffers, side)?;
            self.images.insert(index, image);
        }
        let sampler = texture.sampler();
        let image = self.images[&index].clone();
        Ok(image.map(|image| Texture {
            image,
            wrap: [wrap(sampler.wrap_s()), wrap(sampler.wrap_t())],
        }))
    }

    fn image(
        &self,
        index: usize,
        buffers: &Buffers,
        side: &mut SideFiles<'_>,
    ) -> Result<Option<Arc<RgbaImage>>, Error> {
        // As the file has it: the reader's own view of an image panics where the image names
        // neither a view nor a file, or a view without a media type.
        let Some(image) = self.document.as_json().images.get(index) else {
            return Ok(None);
        };
        let name = format!("image {index}");
        let view = image
            .buffer_view
            .and_then(|view| self.document.views().nth(view.value()));
        match (view, &image.uri) {
            (Some(view), _) => side.image(buffers.view(&view)?, &name),
            (None, Some(uri)) => match embedded(uri) {
                // Bytes that are no base64 are no picture either.
                Some(bytes) => side.image(&bytes.unwrap_or_default(), &name),
                None => side.image_file(&decoded_uri(uri)),
            },
            (None, None) => side.image(&[], &name),
        }
    }
}

const fn wrap(mode: texture::WrappingMode) -> Wrap {
    match mode {
        texture::WrappingMode::Repeat => Wrap::Repeat,
        texture::WrappingMode::MirroredRepeat => Wrap::Mirror,
        texture::WrappingMode::ClampToEdge => Wrap::Clamp,
    }
}
