//! The paper's mixture of 317,382 pairs from generated sources in their published layouts, and its export:
//!
//! ```sh
//! cargo bench -p omnireward-curate --features engine --bench mixture
//! ```
//!
//! Mixing and exporting run in a process of their own, whose largest resident memory counts. Writing the sources is not
//! timed.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has to stop"
)]

mod alone;

use std::{path::Path, process::Command, time::Instant};

use omnireward_core::NoProgress;
use omnireward_curate::{
    engine::EngineConfig,
    mix::{MixRecipe, mix},
};
use omnireward_data::{
    OpenOptions,
    export::{ExportOptions, Target, export},
    open,
};
use omnireward_testkit::published_sources;
use serde_json::json;

use self::alone::told;

const OURS: &str = "ours-alone";
const RECIPE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../recipes/omni-reward-data.toml"
);
const FORMS: [Target; 2] = [Target::LlamaFactory, Target::Pairs];

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    if let [mode, folder] = &words[..] {
        assert_eq!(mode, OURS, "this benchmark takes no arguments");
        return ours(Path::new(folder));
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, pairs) in published_sources::PUBLISHED_PAIRS {
        published_sources::write(&folder.path().join(name), name, pairs, 1);
    }
    let this = std::env::current_exe().unwrap();
    let found = told(Command::new(this).arg(OURS).arg(folder.path()));
    println!("{} pairs", found["pairs"]);
    for (step, seconds) in found["seconds"].as_object().unwrap() {
        println!("{step:22} {:6.1} s", seconds.as_f64().unwrap());
    }
    println!(
        "largest resident memory {:.0} MB",
        found["megabytes"].as_f64().unwrap_or(f64::NAN)
    );
}

fn ours(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = EngineConfig {
        memory_bytes: 512 << 20,
        ..EngineConfig::default()
    };
    let recipe = MixRecipe::read(Path::new(RECIPE)).unwrap();
    let mixture = folder.join("mixture");
    let mut seconds = serde_json::Map::new();
    let started = Instant::now();
    let work = mix(&recipe, folder, &mixture, &config, &NoProgress);
    let report = runtime.block_on(work).unwrap();
    seconds.insert("mix".to_owned(), json!(started.elapsed().as_secs_f64()));
    for form in FORMS {
        let started = Instant::now();
        let dataset = open(&mixture, &OpenOptions::default()).unwrap();
        let options = ExportOptions {
            drop_unfit: true,
            ..ExportOptions::default()
        };
        let out = folder.join(form.name());
        let exported = export(&[dataset], form, &out, &options, &NoProgress).unwrap();
        assert_eq!(exported.pairs + exported.pairs_dropped(), report.rows);
        let step = format!("export to {form}");
        seconds.insert(step, json!(started.elapsed().as_secs_f64()));
    }
    let found = json!({"pairs": report.rows, "seconds": seconds, "megabytes": alone::megabytes()});
    println!("{found}");
}
