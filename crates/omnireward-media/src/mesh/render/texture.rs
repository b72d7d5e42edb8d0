use super::super::{Texture, Wrap, color::LINEAR_OF_BYTE};
use crate::RgbaImage;

/// A texture at its own size and at every half of it, so that a small picture of a large texture
/// does not glitter.
pub(super) struct Mipmaps<'a> {
    texture: &'a Texture,
    /// The second level on.
    smaller: Vec<RgbaImage>,
}

impl<'a> Mipmaps<'a> {
    pub(super) fn new(texture: &'a Texture) -> Self {
        let mut smaller = Vec::new();
        let mut last: &RgbaImage = &texture.image;
        while last.width().max(last.height()) > 1 {
            smaller.push(halved(last));
            last = smaller.last().unwrap_or(&texture.image);
        }
        Self { texture, smaller }
    }

    /// Width times height of the full texture.
    pub(super) fn texels(&self) -> f32 {
        self.texture.image.width() as f32 * self.texture.image.height() as f32
    }

    /// Linear RGBA at a point of the unit square, with `texels` of the full texture under the
    /// spot that is asked for.
    pub(super) fn sample(&self, uv: [f32; 2], texels: f32) -> [f32; 4] {
        let level = (texels.max(1.0).log2() / 2.0).round() as usize;
        let image = match level.min(self.smaller.len()) {
            0 => &*self.texture.image,
            level => &self.smaller[level - 1],
        };
        self.bilinear(image, uv)
    }

    fn bilinear(&self, image: &RgbaImage, [u, v]: [f32; 2]) -> [f32; 4] {
        let [wrap_u, wrap_v] = self.texture.wrap;
        let (x0, x1, right) = neighbours(u, image.width(), wrap_u);
        let (y0, y1, below) = neighbours(v, image.height(), wrap_v);
        let at = |x, y| linear(image.get_pixel(x, y).0);
        let mix = |a: [f32; 4], b: [f32; 4], t: f32| -> [f32; 4] {
            std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
        };
        mix(
            mix(at(x0, y0), at(x1, y0), right),
            mix(at(x0, y1), at(x1, y1), right),
            below,
        )
    }
}

/// The two texels around a coordinate and how far it is from the first to the second.
fn neighbours(coordinate: f32, size: u32, wrap: Wrap) -> (u32, u32, f32) {
    let position = wrapped(coordinate, wrap) * size as f32 - 0.5;
    let first = position.floor();
    let texel = |index: f32| {
        let index = index as i64;
        let size = i64::from(size);
        let index = match wrap {
            Wrap::Repeat => index.rem_euclid(size),
            Wrap::Mirror | Wrap::Clamp => index.clamp(0, size - 1),
        };
        index as u32
    };
    (texel(first), texel(first + 1.0), position - first)
}

fn wrapped(coordinate: f32, wrap: Wrap) -> f32 {
    match wrap {
        Wrap::Repeat => coordinate - coordinate.floor(),
        Wrap::Mirror => {
            let within = (coordinate / 2.0 - (coordinate / 2.0).floor()) * 2.0;
            if within > 1.0 { 2.0 - within } else { within }
        }
        Wrap::Clamp => coordinate.clamp(0.0, 1.0),
    }
}

fn linear([r, g, b, a]: [u8; 4]) -> [f32; 4] {
    let table = &*LINEAR_OF_BYTE;
    [
        table[usize::from(r)],
        table[usize::from(g)],
        table[usize::from(b)],
        f32::from(a) / 255.0,
    ]
}

/// Half the width and height, rounded up, each texel the mean of the up to four it replaces. The
/// means are of sRGB levels: a little dark, which is not seen at this size.
fn halved(image: &RgbaImage) -> RgbaImage {
    let (width, height) = image.dimensions();
    RgbaImage::from_fn(width.div_ceil(2), height.div_ceil(2), |x, y| {
        let (x0, y0) = (2 * x, 2 * y);
        let (x1, y1) = ((x0 + 1).min(width - 1), (y0 + 1).min(height - 1));
        let four = [(x0, y0), (x1, y0), (x0, y1), (x1, y1)].map(|(x, y)| image.get_pixel(x, y).0);
        ::image::Rgba(std::array::from_fn(|i| {
            let sum: u16 = four.iter().map(|texel| u16::from(texel[i])).sum();
            ((sum + 2) / 4) as u8
        }))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn checks(wrap: Wrap) -> Texture {
        let image = RgbaImage::from_fn(4, 4, |x, y| {
            ::image::Rgba(if (x + y) % 2 == 0 {
                [255; 4]
            } else {
                [0, 0, 0, 255]
            })
        });
        Texture {
            image: Arc::new(image),
            wrap: [wrap; 2],
        }
    }

    #[test]
    fn texel_middles_are_exact_and_far_views_are_grey() {
        let texture = checks(Wrap::Repeat);
        let mipmaps = Mipmaps::new(&texture);
        assert!(mipmaps.sample([0.125, 0.125], 1.0)[0] > 0.999_999);
        assert!(mipmaps.sample([0.375, 0.125], 1.0)[0] < 1e-6);
        let far = mipmaps.sample([0.125, 0.125], 16.0);
        assert!((far[0] - LINEAR_OF_BYTE[128]).abs() < 0.01, "{far:?}");
    }

    #[test]
    fn outside_the_square_the_wrap_decides() {
        for (wrap, u, expected) in [
            (Wrap::Repeat, 1.125, 0.125),
            (Wrap::Repeat, -0.875, 0.125),
            (Wrap::Mirror, 1.125, 0.875),
            (Wrap::Mirror, -0.125, 0.125),
            (Wrap::Clamp, 7.0, 1.0),
            (Wrap::Clamp, -7.0, 0.0),
        ] {
            assert!((wrapped(u, wrap) - expected).abs() < 1e-6, "{wrap:?} {u}");
        }
        let texture = checks(Wrap::Repeat);
        Mipmaps::new(&texture).sample([f32::MAX, -f32::MAX], f32::INFINITY);
    }
}
