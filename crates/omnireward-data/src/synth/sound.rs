//! One to four sounds within a second.

use std::f32::consts::TAU;

use omnireward_media::audio::Waveform;

use super::{
    aspect::{Damage, Defect},
    random::Random,
    scene::{Attribute, Scene},
};

/// Samples of every recording: a second at 16 kHz, mono.
const LENGTH: usize = 16_000;
const RATE_HZ: u32 = 16_000;

/// Loudness of quiet and loud sounds, as root mean square of full scale.
const LOUDNESS: [f32; 2] = [0.025, 0.2];

/// Low, middle and high, in hertz.
const PITCHES: [f32; 3] = [220.0, 600.0, 1600.0];

/// How far a sound that rises goes up, as an exponent of 2: five semitones to each side.
const GLIDE: f32 = 5.0 / 12.0;

/// How long each sound lasts, in seconds.
const SECONDS: f32 = 0.11;

/// By [`Attribute::Timbre`]: a sound of as many samples, at any loudness.
const TIMBRES: [fn(&Note, &mut Random) -> Vec<f32>; 4] = [beep, buzz, noise, vowel];

/// A single sound that is to be made.
struct Note {
    samples: usize,
    /// In hertz, half-way.
    pitch: f32,
    /// The exponent of 2 from half-way to the end.
    glide: f32,
}

impl Note {
    /// The phase at each sample, in turns.
    fn phases(&self) -> impl Iterator<Item = f32> + '_ {
        let mut turns = 0.0;
        (0..self.samples).map(move |sample| {
            let from_half = 2.0 * sample as f32 / self.samples as f32 - 1.0;
            turns += self.pitch * (self.glide * from_half).exp2() / RATE_HZ as f32;
            turns
        })
    }
}

/// The recording of a scene, with what is wrong with it.
pub(super) fn play(scene: &Scene, damage: &Damage, look: u64) -> Waveform {
    let mut random = Random::new(&[look]);
    let make = TIMBRES[scene.get(Attribute::Timbre) as usize];
    let loudness = LOUDNESS[scene.get(Attribute::Loudness) as usize] * random.between(0.85, 1.15);
    let note = Note {
        samples: (SECONDS * RATE_HZ as f32) as usize,
        pitch: PITCHES[scene.get(Attribute::Pitch) as usize] * random.between(0.94, 1.06),
        glide: [GLIDE, -GLIDE, 0.0][scene.get(Attribute::Course) as usize],
    };
    let mut samples = vec![0.0; LENGTH];
    for start in starts(scene, &mut random) {
        let mut sound = make(&note, &mut random);
        fade(&mut sound);
        scale(&mut sound, loudness);
        clip(&mut sound, damage.level(Defect::Clipping));
        drop_out(&mut sound, damage.level(Defect::Dropouts));
        let start = (start * RATE_HZ as f32) as usize;
        samples[start..start + sound.len()].copy_from_slice(&sound);
    }
    hiss(&mut samples, damage.level(Defect::Hiss), &mut random);
    Waveform {
        sample_rate_hz: RATE_HZ,
        channels: 1,
        samples,
    }
}

/// When the sounds begin, in seconds. The first and the last leave room for themselves.
fn starts(scene: &Scene, random: &mut Random) -> Vec<f32> {
    /// The shortest time from one beginning to the next leaves a gap that can be heard.
    const SHORTER: f32 = 0.58;
    let count = scene.count();
    let ratio: f32 = match (count, scene.get(Attribute::Rhythm)) {
        (3.., 1) => SHORTER,
        (3.., 2) => 1.0 / SHORTER,
        _ => 1.0,
    };
    let steps: Vec<f32> = (1..count).map(|step| ratio.powi(step as i32)).collect();
    let span = [0.0, 0.45, 0.74, 0.8][count - 1] * random.between(0.96, 1.0);
    let unit = span / steps.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    let first = (1.0 - SECONDS - span) * random.between(0.2, 0.8);
    let mut time = first;
    let mut starts = vec![time];
    for step in steps {
        time += step * unit;
        starts.push(time);
    }
    starts
}

