//! The material files of Wavefront OBJ.

use super::{Alpha, Material, Texture, Wrap, color, side::SideFiles};
use crate::Error;

/// Named materials in the order of the file, with their textures.
///
/// Colours are read as sRGB, which is how the programs that write them show them. `Tr` is not
/// read, since programs disagree on whether 1 means clear or opaque; nor is `d 0`, which would
/// hide the object and is always a slip.
pub(super) fn decode(
    bytes: &[u8],
    side: &mut SideFiles<'_>,
) -> Result<Vec<(String, Material)>, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut materials: Vec<(String, Material)> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let (keyword, rest) = line
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((line, ""));
        let rest = rest.trim();
        if keyword == "newmtl" {
            materials.push((rest.to_owned(), Material::default()));
            continue;
        }
        let Some((_, material)) = materials.last_mut() else {
            continue;
        };
        match keyword {
            "Kd" => set_color(material, rest),
            "d" => set_opacity(material, rest),
            "map_Kd" => {
                let image = match file_name(rest) {
                    Some(name) => side.image_file(name)?,
                    None => None,
                };
                material.texture = image.map(|image| Texture {
                    image,
                    wrap: [Wrap::Repeat; 2],
                });
            }
            _ => {}
        }
    }
    for (_, material) in &mut materials {
        // Programs write black or grey beside a texture and show the texture alone.
        if material.texture.is_some() {
            let opacity = material.base_color[3];
            material.base_color = [1.0, 1.0, 1.0, opacity];
        }
    }
    Ok(materials)
}

fn set_color(material: &mut Material, rest: &str) {
    let numbers: Vec<f32> = rest.split_ascii_whitespace().flat_map(str::parse).collect();
    let opacity = material.base_color[3];
    match numbers[..] {
        [r, g, b, ..] => material.base_color = color::linear_rgba([r, g, b, opacity]),
        // One number stands for all three.
        [grey] => material.base_color = color::linear_rgba([grey, grey, grey, opacity]),
        _ => {}
    }
}

fn set_opacity(material: &mut Material, rest: &str) {
    if let Some(opacity) = rest.parse::<f32>().ok().filter(|&d| d > 0.0 && d < 1.0) {
        material.base_color[3] = opacity;
        material.alpha = Alpha::Blend;
    }
}

/// The file name after the options of a texture statement; the name may hold spaces.
fn file_name(rest: &str) -> Option<&str> {
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix('-') {
        let (name, mut after) = option.split_once(' ')?;
        let (least, most) = match name {
            "mm" => (2, 2),
            "o" | "s" | "t" => (1, 3),
            _ => (1, 1),
        };
        for taken in 0..most {
            after = after.trim_start();
            let (value, next) = after.split_once(' ').unwrap_or((after, ""));
            if taken >= least && value.parse::<f32>().is_err() {
                break;
            }
            after = next;
        }
        rest = after.trim_start();
    }
    Some(rest).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_before_a_file_name_are_skipped() {
        let cases = [
            ("a.png", Some("a.png")),
            ("fuze uv.jpg", Some("fuze uv.jpg")),
            ("-clamp on a.png", Some("a.png")),
            ("-o 0.5 0.5 -s 2 2 2 -bm 1 my a.png", Some("my a.png")),
            ("-s 1 a.png", Some("a.png")),
            ("-mm 0 1 a.png", Some("a.png")),
            ("", None),
            ("-clamp on", None),
        ];
        for (rest, expected) in cases {
            assert_eq!(file_name(rest), expected, "{rest}");
        }
    }
}
