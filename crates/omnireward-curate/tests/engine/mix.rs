use std::{collections::BTreeSet, fs, path::Path};

use omnireward_core::{NoProgress, PreferencePair, Task};
use omnireward_curate::{
    Error,
    mix::{Kind, MixRecipe, MixReport, mix},
};
use omnireward_testkit::published_sources;

use super::{Dice, contents, dedup::runtime, engine, ids, input, read, text_pair};

const RECIPE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../recipes/omni-reward-data.toml"
);

fn run(recipe: &MixRecipe, root: &Path, out: &Path, partitions: usize) -> MixReport {
    runtime()
        .block_on(mix(recipe, root, out, &engine(partitions), &NoProgress))
        .unwrap()
}

fn recipe(folder: &Path, text: &str) -> MixRecipe {
    let file = folder.join("recipe.toml");
    fs::write(&file, text).unwrap();
    MixRecipe::read(&file).unwrap()
}

fn numbered(name: &str, count: usize, dice: &mut Dice) -> Vec<PreferencePair> {
    (0..count)
        .map(|index| text_pair(&format!("{name}{index}"), dice))
        .collect()
}

/// Sets `a` of 60 rows and `b` of 20.
fn sources(folder: &Path) {
    let mut dice = Dice(5);
    for (name, count) in [("a", 60), ("b", 20)] {
        input(folder, name, &numbered(name, count, &mut dice));
    }
}

fn two(more: &str, of_a: &str, of_b: &str) -> String {
    let subset = |name: &str, more: &str| {
        format!(
            "[[subset]]\nname = '{name}'\npath = '{name}'\ntask = 'T2T'\nkind = 'general'\n{more}\n"
        )
    };
    format!("{more}\n{}{}", subset("a", of_a), subset("b", of_b))
}

#[test]
fn a_mixture_follows_from_its_seed_alone() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    let text = two("seed = 4\nrows_per_file = 16", "pairs = 30", "weight = 1.5");
    let wanted = recipe(folder.path(), &text);
    let outs = ["one", "three"].map(|name| folder.path().join(name));
    let report = run(&wanted, folder.path(), &outs[0], 1);
    run(&wanted, folder.path(), &outs[1], 3);
    assert_eq!(contents(&outs[0]), contents(&outs[1]));
    assert_eq!(report.rows, 60);

    let rows = read(&outs[0]);
    assert_eq!(ids(&rows).iter().collect::<BTreeSet<_>>().len(), 60);
    assert_eq!(
        ids(&rows)
            .iter()
            .filter(|id| id.starts_with("b/") && id.ends_with("#2"))
            .count(),
        10
    );
    assert!(
        rows.iter()
            .any(|pair| pair.extra["mixture"]["subset"] == "a")
    );
    // Shuffled: both subsets are in the first file.
    assert!(
        ["a/", "b/"]
            .iter()
            .all(|name| ids(&rows)[..16].iter().any(|id| id.starts_with(name)))
    );

    let other = MixRecipe { seed: 5, ..wanted };
    let changed = folder.path().join("changed");
    run(&other, folder.path(), &changed, 2);
    assert_ne!(ids(&rows), ids(&read(&changed)));
}

#[test]
fn a_larger_sample_contains_the_smaller_and_no_other_subset_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    let sample = |name: &str, text: &str| {
        let out = folder.path().join(name);
        run(&recipe(folder.path(), text), folder.path(), &out, 2);
        let rows = read(&out).into_iter().map(|pair| pair.id);
        rows.filter(|id| id.starts_with("a/"))
            .collect::<BTreeSet<_>>()
    };
    let small = sample("small", &two("", "pairs = 10", ""));
    let large = sample("large", &two("", "pairs = 30", "cap = 3"));
    assert_eq!((small.len(), large.len()), (10, 30));
    assert!(small.is_subset(&large));
}

#[test]
fn as_listed_keeps_the_order_of_the_sets() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    let out = folder.path().join("out");
    run(
        &recipe(
            folder.path(),
            &two("order = 'as-listed'\nmax_samples = 15", "", ""),
        ),
        folder.path(),
        &out,
        2,
    );
    let rows = read(&out);
    let numbers: Vec<(String, u32)> = ids(&rows)
        .iter()
        .map(|id| (id[..1].to_owned(), id[3..].parse().unwrap()))
        .collect();
    assert_eq!(numbers.len(), 30);
    assert!(numbers.is_sorted());
}

