//! Whole results from rows: failures, order, criteria, comparisons and verification.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "helpers of tests fail as tests do, and these numbers are exact"
)]

mod support;

use omnireward_core::{Order, Preference, Setting, Status, Task, Usage};
use omnireward_eval::{
    Method, Results, ResultsConfig, Row, SettingResults, compare,
    metrics::{FailurePolicy, ties},
    verify,
};
use proptest::prelude::*;
use support::{row, scored};

use Preference::{First, Second, Tie};

fn config() -> ResultsConfig {
    ResultsConfig {
        resamples: 500,
        ..ResultsConfig::default()
    }
}

fn without_ties(rows: &[Row]) -> SettingResults {
    Results::compute(rows, &config())
        .setting(Setting::WithoutTies)
        .unwrap()
        .clone()
}

fn plain(id: &str, label: Preference, verdict: Option<Preference>) -> Row {
    row(id, Task::T2T, Setting::WithoutTies, label, verdict)
}

/// A mixed run: several tasks, both settings and orders, failures, groups and criteria.
fn mixed(seed: u32) -> Vec<Row> {
    let mut state = seed;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let mut rows = Vec::new();
    for index in 0..120_u32 {
        let task = [Task::T2T, Task::T2I, Task::T2A][index as usize % 3];
        let label = Preference::ALL[next(3) as usize];
        for setting in Setting::ALL {
            for order in [Order::AsIs, Order::Swapped] {
                let verdict = match next(10) {
                    0 => None,
                    n if n < 6 => Some(label),
                    n => {
                        Some(Preference::ALL[n as usize % if setting.offers_tie() { 3 } else { 2 }])
                    }
                };
                rows.push(Row {
                    order,
                    group: format!("g{}", index / 6 * 3 + index % 3),
                    criterion: Some(format!("criterion {}", index / 3 % 2)),
                    source: Some(format!("source {}", index % 2)),
                    models: [0, 1]
                        .map(|side| Some(format!("model {}", (index / 6 + side * 2) % 4))),
                    usage: Usage {
                        requests: 1,
                        prompt_tokens: 10,
                        completion_tokens: 2,
                    },
                    latency_ms: u64::from(next(1000)),
                    ..row(format!("p{index}"), task, setting, label, verdict)
                });
            }
        }
    }
    rows
}

#[test]
fn the_order_of_rows_changes_nothing() {
    let rows = mixed(1);
    let mut other = rows.clone();
    other.reverse();
    other.swap(3, 200);
    let (a, b) = (
        Results::compute(&rows, &config()),
        Results::compute(&other, &config()),
    );
    assert_eq!(
        serde_json::to_string(&a).unwrap(),
        serde_json::to_string(&b).unwrap()
    );
}

#[test]
fn results_survive_json_and_verify_finds_a_changed_number() {
    let rows = mixed(2);
    let results = Results::compute(&rows, &config());
    let json = serde_json::to_value(&results).unwrap();
    let back: Results = serde_json::from_str(&json.to_string()).unwrap();
    assert_eq!(back, results);
    assert!(verify(&rows, &back).is_empty());

    let mut forged = json;
    let accuracy = forged
        .pointer_mut("/settings/1/tasks/0/accuracy/value")
        .unwrap();
    *accuracy = (accuracy.as_f64().unwrap() + 1e-6).into();
    *forged
        .pointer_mut("/settings/0/confusion/tie/first")
        .unwrap() = 999.into();
    let found = verify(&rows, &serde_json::from_value(forged).unwrap());
    let pointers: Vec<&str> = found.iter().map(|m| m.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/settings/0/confusion/tie/first",
            "/settings/1/tasks/0/accuracy/value"
        ]
    );
    assert!(
        found[0]
            .to_string()
            .starts_with("/settings/0/confusion/tie/first: stored 999, recomputed ")
    );

    let mut lost = rows;
    lost.pop();
    let found = verify(&lost, &results);
    assert!(found.iter().any(|m| m.pointer == "/rows"), "{found:?}");
}

