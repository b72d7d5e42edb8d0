//! Our side of the comparison of training with TRL and `PyTorch`; `run.sh` beside this file builds and drives it.
//!
//! Opens one case, then takes an optimiser step for every line it reads, as `train_peer.py` describes.
#![expect(
    clippy::print_stdout,
    reason = "standard output is how the driver talks to this program"
)]

#[path = "../../../omnireward-models/tests/it/parity/inputs.rs"]
#[expect(dead_code, reason = "others use the rest")]
mod inputs;

use std::{
    fs,
    io::{BufRead as _, stdin},
    path::{Path, PathBuf},
    time::Instant,
};

use omnireward_core::{NoProgress, Preference};
use omnireward_models::{
    checkpoint::{Family, RandomCheckpoint, Size},
    processor::MediumInput,
};
use omnireward_train::{Recipe, TokenPair, TokenTraining, optimiser::AdamWConfig};
use serde::Deserialize;
use serde_json::json;

use self::inputs::Inputs;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error>;

/// `case.json`.
#[derive(Deserialize)]
struct Case {
    kind: Kind,
    dtype: String,
    checkpoint: PathBuf,
    gradient_checkpointing: bool,
    pairs: usize,
    batch_pairs: usize,
    steps: u64,
    parts: Vec<String>,
    optimiser: Optimiser,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Text,
    Media,
}

#[derive(Deserialize)]
struct Optimiser {
    learning_rate: f64,
    schedule: String,
    warmup_steps: u64,
    clip: f64,
    #[serde(flatten)]
    adam: AdamWConfig,
}

impl Case {
    fn recipe(&self) -> Result<Recipe, Error> {
        let Optimiser {
            learning_rate,
            schedule,
            warmup_steps,
            clip,
            adam,
        } = &self.optimiser;
        let text = format!(
            "[model]\npath = {:?}\nprecision = {:?}\n\
             [train]\nparts = {:?}\nsteps = {}\nlearning_rate = {learning_rate:e}\nschedule = {schedule:?}\n\
             warmup_steps = {warmup_steps}\nweight_decay = {:e}\nbetas = [{:?}, {:?}]\nepsilon = {:e}\n\
             clip = {clip:?}\nhead_dropout = 0.0\ngradient_checkpointing = {}\n\
             [objective]\ncentring = 0.0\n[[data]]\npath = \"inputs\"\n",
            self.checkpoint.display().to_string(),
            self.dtype,
            self.parts,
            self.steps,
            adam.weight_decay,
            adam.betas.0,
            adam.betas.1,
            adam.epsilon,
            self.gradient_checkpointing,
        );
        Ok(Recipe::parse(&text, Path::new("case.json"), &[])?)
    }

    /// Gives the checkpoint the files of a processor: no checkpoint is opened without, though tokens are all it is given.
    fn complete(&self) -> Result<(), Error> {
        let tiny = tempfile::tempdir()?;
        let family = match self.kind {
            Kind::Text => Family::Qwen2,
            Kind::Media => Family::MiniCpmO,
        };
        RandomCheckpoint::new(family, Size::Tiny).write(tiny.path(), &NoProgress)?;
        for entry in fs::read_dir(tiny.path())? {
            let file = entry?.path();
            let name = file.file_name().ok_or("a file has a name")?;
            let is_weights = file.extension().is_some_and(|end| end == "safetensors");
            let place = self.checkpoint.join(name);
            if !is_weights && !place.exists() {
                fs::copy(&file, place)?;
            }
        }
        if matches!(self.kind, Kind::Media) {
            // How many rows a tile becomes, which the processor has to know.
            let queries = json_of(&self.checkpoint.join("config.json"))?["query_num"].clone();
            let path = self.checkpoint.join("preprocessor_config.json");
            let mut settings = json_of(&path)?;
            settings["image_feature_size"] = queries;
            fs::write(&path, settings.to_string())?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, threads] = &arguments[..] else {
        println!("driven by benches/peer/run.sh, which compares with TRL and PyTorch");
        return Ok(());
    };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build_global()?;
    let folder = Path::new(folder);
    let libraries = memory("VmRSS:");
    let case: Case = serde_json::from_slice(&fs::read(folder.join("case.json"))?)?;
    case.complete()?;
    let recipe = case.recipe()?;
    let inputs = Inputs::read(&folder.join("inputs.safetensors"))?;
    let images: Vec<MediumInput> = inputs.images.into_iter().map(MediumInput::Image).collect();
    let sides = inputs.sequences.chunks(2).take(case.pairs).enumerate();
    let pairs = sides.map(|(index, sides)| {
        let sides = [sides[0].clone(), sides[1].clone()];
        let media = (0..images.len()).collect();
        TokenPair::new(&index.to_string(), sides, media, Preference::First)
    });
    let pairs: Vec<TokenPair> = pairs.collect::<Result<_, _>>()?;
    let mut training = TokenTraining::open(&case.checkpoint, &recipe, case.steps)?;
    // Of frozen towers: what a second epoch finds in the cache.
    let features = training.features(&images)?;
    println!(
        "{}",
        json!({ "ready": case.dtype, "libraries_bytes": libraries })
    );
    for (step, line) in stdin().lock().lines().enumerate() {
        line?;
        let start = Instant::now();
        let first = step * case.batch_pairs % case.pairs;
        let batch = &pairs[first..first + case.batch_pairs];
        let taken = training.step(&[batch], &features)?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({ "step": step + 1, "loss": taken.loss, "seconds": seconds })
        );
    }
    println!("{}", json!({ "peak_bytes": memory("VmHWM:") }));
    Ok(())
}

fn json_of(path: &Path) -> Result<serde_json::Value, Error> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// A line of what the system says about this process's memory, in bytes; 0 where it does not say.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|each| each.strip_prefix(line))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
