//! The paper's tables against themselves, and against the counts of Omni-RewardModel-BT.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use omnireward_core::{Preference, Setting, Task};
use omnireward_eval::{
    Results, ResultsConfig, Row,
    published::{Origin, PublishedTable, omni_reward_bench, table, tables},
};
use support::scored;

/// (task, right and all without ties, right and all with ties), recovered from the percentages.
const COUNTS: [(Task, usize, usize, usize, usize); 9] = [
    (Task::T2T, 314, 366, 314, 417),
    (Task::TI2T, 313, 430, 318, 528),
    (Task::TV2T, 302, 380, 305, 443),
    (Task::TA2T, 252, 334, 252, 357),
    (Task::T2I, 296, 441, 297, 509),
    (Task::T2V, 339, 466, 339, 529),
    (Task::T2A, 263, 396, 263, 411),
    (Task::T23D, 205, 264, 205, 302),
    (Task::TI2I, 136, 207, 135, 229),
];

const BT: &str = "Omni-RewardModel-BT";

const SHARED_TASKS: [Task; 7] = [
    Task::T2T,
    Task::TI2T,
    Task::TV2T,
    Task::T2I,
    Task::T2V,
    Task::T23D,
    Task::TI2I,
];

/// Labels and margins on which the sign is right `right` times of `decided` and the reference's
/// walk reads `with_ties` of `all`.
///
/// Sizes of margins grow along the list: first the ties that a small threshold gains, or one
/// decided pair that the walk must give up, then everything right, then the rest.
fn margins(right: usize, decided: usize, with_ties: usize, all: usize) -> Vec<(Preference, bool)> {
    let ties = all - decided;
    let mut list = Vec::new();
    let mut wrong = decided - right;
    let mut unmarked = right;
    let gained = with_ties.saturating_sub(right);
    list.extend(vec![(Preference::Tie, true); gained]);
    if gained == 0 && with_ties == right {
        list.push((Preference::First, false));
        wrong -= 1;
    }
    if with_ties < right {
        assert_eq!(
            with_ties + 1,
            right,
            "the walk loses at most the pair it must tie"
        );
        list.push((Preference::First, true));
        unmarked -= 1;
    }
    list.extend(vec![(Preference::First, true); unmarked]);
    list.extend(vec![(Preference::Second, false); wrong]);
    list.extend(vec![(Preference::Tie, true); ties - gained]);
    list
}

fn rows(setting: Setting) -> Vec<Row> {
    let mut rows = Vec::new();
    for (task, right, decided, with_ties, all) in COUNTS {
        for (index, (label, is_right)) in margins(right, decided, with_ties, all)
            .into_iter()
            .enumerate()
        {
            let size = (index + 1) as f64 / 64.0;
            let sign = if (label == Preference::Second) == is_right {
                -1.0
            } else {
                1.0
            };
            if label != Preference::Tie || setting.offers_tie() {
                rows.push(scored(
                    format!("{task}-{index}"),
                    task,
                    setting,
                    label,
                    sign * size,
                ));
            }
        }
    }
    rows
}

fn config(common_tasks: Option<Vec<Task>>) -> ResultsConfig {
    ResultsConfig {
        resamples: 200,
        common_tasks,
        ..ResultsConfig::default()
    }
}

fn two_decimals(share: f64) -> String {
    format!("{:.2}", share * 100.0)
}

fn printed(setting: Setting, column: &str) -> String {
    format!(
        "{:.2}",
        omni_reward_bench(setting).percent(BT, column).unwrap()
    )
}

#[test]
fn the_18_cells_of_the_bt_model_follow_from_its_counts() {
    let mut all = rows(Setting::WithTies);
    all.extend(rows(Setting::WithoutTies));
    assert_eq!(all.len(), 3725 + 3284);
    let results = Results::compute(&all, &config(None));
    let without = results.setting(Setting::WithoutTies).unwrap();
    let with = results.setting(Setting::WithTies).unwrap();
    println!("task   without ties       with ties (the reference's walk)");
    for (task, right, decided, with_ties, total) in COUNTS {
        let plain = without.task(task).unwrap().accuracy;
        assert_eq!(
            (plain.tally.hits, plain.tally.total()),
            (right as u64, decided as u64)
        );
        assert_eq!(
            two_decimals(plain.value.unwrap()),
            printed(Setting::WithoutTies, task.code())
        );
        let ties = with.task(task).unwrap().ties.as_ref().unwrap();
        assert_eq!(
            (ties.parity.hits, ties.parity.total),
            (with_ties as u64, total as u64)
        );
        let parity = two_decimals(ties.parity.accuracy.unwrap());
        assert_eq!(parity, printed(Setting::WithTies, task.code()));
        println!(
            "{task:5}  {right}/{decided} = {}  {with_ties}/{total} = {parity}",
            two_decimals(plain.value.unwrap())
        );
        // Declaring nothing a tie is better for TI2I, which the reference never tries.
        assert_eq!(ties.fitted.counts.hits(), right.max(with_ties) as u64);
        assert_eq!(ties.fitted.threshold.is_none(), with_ties <= right);
    }
}