#[test]
fn what_does_not_count_is_counted() {
    let mut rows = vec![
        plain("a", First, Some(First)),
        plain("b", Second, Some(First)),
        plain("c", First, None),
        plain("d", Tie, Some(First)),
        plain("e", First, Some(First)),
    ];
    rows[2].status = Status::Refused;
    rows[4].label = None;
    let results = without_ties(&rows);
    let counts = results.counts;
    assert_eq!(
        (
            counts.rows,
            counts.pairs,
            counts.unlabelled,
            counts.ties_left_out,
            counts.counted
        ),
        (5, 5, 1, 1, 3)
    );
    assert_eq!(
        (
            counts.statuses[&Status::Refused],
            counts.statuses[&Status::Readable]
        ),
        (1, 4)
    );
    assert_eq!(counts.statuses.len(), Status::ALL.len());
    let accuracy = results.tasks[0].accuracy;
    assert_eq!(
        (
            accuracy.tally.hits,
            accuracy.tally.scored,
            accuracy.tally.unscored
        ),
        (1, 2, 1)
    );
    assert_eq!(accuracy.value, Some(1.0 / 3.0));
    assert_eq!(accuracy.policies.coin, Some(0.5));
    assert_eq!(accuracy.policies.left_out, Some(0.5));
    assert_eq!(accuracy.coverage, Some(2.0 / 3.0));
    assert_eq!(results.confusion.first.unscored, 1);
}

#[test]
fn a_tie_is_wrong_where_the_label_is_not_one() {
    let answered = |verdict| row("a", Task::T2T, Setting::WithTies, First, Some(verdict));
    for (verdict, hits) in [(Tie, 0), (First, 1), (Second, 0)] {
        let rows = [
            answered(verdict),
            row("b", Task::T2T, Setting::WithTies, Tie, Some(Tie)),
        ];
        let results = Results::compute(&rows, &config());
        let task = &results.settings[0].tasks[0];
        assert_eq!(task.accuracy.tally.hits, hits + 1);
        assert_eq!(
            (
                task.without_tie_labels.tally.hits,
                task.without_tie_labels.tally.total()
            ),
            (hits, 1)
        );
        assert_eq!(task.method, Method::Verdicts);
    }
}

#[test]
fn equal_scores_are_wrong_without_ties() {
    let rows = [
        scored("a", Task::T2I, Setting::WithoutTies, First, 0.0),
        scored("b", Task::T2I, Setting::WithoutTies, First, 0.1),
        scored("c", Task::T2I, Setting::WithoutTies, Second, 0.1),
        scored("d", Task::T2I, Setting::WithoutTies, Second, f64::NAN),
    ];
    let task = without_ties(&rows).tasks.remove(0);
    assert_eq!(
        (
            task.accuracy.tally.hits,
            task.accuracy.tally.scored,
            task.accuracy.tally.unscored
        ),
        (1, 3, 1)
    );
    assert_eq!(task.ties, None);
}

#[test]
fn a_scoring_judge_gets_thresholds_from_other_folds_only_where_a_tie_was_offered() {
    // Ties have small margins, so a threshold near 1 is right everywhere.
    let rows: Vec<Row> = (0..60_u32)
        .map(|i| {
            let (label, margin) = match i % 3 {
                0 => (Tie, f64::from(i % 7) / 7.0 - 0.5),
                1 => (First, 2.0 + f64::from(i)),
                _ => (Second, -2.0 - f64::from(i)),
            };
            scored(format!("p{i}"), Task::T2V, Setting::WithTies, label, margin)
        })
        .collect();
    let results = Results::compute(&rows, &config());
    let task = &results.settings[0].tasks[0];
    let ties = task.ties.as_ref().unwrap();
    assert_eq!(task.method, Method::CrossFittedThreshold);
    assert_eq!(ties.cross_fitted.folds.len(), 5);
    assert_eq!(ties.fitted_accuracy, Some(1.0));
    assert_eq!(task.accuracy.value, ties.cross_fitted_accuracy);
    assert!(task.accuracy.value.unwrap() > 0.9);
    assert_eq!(task.without_tie_labels.value, Some(1.0));
    assert_eq!(
        task.confusion.tie.tie + task.confusion.tie.first + task.confusion.tie.second,
        20
    );
    assert_eq!(ties.curve.first().unwrap().threshold, None);

    // The same margins from a judge that also states preferences of its own, or that replies in words, are left alone.
    let mut stated = rows.clone();
    stated[1].preference = Some(Tie);
    let mut spoken = rows;
    spoken[1].raw = Some("[[A]]".to_owned());
    for left_alone in [stated, spoken] {
        let results = Results::compute(&left_alone, &config());
        assert_eq!(results.settings[0].tasks[0].method, Method::Verdicts);
        assert_eq!(results.settings[0].tasks[0].ties, None);
    }
}

