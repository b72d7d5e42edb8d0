//! A scheduler and two executors on loopback give the bytes that one process gives.

use std::path::{Path, PathBuf};

use omnireward_core::{NoProgress, PreferencePair};
use omnireward_curate::{
    decontaminate::{DecontaminateSettings, decontaminate},
    dedup::{DedupSettings, dedup},
    engine::{EngineConfig, cluster::Loopback},
    mix::{MixRecipe, mix},
    stats::{Stats, stats},
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

/// All four kinds of work; the folders with results, and the statistics.
async fn everything(
    set: &Set,
    root: &Path,
    name: &str,
    engine: &EngineConfig,
) -> (Vec<PathBuf>, Stats) {
    let out = |work: &str| root.join(format!("{work} {name}"));
    let outs = vec![out("dedup"), out("decontaminate"), out("mix")];
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
    let found = stats(
        &set.training,
        &root.join(format!("stats {name}")),
        true,
        engine,
        &NoProgress,
    )
    .await
    .unwrap();
    (outs, found)
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
    assert_eq!(here.1, there.1);
    for (one, other) in here.0.iter().zip(&there.0) {
        let [one, other] = [one, other].map(|out| contents(out));
        assert!(one.len() > 2);
        assert!(one == other, "{:?}", one.keys());
    }
}