#[test]
fn what_differs_from_the_recipe_is_told() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    let text =
        two("", "pairs = 100", "").replace("kind = 'general'\n\n", "kind = 'instruction'\n\n");
    let report = run(
        &recipe(folder.path(), &text),
        folder.path(),
        &folder.path().join("out"),
        2,
    );
    let told = report.disagreements();
    assert_eq!(
        told,
        [
            "`a` gives 60 rows, 100 are expected",
            "20 rows of `b` have no criterion"
        ]
    );
}

#[test]
fn a_mixture_without_a_row_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    let tiny = two("", "weight = 0.0001", "weight = 0.0001");
    let none = MixRecipe {
        max_samples: Some(0),
        ..recipe(folder.path(), &two("", "", ""))
    };
    for (name, recipe) in [("tiny", recipe(folder.path(), &tiny)), ("none", none)] {
        let out = folder.path().join(name);
        let engine = engine(1);
        let work = mix(&recipe, folder.path(), &out, &engine, &NoProgress);
        let error = runtime().block_on(work).unwrap_err();
        assert!(matches!(error, Error::Recipe { .. }), "{error}");
        assert!(
            error.to_string().contains("no subset gives a row"),
            "{error}"
        );
    }
}

#[test]
fn the_shipped_recipe_is_the_published_table() {
    let recipe = MixRecipe::read(Path::new(RECIPE)).unwrap();
    let found: Vec<(&str, u64)> = recipe
        .subsets
        .iter()
        .map(|subset| (subset.path.to_str().unwrap(), subset.pairs.unwrap()))
        .collect();
    let mut published = published_sources::PUBLISHED_PAIRS.to_vec();
    published.sort_unstable();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, published);
    let sum = |wanted: &dyn Fn(&omnireward_curate::mix::Subset) -> bool, cap| {
        let subsets = recipe.subsets.iter().filter(|subset| wanted(subset));
        subsets
            .map(|subset| subset.expected(cap).unwrap())
            .sum::<u64>()
    };
    assert_eq!(sum(&|subset| subset.kind == Kind::General, None), 247_863);
    assert_eq!(
        sum(&|subset| subset.kind == Kind::Instruction, None),
        69_519
    );
    assert_eq!(sum(&|_| true, Some(50_000)), 284_258);
}

/// The mixture of the paper from generated sources, every count divided by `divisor`.
fn rebuild(divisor: u64, cap: Option<u64>) -> MixReport {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = MixRecipe::read(Path::new(RECIPE)).unwrap();
    recipe.max_samples = cap;
    for subset in &mut recipe.subsets {
        let pairs = subset.pairs.unwrap() / divisor;
        let name = subset.path.to_str().unwrap().to_owned();
        published_sources::write(&folder.path().join(&name), &name, pairs, 1);
        subset.pairs = Some(pairs);
    }
    run(&recipe, folder.path(), &folder.path().join("out"), 2)
}

#[test]
fn the_mixture_is_rebuilt_from_sources_at_a_hundredth() {
    let report = rebuild(100, Some(500));
    assert_eq!(report.disagreements(), Vec::<String>::new());
    assert_eq!(report.subsets[3].count.taken, 500);
    assert_eq!(report.subsets[1].count.taken, 163);
}

#[test]
#[ignore = "takes minutes"]
fn the_mixture_is_rebuilt_from_sources_as_the_paper_counts_it() {
    for (cap, total, understanding) in [(None, 317_382, 161_302), (Some(50_000), 284_258, 128_178)]
    {
        let report = rebuild(1, cap);
        assert_eq!(report.disagreements(), Vec::<String>::new());
        assert_eq!(report.rows, total);
        let of = |wanted: Task| {
            report
                .by_task
                .iter()
                .find(|(task, _)| *task == wanted)
                .unwrap()
                .1
                .taken
        };
        let tasks = [Task::T2T, Task::TI2T, Task::T2I, Task::T2V].map(of);
        assert_eq!(tasks, [74_277, understanding, 70_008, 11_795]);
        assert_eq!(report.by_kind[1].1.taken, 69_519);
    }
}