#[test]
fn a_judge_that_always_takes_the_first_shown_is_seen_through() {
    let rows: Vec<Row> = (0..40)
        .flat_map(|i| {
            let label = if i % 2 == 0 { First } else { Second };
            [(Order::AsIs, First), (Order::Swapped, Second)].map(|(order, verdict)| Row {
                order,
                ..plain(&format!("p{i}"), label, Some(verdict))
            })
        })
        .collect();
    let position = without_ties(&rows).position;
    assert_eq!(
        (position.pairs, position.comparable, position.consistent),
        (40, 40, 0)
    );
    assert_eq!(position.consistency, Some(0.0));
    assert_eq!(position.first_position_share, Some(1.0));
    assert_eq!(position.first_position_labels, Some(0.5));
    assert_eq!(position.both_orders_accuracy, Some(0.0));
    assert_eq!(
        (position.accuracy_as_is, position.accuracy_swapped),
        (Some(0.5), Some(0.5))
    );
    assert_eq!(position.kappa, Some(0.0));
    assert_eq!(without_ties(&rows).tasks[0].accuracy.clusters, 40);
}

/// Where margins are equal, the reference's walk gives what the order of the benchmark's file makes
/// of it, whatever the pairs are called.
#[test]
fn the_parity_walk_goes_in_the_benchmarks_order() {
    let labels = [Tie, First, First, Tie, First];
    let walked = |positions: [u64; 5]| {
        let mut rows: Vec<Row> = labels
            .iter()
            .zip(positions)
            .zip(["p9", "p10", "p2", "q", "a"])
            .map(|((label, position), id)| Row {
                position,
                ..scored(id, Task::T2T, Setting::WithTies, *label, 0.5)
            })
            .collect();
        rows.reverse();
        let results = Results::compute(&rows, &config());
        results.settings[0].tasks[0].ties.as_ref().unwrap().parity
    };
    let in_order = |order: [usize; 5]| {
        let scored = order.map(|at| ties::Scored {
            margin: 0.5,
            label: labels[at],
        });
        ties::walk(&scored)
    };
    let (there, back) = (in_order([0, 1, 2, 3, 4]), in_order([1, 2, 4, 0, 3]));
    assert_ne!(there.hits, back.hits, "the order decides");
    assert_eq!(walked([0, 1, 2, 3, 4]), there);
    assert_eq!(walked([3, 0, 1, 4, 2]), back);
}

#[test]
fn a_judge_blind_to_criteria_is_at_a_half() {
    let group =
        |name: &str, labels: &[Preference], verdict: fn(Preference) -> Preference| -> Vec<Row> {
            labels
                .iter()
                .enumerate()
                .map(|(i, label)| Row {
                    group: name.to_owned(),
                    criterion: Some(format!("criterion {i}")),
                    ..plain(&format!("{name}-{i}"), *label, Some(verdict(*label)))
                })
                .collect()
        };
    let blind = |labels: &[Preference]| group(&format!("{labels:?}"), labels, |_| First);
    let mut rows = blind(&[First, First, First, Second]);
    rows.extend(blind(&[Second, Second, First]));
    rows.extend(blind(&[First, First]));
    let following = without_ties(&rows).criterion_following.unwrap();
    assert_eq!((following.groups, following.pairs), (2, 7));
    assert_eq!(following.balanced_accuracy, 0.5);
    assert_eq!((following.all_right, following.unmoved), (0, 2));
    assert_eq!(following.accuracy.tally.hits, 4);

    let follows = group("x", &[First, Second], |label| label);
    let following = without_ties(&follows).criterion_following.unwrap();
    assert_eq!(
        (
            following.balanced_accuracy,
            following.all_right_share,
            following.unmoved
        ),
        (1.0, 1.0, 0)
    );
    assert_eq!(
        without_ties(&blind(&[First, First])).criterion_following,
        None
    );
}

#[test]
fn comparisons_of_a_ranked_list_are_not_criteria_that_disagree() {
    let listed = |suffix: &str, label| Row {
        group: "list".to_owned(),
        ..plain(&format!("list#{suffix}"), label, Some(First))
    };
    let rows = [listed("0-1", First), listed("0-2", Second)];
    assert_eq!(without_ties(&rows).criterion_following, None);
}

#[test]
fn overall_is_over_common_tasks_with_own_tasks_beside_it() {
    let mut rows = vec![
        plain("a", First, Some(First)),
        plain("b", First, Some(First)),
    ];
    rows.push(row(
        "c",
        Task::T2A,
        Setting::WithoutTies,
        First,
        Some(Second),
    ));
    let config = ResultsConfig {
        common_tasks: Some(vec![Task::T2T, Task::T2V]),
        ..config()
    };
    let results = Results::compute(&rows, &config);
    let overall = &results.settings[0].overall;
    assert_eq!(
        (overall.common.value, overall.common.tasks.as_slice()),
        (Some(1.0), &[Task::T2T][..])
    );
    assert_eq!((overall.own.value, overall.own.tasks.len()), (Some(0.5), 2));
    assert_eq!(overall.micro.value, Some(2.0 / 3.0));
    assert_eq!(overall.ties, None);
}