#[test]
fn the_overall_figures_of_the_bt_model_follow_from_its_counts() {
    let mut all = rows(Setting::WithTies);
    all.extend(rows(Setting::WithoutTies));
    let results = Results::compute(&all, &config(Some(SHARED_TASKS.to_vec())));
    let without = &results.setting(Setting::WithoutTies).unwrap().overall;
    let with = results.setting(Setting::WithTies).unwrap();
    assert_eq!(
        two_decimals(without.own.value.unwrap()),
        printed(Setting::WithoutTies, "Overall")
    );
    assert_eq!(two_decimals(without.own.value.unwrap()), "73.68");
    assert_eq!(two_decimals(without.micro.value.unwrap()), "73.69");
    assert_eq!(without.micro.tally.hits, 2420);
    assert_eq!(two_decimals(without.common.value.unwrap()), "74.47");
    assert_eq!(without.common.tasks, SHARED_TASKS);
    assert_eq!(
        two_decimals(with.overall.ties.unwrap().parity),
        printed(Setting::WithTies, "Overall")
    );
    let parity = |tasks: &[Task]| {
        let walks = tasks
            .iter()
            .map(|task| with.task(*task).unwrap().ties.as_ref().unwrap().parity);
        let (hits, total, sum) = walks.fold((0, 0, 0.0), |(hits, total, sum), walk| {
            (
                hits + walk.hits,
                total + walk.total,
                sum + walk.accuracy.unwrap(),
            )
        });
        (hits, total, sum / tasks.len() as f64)
    };
    assert_eq!(two_decimals(parity(&SHARED_TASKS).2), "64.81");
    let (hits, total, _) = parity(&Task::ALL);
    assert_eq!((hits, total), (2428, 3725));
    assert_eq!(two_decimals(hits as f64 / total as f64), "65.18");
}

#[test]
fn every_row_is_the_mean_of_its_cells() {
    for setting in Setting::ALL {
        let table = omni_reward_bench(setting);
        assert_eq!(
            table.columns,
            [
                "T2T", "TI2T", "TV2T", "TA2T", "T2I", "T2V", "T2A", "T23D", "TI2I", "Overall"
            ]
        );
        assert_eq!(table.rows.len(), 38);
        for row in table.rows.iter().filter(|row| row.origin == Origin::Paper) {
            assert!(
                mean_is_overall(table, &row.model, 0.0051),
                "{} in {}",
                row.model,
                table.id
            );
            let reach = own_tasks(table, &row.model).len();
            assert!(reach == 9 || reach == 7, "{}", row.model);
        }
    }
}

#[test]
fn the_rows_of_the_ablation_are_means_but_for_one() {
    for id in ["training-data/with-ties", "training-data/without-ties"] {
        let table = table(id).unwrap();
        assert_eq!(table.rows.len(), 6);
        for row in &table.rows {
            let misprint = id.ends_with("without-ties") && row.model == "T2T";
            assert_eq!(
                mean_is_overall(table, &row.model, 0.0051),
                !misprint,
                "{} in {id}",
                row.model
            );
            assert_eq!(row.note.is_some(), misprint);
        }
    }
    let table = table("training-data/without-ties").unwrap();
    assert_eq!(
        format!("{:.2}", table.mean_over("T2T", &Task::ALL).unwrap()),
        "64.35"
    );
}

#[test]
fn the_average_rows_leave_out_both_omni_models() {
    for setting in Setting::ALL {
        let table = omni_reward_bench(setting);
        for column in &table.columns {
            let figures: Vec<f64> = table
                .rows
                .iter()
                .filter(|row| {
                    row.origin == Origin::Paper && !row.model.starts_with("Omni-RewardModel")
                })
                .filter_map(|row| table.percent(&row.model, column))
                .collect();
            let mean = figures.iter().sum::<f64>() / figures.len() as f64;
            let printed = table.percent("(average)", column).unwrap();
            assert!(
                (mean - printed).abs() < 0.0051,
                "{column} {mean} {printed} in {}",
                table.id
            );
        }
    }
}

