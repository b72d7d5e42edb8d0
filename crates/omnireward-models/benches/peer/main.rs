//! Our side of the comparison with `PyTorch`; `run.sh` beside this file builds and drives it.
//!
//! Opens one case, then runs it once for every line it reads and answers with the time it took.
#![expect(
    clippy::print_stdout,
    reason = "standard output is how the driver talks to this program"
)]

#[path = "../../tests/it/parity/inputs.rs"]
mod inputs;
mod media;
mod preprocessing;
mod product;
mod rollouts;
mod text;

use std::{
    io::{BufRead as _, stdin},
    path::{Path, PathBuf},
    time::Instant,
};

use candle_core::{DType, Device};
use omnireward_models::weights::Placement;
use serde::Deserialize;
use serde_json::json;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error>;

/// `case.json`.
#[derive(Deserialize)]
struct Case {
    kind: Kind,
    dtype: Precision,
    /// Extent of a product, tokens of a reply.
    size: usize,
    /// Responses of each criterion.
    responses: usize,
    /// Replies to a prompt, of `size` tokens each.
    replies: u64,
    checkpoint: Option<PathBuf>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Text,
    Media,
    Rollouts,
    Product,
    Image,
    Mel,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Precision {
    F32,
    Bf16,
}

impl Case {
    fn placement(&self) -> Placement {
        let dtype = match self.dtype {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        Placement {
            device: Device::Cpu,
            dtype,
        }
    }

    fn checkpoint(&self) -> Result<&Path, Error> {
        Ok(self
            .checkpoint
            .as_deref()
            .ok_or("the case names no checkpoint")?)
    }
}

/// Something to be timed. Returns the rewards, or another number by which both sides can be seen to agree.
trait Work {
    fn run(&self) -> Result<Vec<f64>, Error>;
}

fn main() -> Result<(), Error> {
    let Some(folder) = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with('-'))
    else {
        println!("driven by benches/peer/run.sh, which compares with PyTorch");
        return Ok(());
    };
    let folder = Path::new(&folder);
    let case: Case = serde_json::from_slice(&std::fs::read(folder.join("case.json"))?)?;
    let inputs = folder.join("inputs.safetensors");
    let work: Box<dyn Work> = match case.kind {
        Kind::Text => Box::new(text::Text::open(&case, &inputs)?),
        Kind::Media => Box::new(media::Media::open(&case, &inputs)?),
        Kind::Rollouts => Box::new(rollouts::Rollouts::open(&case, &inputs)?),
        Kind::Product => Box::new(product::Product::new(&case)?),
        Kind::Image => Box::new(preprocessing::Image::open(&inputs)?),
        Kind::Mel => Box::new(preprocessing::Sound::open(&inputs)?),
    };
    println!("{}", json!({ "ready": "" }));
    for line in stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let rewards = work.run()?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({ "seconds": seconds, "rewards": rewards, "memory": peak_memory() })
        );
    }
    Ok(())
}

/// The most memory that this process has had, in bytes, mapped weights included; 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