#[test]
fn standings_and_breakdowns_name_models_sources_and_criteria() {
    let results = Results::compute(&mixed(3), &config());
    let setting = results.setting(Setting::WithTies).unwrap();
    assert_eq!(setting.by_source.len(), 2);
    assert_eq!(setting.by_criterion.len(), 2);
    let total: u64 = setting
        .by_source
        .iter()
        .map(|g| g.accuracy.tally.total())
        .sum();
    assert_eq!(total, setting.counts.counted);
    assert!(
        setting
            .by_models
            .iter()
            .all(|pair| pair.models[0] < pair.models[1])
    );
    let rows: u64 = setting.models.iter().map(|m| m.rows).sum();
    let scored = setting.overall.micro.tally.scored;
    assert_eq!(rows, 2 * scored);
    let wins: f64 = setting
        .models
        .iter()
        .map(|m| m.judge_win_rate * m.rows as f64)
        .sum();
    assert!(
        (wins - scored as f64).abs() < 1e-9,
        "every row has one win to share"
    );
    assert_eq!(results.effort.usage.requests, 480);
    let latency = results.effort.latency_ms.unwrap();
    assert!(latency.p50 <= latency.p90 && latency.p99 <= latency.max);
}

#[test]
fn no_rows_are_no_numbers() {
    let results = Results::compute(&[], &config());
    assert!(results.settings.is_empty());
    assert_eq!(results.effort.latency_ms, None);
    let failed = [plain("a", First, None)];
    let config = ResultsConfig {
        failure_policy: FailurePolicy::LeftOut,
        ..config()
    };
    let results = Results::compute(&failed, &config);
    let task = &results.settings[0].tasks[0];
    assert_eq!((task.accuracy.value, task.accuracy.interval), (None, None));
    assert_eq!(results.settings[0].overall.own.value, None);
    assert_eq!(task.accuracy.policies.wrong, Some(0.0));
}

