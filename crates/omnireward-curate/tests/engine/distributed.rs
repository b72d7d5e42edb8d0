//! A scheduler and two executors on loopback give the bytes that one process gives.

use std::path::{Path, PathBuf};

use omnireward_core::{NoProgress, PreferencePair};
use omnireward_curate::{
    Error,
    decontaminate::{DecontaminateSettings, decontaminate},
    dedup::{DedupSettings, dedup},
    engine::{
        EngineConfig,
        cluster::{ExecutorAddress, Loopback, serve_executor},
    },
    mix::{MixRecipe, mix},
    stats::{StatsSettings, stats},
    table::{Input, MediaMode},
};
use omnireward_testkit::pairs;

use super::{Dice, contents, dedup::runtime, edited_pair, engine, input, text_pair};

struct Set {
    training: Vec<Input>,
    benchmark: Vec<Input>,
    recipe: MixRecipe,
}

fn set(folder: &Path) -> Set {
    let mut dice = Dice(21);
    let mut rows: Vec<PreferencePair> = (0..300)
        .map(|index| text_pair(&format!("{index}"), &mut dice))
        .collect();
    let copies: Vec<PreferencePair> = (0..60)
        .map(|index| edited_pair(&rows[index], &format!("{index}+"), 0.05, &mut dice))
        .collect();
    rows.extend(copies);
    rows.extend((0..4).flat_map(pairs::nine_tasks));
    let subset = |name: &str, more: &str| {
        format!(
            "[[subset]]\nname = '{name}'\npath = '{name}'\ntask = 'T2T'\nkind = 'general'\n{more}\n"
        )
    };
    let recipe = folder.join("recipe.toml");
    std::fs::write(
        &recipe,
        subset("a", "pairs = 150") + &subset("b", "weight = 1.5"),
    )
    .unwrap();
    Set {
        benchmark: vec![input(folder, "bench", &rows[250..320])],
        training: vec![
            input(folder, "a", &rows[..200]),
            input(folder, "b", &rows[200..]),
        ],
        recipe: MixRecipe::read(&recipe).unwrap(),
    }
}

/// All four kinds of work; the folders with results.
async fn everything(set: &Set, root: &Path, name: &str, engine: &EngineConfig) -> [PathBuf; 4] {
    let outs =
        ["dedup", "decontaminate", "mix", "stats"].map(|work| root.join(format!("{work} {name}")));
    let media = MediaMode::Beside;
    dedup(
        &set.training,
        &outs[0],
        &DedupSettings::default(),
        media,
        engine,
        &NoProgress,
    )
    .await
    .unwrap();
    let settings = DecontaminateSettings::default();
    decontaminate(
        &set.training,
        &set.benchmark,
        &outs[1],
        &settings,
        media,
        engine,
        &NoProgress,
    )
    .await
    .unwrap();
    mix(&set.recipe, root, &outs[2], engine, &NoProgress)
        .await
        .unwrap();
    let settings = StatsSettings::default();
    stats(&set.training, &outs[3], &settings, engine, &NoProgress)
        .await
        .unwrap();
    outs
}

#[test]
fn a_cluster_gives_the_bytes_that_one_process_gives() {
    let folder = tempfile::tempdir().unwrap();
    let set = set(folder.path());
    let (here, there) = runtime().block_on(async {
        let here = everything(&set, folder.path(), "here", &engine(2)).await;
        let cluster = Loopback::start(&engine(2), 2).await.unwrap();
        let scheduler = Some(cluster.address());
        let config = EngineConfig {
            scheduler,
            ..engine(2)
        };
        (
            here,
            everything(&set, folder.path(), "there", &config).await,
        )
    });
    for (one, other) in here.iter().zip(&there) {
        let [one, other] = [one, other].map(|out| contents(out));
        assert!(one.len() > 2);
        assert!(one == other, "{:?}", one.keys());
    }
}

#[test]
fn an_executor_needs_a_port_after_its_own() {
    let address = ExecutorAddress {
        listen: "127.0.0.1:65535".parse().unwrap(),
        external_host: "localhost".to_owned(),
        scheduler_host: "localhost".to_owned(),
        scheduler_port: 1,
    };
    let error = runtime()
        .block_on(serve_executor(&address, &engine(1)))
        .unwrap_err();
    assert!(matches!(error, Error::NoPortAfter { .. }), "{error}");
}
