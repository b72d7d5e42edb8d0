//! Times computing every number of a full-size run: 3,725 pairs in both settings and both orders
//! with 10,000 resamples.

use std::time::Instant;

use omnireward_core::{Order, Preference, Setting, Status, Task, Usage};
use omnireward_eval::{Results, ResultsConfig, Row};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Pairs of Omni-RewardBench, by task.
const PAIRS: [(Task, usize); 9] = [
    (Task::T2T, 417),
    (Task::TI2T, 528),
    (Task::TV2T, 443),
    (Task::TA2T, 357),
    (Task::T2I, 509),
    (Task::T2V, 529),
    (Task::T2A, 411),
    (Task::T23D, 302),
    (Task::TI2I, 229),
];

#[expect(clippy::print_stdout, reason = "a benchmark prints its times")]
fn main() {
    let config = ResultsConfig::default();
    let cases = [
        ("a judge that writes, groups of 3 pairs", rows(3, false)),
        ("a judge that writes, every pair a group", rows(1, false)),
        ("a judge that scores, every pair a group", rows(1, true)),
    ];
    for (name, rows) in cases {
        let mut seconds: Vec<f64> = (0..5)
            .map(|_| {
                let start = Instant::now();
                let results = Results::compute(&rows, &config);
                assert_eq!(results.rows, rows.len() as u64);
                start.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        println!(
            "{name}: {} rows, {} resamples: median {:.3} s, worst {:.3} s",
            rows.len(),
            config.resamples,
            seconds[2],
            seconds[4]
        );
    }
}

fn rows(group_size: usize, scores: bool) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut rows = Vec::new();
    for (task, pairs) in PAIRS {
        for index in 0..pairs {
            let label = Preference::ALL[[0, 0, 0, 1, 1, 1, 1, 2][rng.random_range(0..8)]];
            for setting in Setting::ALL {
                if label == Preference::Tie && !setting.offers_tie() {
                    continue;
                }
                for order in [Order::AsIs, Order::Swapped] {
                    let margin: f64 = rng.random_range(-1.0..1.0);
                    let stated = if rng.random_bool(0.7) {
                        label
                    } else {
                        Preference::First
                    };
                    rows.push(Row {
                        pair_id: format!("{}_{index}", task.key()),
                        position: index as u64,
                        task,
                        setting,
                        order,
                        group: format!("{}_{}", task.key(), index / group_size),
                        source: Some(format!("source {}", index % 3)),
                        criterion: Some(format!("criterion {}", index % 200)),
                        models: [index % 15, (index + 1) % 15].map(|m| Some(format!("model {m}"))),
                        label: Some(label),
                        status: Status::Readable,
                        preference: Some(if scores {
                            Preference::from_higher(margin, 0.0)
                        } else {
                            stated
                        }),
                        scores: scores.then_some([margin, 0.0]),
                        rationale: None,
                        raw: None,
                        usage: Usage {
                            requests: 1,
                            prompt_tokens: 900,
                            completion_tokens: 150,
                        },
                        detail: None,
                        latency_ms: rng.random_range(200..5000),
                    });
                }
            }
        }
    }
    rows
}