#[test]
fn comparing_matches_pairs_and_adjusts_for_their_number() {
    // `good` is right on all of 40, `fair` on all but the last 10, `poor` on none; one more pair
    // only `good` has.
    let run = |right: std::ops::Range<usize>, count: usize| -> Vec<Row> {
        (0..count)
            .map(|i| {
                plain(
                    &format!("p{i}"),
                    First,
                    Some(if right.contains(&i) { First } else { Second }),
                )
            })
            .collect()
    };
    let (good, fair, poor) = (run(0..41, 41), run(0..30, 40), run(0..0, 40));
    let comparison = compare(
        &[("good", &good), ("fair", &fair), ("poor", &poor)],
        &config(),
    );
    assert_eq!(comparison.settings.len(), 1);
    let setting = &comparison.settings[0];
    assert_eq!(
        (setting.tasks.as_slice(), setting.scores.len()),
        (&[Task::T2T][..], 3)
    );
    let names: Vec<_> = setting
        .overall
        .iter()
        .map(|g| (g.first.as_str(), g.second.as_str()))
        .collect();
    assert_eq!(
        names,
        [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    );
    let gap = &setting.overall[0];
    assert_eq!((gap.verdicts, gap.pairs, gap.unmatched), (40, 40, [1, 0]));
    assert_eq!((gap.accuracy, gap.gap), ([1.0, 0.75], 0.25));
    assert_eq!(
        (gap.by_pair.test.first_only, gap.by_pair.test.second_only),
        (10, 0)
    );
    let p = 2.0 / 1024.0;
    assert!((gap.by_pair.test.p - p).abs() < 1e-12);
    assert!(
        (gap.by_pair.holm - p).abs() < 1e-12,
        "the largest p-value keeps its size"
    );
    assert!(setting.overall[1].by_pair.holm > setting.overall[1].by_pair.test.p);
    let interval = gap.interval.unwrap();
    assert!(
        interval.low > 0.1 && interval.low < 0.25 && interval.high > 0.25 && interval.high < 0.4
    );
    let detectable = gap.minimal_detectable_gap.unwrap();
    assert!(detectable > 0.15 && detectable < 0.25, "{detectable}");
    assert_eq!(setting.by_task.len(), 3);
    assert_eq!(setting.by_task[0].gap, gap.gap);
    let back: omnireward_eval::Comparison =
        serde_json::from_str(&serde_json::to_string(&comparison).unwrap()).unwrap();
    assert_eq!(back, comparison);
}

#[test]
fn comparing_uses_common_tasks_and_leaves_other_labels_unmatched() {
    let both = [
        plain("a", First, Some(First)),
        row("x", Task::T2A, Setting::WithoutTies, First, Some(First)),
    ];
    let relabelled = [
        plain("a", Second, Some(Second)),
        plain("b", First, Some(First)),
    ];
    let comparison = compare(&[("m", &both), ("n", &relabelled)], &config());
    let setting = &comparison.settings[0];
    assert_eq!(setting.tasks, [Task::T2T]);
    assert!(setting.overall.is_empty(), "nothing matches");
    assert_eq!(setting.scores[0].own.tasks.len(), 2);
    assert_eq!(setting.scores[0].common.tasks, [Task::T2T]);
    assert!(compare(&[("m", &both)], &config()).settings.is_empty());
}

#[test]
fn groups_that_move_together_raise_what_can_be_detected() {
    let run = |right: bool, size: usize| -> Vec<Row> {
        (0..60)
            .map(|i| Row {
                group: format!("g{}", i / size),
                ..plain(
                    &format!("p{i}"),
                    First,
                    Some(if right || i / 6 % 2 == 0 {
                        First
                    } else {
                        Second
                    }),
                )
            })
            .collect()
    };
    let detectable = |size| {
        let (a, b) = (run(true, size), run(false, size));
        let comparison = compare(&[("a", &a), ("b", &b)], &config());
        let gap = &comparison.settings[0].overall[0];
        (
            gap.minimal_detectable_gap.unwrap(),
            gap.by_group.test.first_only,
            gap.by_pair.test.first_only,
        )
    };
    let (alone, groups, pairs) = detectable(1);
    assert_eq!((groups, pairs), (30, 30));
    let (together, groups, pairs) = detectable(6);
    assert_eq!((groups, pairs), (5, 30));
    assert!(together > 2.0 * alone, "{together} {alone}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Exchanging the responses of every pair turns labels, verdicts and orders, and nothing else.
    #[test]
    fn swapping_every_pair_keeps_every_share(seed in 0_u32..10_000) {
        let rows = mixed(seed);
        let swapped: Vec<Row> = rows
            .iter()
            .map(|r| Row {
                label: r.label.map(Preference::swapped),
                preference: r.preference.map(Preference::swapped),
                order: if r.order == Order::AsIs { Order::Swapped } else { Order::AsIs },
                models: [r.models[1].clone(), r.models[0].clone()],
                ..r.clone()
            })
            .collect();
        let (a, b) = (Results::compute(&rows, &config()), Results::compute(&swapped, &config()));
        for (a, b) in a.settings.iter().zip(&b.settings) {
            prop_assert_eq!(&a.overall, &b.overall);
            prop_assert_eq!(a.position.consistency, b.position.consistency);
            prop_assert_eq!(a.position.first_shown, b.position.first_shown);
            prop_assert_eq!(a.position.accuracy_as_is, b.position.accuracy_swapped);
            prop_assert_eq!(&a.models, &b.models);
            prop_assert_eq!(a.confusion.first.second, b.confusion.second.first);
        }
    }

    /// Gaps are antisymmetric.
    #[test]
    fn comparing_the_other_way_round_turns_the_gap(seed in 0_u32..10_000) {
        let (a, b) = (mixed(seed), mixed(seed + 1));
        // The same labels, so that pairs match.
        let b: Vec<Row> = a
            .iter()
            .zip(b)
            .map(|(a, b)| Row { preference: b.preference, status: b.status, ..a.clone() })
            .collect();
        let there = compare(&[("a", &a), ("b", &b)], &config());
        let back = compare(&[("b", &b), ("a", &a)], &config());
        for (there, back) in there.settings.iter().zip(&back.settings) {
            let (there, back) = (&there.overall[0], &back.overall[0]);
            prop_assert!((there.gap + back.gap).abs() < 1e-12);
            prop_assert_eq!(there.by_pair.test.p, back.by_pair.test.p);
            prop_assert_eq!(there.by_pair.test.first_only, back.by_pair.test.second_only);
            let (i, j) = (there.interval.unwrap(), back.interval.unwrap());
            prop_assert!((i.low + j.high).abs() < 1e-9 && (i.high + j.low).abs() < 1e-9);
        }
    }
}