fn beep(note: &Note, _: &mut Random) -> Vec<f32> {
    note.phases().map(|turns| (TAU * turns).sin()).collect()
}

/// A sawtooth of those harmonics that the rate has room for.
fn buzz(note: &Note, _: &mut Random) -> Vec<f32> {
    let highest = note.pitch * note.glide.abs().exp2();
    let harmonics = ((7500.0 / highest) as usize).clamp(3, 30);
    note.phases()
        .map(|turns| {
            (1..=harmonics)
                .map(|harmonic| (TAU * turns * harmonic as f32).sin() / harmonic as f32)
                .sum()
        })
        .collect()
}

fn noise(note: &Note, random: &mut Random) -> Vec<f32> {
    (0..note.samples)
        .map(|_| random.between(-1.0, 1.0))
        .collect()
}

/// Pulses of a voice through two resonances of a vocal tract, as in a formant synthesiser (Klatt 1980).
fn vowel(note: &Note, random: &mut Random) -> Vec<f32> {
    /// First and second formant of a, i and u, in hertz.
    const FORMANTS: [[f32; 2]; 3] = [[800.0, 1200.0], [300.0, 2300.0], [350.0, 800.0]];
    let formants = random.pick(&FORMANTS);
    let voice = random.between(105.0, 165.0) / RATE_HZ as f32;
    let mut turns = 0.0_f32;
    let pulses = (0..note.samples).map(|_| {
        turns += voice;
        let is_pulse = turns >= 1.0;
        turns = turns.fract();
        f32::from(u8::from(is_pulse))
    });
    let mut samples: Vec<f32> = pulses.collect();
    for formant in formants {
        resonate(&mut samples, formant, 90.0);
    }
    samples
}

/// A resonance of two poles, at a frequency and as wide as `width`, both in hertz.
fn resonate(samples: &mut [f32], frequency: f32, width: f32) {
    let radius = (-std::f32::consts::PI * width / RATE_HZ as f32).exp();
    let first = 2.0 * radius * (TAU * frequency / RATE_HZ as f32).cos();
    let second = -radius * radius;
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        let out = *sample + first * one + second * two;
        (one, two) = (out, one);
        *sample = out;
    }
}

/// Lets a sound begin and end softly.
fn fade(samples: &mut [f32]) {
    const EDGE: usize = 160;
    let last = samples.len() - 1;
    for place in 0..EDGE {
        let gain = (place as f32 + 0.5) / EDGE as f32;
        samples[place] *= gain;
        samples[last - place] *= gain;
    }
}

/// Gives a sound this root mean square.
fn scale(samples: &mut [f32], loudness: f32) {
    let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
    let gain = loudness / power.sqrt().max(f32::MIN_POSITIVE);
    for sample in samples {
        *sample *= gain;
    }
}

/// Cuts off all that is above a share of the peak, and makes up for the lost loudness.
fn clip(samples: &mut [f32], level: u8) {
    if level == 0 {
        return;
    }
    let share = [1.0, 0.5, 0.15][usize::from(level)];
    let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
    let peak = samples
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    for sample in samples.iter_mut() {
        *sample = sample.clamp(-share * peak, share * peak);
    }
    scale(samples, power.sqrt());
}

/// Silences the end of every 28 milliseconds.
fn drop_out(samples: &mut [f32], level: u8) {
    let silent = [0, 100, 240][usize::from(level)];
    for piece in samples.chunks_mut(448) {
        let kept = piece.len().saturating_sub(silent);
        piece[kept..].fill(0.0);
    }
}

fn hiss(samples: &mut [f32], level: u8, random: &mut Random) {
    let strength = [0.0, 0.012, 0.05][usize::from(level)];
    if level > 0 {
        for sample in samples {
            *sample += random.between(-strength, strength);
        }
    }
}