#[test]
fn figures_are_whole_numbers_of_the_samples_but_for_those_noted() {
    for setting in Setting::ALL {
        let table = omni_reward_bench(setting);
        let mut impossible = Vec::new();
        for row in table.rows.iter().filter(|row| row.origin == Origin::Paper) {
            for (task, _, decided, _, all) in COUNTS {
                let count = if setting.offers_tie() { all } else { decided } as f64;
                let Some(percent) = table.percent(&row.model, task.code()) else {
                    continue;
                };
                let hits = (percent / 100.0 * count).round();
                if (hits / count * 100.0 - percent).abs() > 0.0051 {
                    impossible.push(format!("{} {task}", row.model));
                    assert!(
                        row.note
                            .as_ref()
                            .is_some_and(|note| note.contains(task.code()))
                    );
                }
            }
        }
        println!("{setting}: no whole number of samples: {impossible:?}");
        let expected: &[&str] = if setting.offers_tie() {
            &["Mistral-Small-3.1-24B-Instruct-2503 TI2T"]
        } else {
            &[
                "Mistral-Small-3.1-24B-Instruct-2503 TI2T",
                "UnifiedReward1.5 TI2T",
                "Omni-RewardModel-R1 T2T",
            ]
        };
        assert_eq!(impossible, expected);
    }
}

#[test]
fn vl_rewardbench_overall_is_weighted_by_subset_but_for_the_faulty_rows() {
    let table = table("vl-rewardbench").unwrap();
    let implied = |model: &str| {
        let cell = |column| table.percent(model, column).unwrap();
        let weighted = 183.0 * cell("General") + 749.0 * cell("Halluc.") + 318.0 * cell("Reason.");
        weighted / 1250.0
    };
    assert_eq!(format!("{:.1}", implied(BT)), "83.7");
    assert_eq!(format!("{:.1}", implied("Omni-RewardModel-R1")), "79.6");
    let corrected = format!("{BT} (corrected)");
    assert_eq!(format!("{:.1}", implied(&corrected)), "76.3");
    let rerun = format!("{BT} (re-run)");
    assert!((implied(&rerun) - 72.0).abs() < 0.1);
    let misprinted: Vec<&str> = table
        .rows
        .iter()
        .filter(|row| {
            let cell = |column| table.percent(&row.model, column).unwrap();
            let mean = (cell("General") + cell("Halluc.") + cell("Reason.")) / 3.0;
            (mean - cell("Macro")).abs() > 0.11
        })
        .map(|row| row.model.as_str())
        .collect();
    assert_eq!(misprinted, ["LLaVA-Critic-8B"]);
    assert_eq!(table.row(&corrected).unwrap().origin, Origin::Correction);
    assert_eq!(table.row(&rerun).unwrap().origin, Origin::Rerun);
}

#[test]
fn gaps_of_the_scoring_strategies_are_differences() {
    let table = table("scoring-strategy").unwrap();
    assert_eq!(table.rows.len(), 6);
    for row in &table.rows {
        let cell = |column| table.percent(&row.model, column).unwrap();
        assert!(
            (cell("Pairwise") - cell("Pointwise") - cell("Gap")).abs() < 0.0151,
            "{}",
            row.model
        );
    }
    // Pairwise is the mean of both settings over the seven tasks without audio.
    for (model, row) in [
        ("Gemma-3-4B", "Gemma-3-4B-it"),
        ("GPT-4o-mini", "GPT-4o-mini"),
    ] {
        let mean = |setting| {
            omni_reward_bench(setting)
                .mean_over(row, &SHARED_TASKS)
                .unwrap()
        };
        let both = f64::midpoint(mean(Setting::WithTies), mean(Setting::WithoutTies));
        assert!(
            (both - table.percent(model, "Pairwise").unwrap()).abs() < 0.011,
            "{model} {both}"
        );
    }
}

#[test]
fn every_table_is_rectangular_and_named_once() {
    for (index, table) in tables().iter().enumerate() {
        assert!(tables()[..index].iter().all(|other| other.id != table.id));
        for (index, row) in table.rows.iter().enumerate() {
            assert_eq!(
                row.cells.len(),
                table.columns.len(),
                "{} in {}",
                row.model,
                table.id
            );
            assert!(
                row.cells
                    .iter()
                    .filter_map(|cell| cell.percent())
                    .all(|p| (0.0..=100.0).contains(&p))
            );
            assert!(
                table.rows[..index]
                    .iter()
                    .all(|other| other.model != row.model)
            );
        }
    }
    assert_eq!(
        table("multimodal-rewardbench")
            .unwrap()
            .percent(BT, "Toxicity"),
        None
    );
}

#[test]
fn tables_survive_json() {
    let json = serde_json::to_string(tables()).unwrap();
    let back: Vec<PublishedTable> = serde_json::from_str(&json).unwrap();
    assert_eq!(back, tables());
}

fn own_tasks(table: &PublishedTable, model: &str) -> Vec<Task> {
    Task::ALL
        .into_iter()
        .filter(|task| table.percent(model, task.code()).is_some())
        .collect()
}

fn mean_is_overall(table: &PublishedTable, model: &str, tolerance: f64) -> bool {
    let mean = table.mean_over(model, &own_tasks(table, model)).unwrap();
    (mean - table.percent(model, "Overall").unwrap()).abs() <= tolerance
}
