use super::Waveform;
use crate::RgbImage;

const BACKGROUND: [f32; 3] = [250.0, 250.0, 252.0];
const MIDLINE: [f32; 3] = [205.0, 210.0, 220.0];
const PEAK: [f32; 3] = [148.0, 178.0, 226.0];
const RMS: [f32; 3] = [38.0, 84.0, 168.0];
const CLIPPED: [f32; 3] = [205.0, 62.0, 62.0];

/// The share of the height that full scale takes.
const FULL_SCALE: f32 = 0.94;

/// Draws the sound over time for people: the extremes light, the RMS dark, a clipped stretch red.
///
/// All channels are drawn as one. Full scale fills the height, so that pictures of two clips can
/// be compared; only a clip whose peak is under a quarter is magnified, up to fourfold. Sides of
/// zero are drawn as one pixel.
pub fn envelope_picture(waveform: &Waveform, width: u32, height: u32) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    let columns = columns(waveform, width);
    let peak = columns
        .iter()
        .map(|c| c.high.max(-c.low))
        .fold(0.0, f32::max);
    let gain = if peak > 0.0 {
        (1.0 / peak).clamp(1.0, 4.0)
    } else {
        1.0
    };
    let gain = if peak < 0.25 { gain } else { 1.0 };

    let middle = height as f32 / 2.0;
    let scale = middle * FULL_SCALE * gain;
    RgbImage::from_fn(width, height, |x, y| {
        let column = &columns[x as usize];
        let peak_colour = if column.clipped { CLIPPED } else { PEAK };
        let rows = y as f32..y as f32 + 1.0;
        let mut colour = BACKGROUND;
        // A quiet stretch still shows as a hairline.
        colour = mix(colour, MIDLINE, cover(&rows, middle - 0.5, middle + 0.5));
        let (top, bottom) = (middle - column.high * scale, middle - column.low * scale);
        colour = mix(colour, peak_colour, cover(&rows, top, bottom));
        let (rms_top, rms_bottom) = (
            (middle - column.rms * scale).max(top),
            (middle + column.rms * scale).min(bottom),
        );
        colour = mix(colour, RMS, cover(&rows, rms_top, rms_bottom));
        ::image::Rgb(colour.map(|channel| channel.round() as u8))
    })
}

/// What one column of the picture shows.
struct Column {
    low: f32,
    high: f32,
    rms: f32,
    clipped: bool,
}

fn columns(waveform: &Waveform, width: u32) -> Vec<Column> {
    let frames = waveform.frames();
    let channels = usize::from(waveform.channels).max(1);
    (0..width as usize)
        .map(|x| {
            let start = x * frames / width as usize;
            let end = ((x + 1) * frames / width as usize)
                .max(start + 1)
                .min(frames);
            let start = start.min(end);
            column(&waveform.samples[start * channels..end * channels])
        })
        .collect()
}

fn column(samples: &[f32]) -> Column {
    let finite = || samples.iter().copied().filter(|sample| sample.is_finite());
    let energy: f64 = finite().map(|sample| f64::from(sample).powi(2)).sum();
    let loudest = finite().fold(0.0, |a: f32, b| a.max(b.abs()));
    Column {
        low: finite().fold(0.0, f32::min).max(-1.0),
        high: finite().fold(0.0, f32::max).min(1.0),
        rms: (energy / samples.len().max(1) as f64).sqrt() as f32,
        clipped: loudest >= 0.9999,
    }
}

/// The share of a row of pixels that lies between two heights.
fn cover(rows: &std::ops::Range<f32>, top: f32, bottom: f32) -> f32 {
    (rows.end.min(bottom) - rows.start.max(top)).clamp(0.0, 1.0)
}

fn mix(under: [f32; 3], over: [f32; 3], share: f32) -> [f32; 3] {
    std::array::from_fn(|i| under[i] + (over[i] - under[i]) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(samples: Vec<f32>) -> RgbImage {
        let waveform = Waveform {
            sample_rate_hz: 8000,
            channels: 1,
            samples,
        };
        envelope_picture(&waveform, 64, 32)
    }

    fn inked(picture: &RgbImage, x: u32) -> usize {
        (0..picture.height())
            .filter(|&y| picture.get_pixel(x, y).0[2] < 240)
            .count()
    }

    #[test]
    fn loud_is_tall_and_quiet_is_flat() {
        let samples = (0..6400)
            .map(|i| if i < 3200 { 0.9 } else { 0.1 } * if i % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        let picture = picture(samples);
        assert!(inked(&picture, 10) > 24, "{}", inked(&picture, 10));
        assert!(inked(&picture, 50) < 8);
    }

    #[test]
    fn silence_shows_a_line_and_nothing_else() {
        assert!(inked(&picture(vec![0.0; 100]), 5) <= 2);
        assert!(inked(&picture(Vec::new()), 5) <= 2);
    }

    #[test]
    fn fewer_frames_than_columns_and_odd_sizes_are_drawn() {
        picture(vec![0.5; 3]);
        let waveform = Waveform {
            sample_rate_hz: 8000,
            channels: 2,
            samples: vec![f32::NAN, 0.5],
        };
        assert_eq!(envelope_picture(&waveform, 0, 7).dimensions(), (1, 7));
    }
}
