//! The runner on a scripted judge: what is asked, what is recorded, and what is left after a stop.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use omnireward_core::{
    BoxFuture, Identity, Judge, ModelError, ModelErrorKind, NoProgress, Order, OrderPolicy,
    Preference, PreferencePair, Setting, Status, Task, Usage, Verdict,
};
use omnireward_data::{Dataset, OpenOptions};
use omnireward_eval::{
    BenchmarkRecord, Budget, Error, JudgeRecord, Prices, RunDir, RunEnd, RunManifest, RunOptions,
    RunPlan, Spend, Stop, run,
};

/// Always prefers what it is shown first, and does as told for some pairs.
#[derive(Default)]
struct Scripted {
    asked: Mutex<Vec<(String, Setting)>>,
    failures: HashMap<String, ModelErrorKind>,
    at_once: AtomicUsize,
    peak: AtomicUsize,
    interrupt_after: Option<(usize, Arc<AtomicBool>)>,
}

impl Judge for Scripted {
    fn identity(&self) -> Identity {
        Identity::new("scripted", serde_json::json!({}))
    }

    fn supports(&self, task: Task) -> bool {
        task == Task::T2T
    }

    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        setting: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
        Box::pin(async move {
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.peak.fetch_max(at_once, Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            let asked = {
                let mut asked = self.asked.lock().unwrap();
                asked.push((pair.id.clone(), setting));
                asked.len()
            };
            if let Some((after, flag)) = &self.interrupt_after
                && asked >= *after
            {
                flag.store(true, Ordering::SeqCst);
            }
            match self.failures.get(&pair.id) {
                Some(kind) => Err(ModelError::new(*kind, "as scripted")),
                None => Ok(Verdict::preferring(Preference::First)),
            }
        })
    }
}

fn benchmark(dir: &Path, lines: &[serde_json::Value]) -> Dataset {
    let file = dir.join("pairs.jsonl");
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    omnireward_data::open(&file, &OpenOptions::default()).unwrap()
}

fn pair(id: usize, label: &str) -> serde_json::Value {
    serde_json::json!({
        "id": format!("p{id}"), "task": "T2T", "prompt": "Name a prime.",
        "responses": ["9", "7"], "label": label,
    })
}

fn ten_pairs(dir: &Path) -> Dataset {
    let lines: Vec<_> = (0..10)
        .map(|id| pair(id, if id < 4 { "tie" } else { "second" }))
        .collect();
    benchmark(dir, &lines)
}

fn plan(order: OrderPolicy) -> RunPlan {
    RunPlan {
        tasks: Task::ALL.to_vec(),
        settings: Setting::ALL.to_vec(),
        order,
        seed: 0,
        limit: None,
    }
}

fn manifest(plan: &RunPlan) -> RunManifest {
    RunManifest {
        omnireward: "0.1.0".to_owned(),
        started: "2026-01-01T00:00:00Z".to_owned(),
        command: "omnireward eval".to_owned(),
        plan: plan.clone(),
        judge: JudgeRecord::new("scripted", Identity::new("scripted", serde_json::json!({}))),
        benchmark: BenchmarkRecord {
            spec: "pairs.jsonl".to_owned(),
            name: "pairs".to_owned(),
            format: "pairs".to_owned(),
            revision: None,
            fingerprint: "0".to_owned(),
        },
    }
}

fn options(concurrency: usize) -> RunOptions {
    RunOptions {
        strict: false,
        planned: 0,
        requests_per_question: 1,
        concurrency: Box::new(move || concurrency),
        interrupted: Arc::default(),
    }
}

fn count(dir: &RunDir, status: Status) -> usize {
    dir.rows()
        .unwrap()
        .iter()
        .filter(|row| row.status == status)
        .count()
}

async fn run_with(
    judge: &Arc<Scripted>,
    dataset: &Dataset,
    plan: &RunPlan,
    dir: &RunDir,
    options: RunOptions,
) -> Result<RunEnd, Error> {
    let spend = Spend::new(
        Prices::default(),
        Budget::default(),
        Usage::default(),
        Usage::default(),
    );
    run(
        judge.clone(),
        dataset,
        plan,
        dir,
        &spend,
        options,
        &NoProgress,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_settings_and_orders_are_asked_and_ties_left_out() {
    let temp = tempfile::tempdir().unwrap();
    let dataset = ten_pairs(temp.path());
    let plan = plan(OrderPolicy::Both);
    let dir = RunDir::create_or_resume(&temp.path().join("run"), &manifest(&plan)).unwrap();
    let judge = Arc::new(Scripted::default());
    let end = run_with(&judge, &dataset, &plan, &dir, options(3))
        .await
        .unwrap();
    // Ten pairs with ties and six without, each in two orders.
    assert_eq!((end.asked, end.kept, end.stopped), (32, 0, None));
    assert_eq!(judge.peak.load(Ordering::SeqCst), 3);
    let rows = dir.rows().unwrap();
    assert_eq!(rows.len(), 32);
    for row in &rows {
        // The judge prefers what it is shown first: the second response when swapped.
        let expected = match row.order {
            Order::AsIs => Preference::First,
            Order::Swapped => Preference::Second,
        };
        assert_eq!(row.preference, Some(expected));
    }
    for row in &rows {
        assert_eq!(row.pair_id, format!("p{}", row.position));
    }
    assert!(
        rows.is_sorted_by_key(|row| row.position),
        "rows come back in the benchmark's order"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_goes_on_where_it_was() {
    let temp = tempfile::tempdir().unwrap();
    let dataset = ten_pairs(temp.path());
    let plan = plan(OrderPolicy::AsIs);
    let path = temp.path().join("run");
    let flag = Arc::new(AtomicBool::new(false));
    let first = Arc::new(Scripted {
        interrupt_after: Some((5, flag.clone())),
        ..Scripted::default()
    });
    {
        let dir = RunDir::create_or_resume(&path, &manifest(&plan)).unwrap();
        let options = RunOptions {
            interrupted: flag,
            ..options(1)
        };
        let end = run_with(&first, &dataset, &plan, &dir, options)
            .await
            .unwrap();
        assert_eq!((end.asked, end.stopped), (5, Some(Stop::Interrupted)));
    }
    let second = Arc::new(Scripted::default());
    let dir = RunDir::create_or_resume(&path, &manifest(&plan)).unwrap();
    let end = run_with(&second, &dataset, &plan, &dir, options(4))
        .await
        .unwrap();
    assert_eq!((end.asked, end.kept, end.stopped), (11, 5, None));
    let mut asked: Vec<_> = first.asked.lock().unwrap().clone();
    asked.extend(second.asked.lock().unwrap().iter().cloned());
    asked.sort();
    let all = asked.len();
    asked.dedup();
    assert_eq!((asked.len(), all), (16, 16), "nothing was asked twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_statuses_and_the_unanswered_are_asked_again() {
    let temp = tempfile::tempdir().unwrap();
    let dataset = ten_pairs(temp.path());
    let plan = plan(OrderPolicy::AsIs);
    let dir = RunDir::create_or_resume(&temp.path().join("run"), &manifest(&plan)).unwrap();
    let judge = Arc::new(Scripted {
        failures: HashMap::from([
            ("p5".to_owned(), ModelErrorKind::Media),
            ("p6".to_owned(), ModelErrorKind::Transport),
        ]),
        ..Scripted::default()
    });
    run_with(&judge, &dataset, &plan, &dir, options(4))
        .await
        .unwrap();
    assert_eq!(count(&dir, Status::MediaError), 2);
    assert_eq!(count(&dir, Status::TransportError), 2);
    assert_eq!(dir.rows().unwrap().len(), 16);
    let again = Arc::new(Scripted::default());
    let end = run_with(&again, &dataset, &plan, &dir, options(4))
        .await
        .unwrap();
    assert_eq!((end.asked, end.kept), (4, 12));
    assert_eq!(count(&dir, Status::Readable), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_end_the_run() {
    let temp = tempfile::tempdir().unwrap();
    let lines: Vec<_> = (0..50).map(|id| pair(id, "first")).collect();
    let dataset = benchmark(temp.path(), &lines);
    let plan = plan(OrderPolicy::AsIs);
    let dir = RunDir::create_or_resume(&temp.path().join("run"), &manifest(&plan)).unwrap();
    let judge = Arc::new(Scripted {
        failures: (0..50)
            .map(|id| (format!("p{id}"), ModelErrorKind::Unauthorized))
            .collect(),
        ..Scripted::default()
    });
    let error = run_with(&judge, &dataset, &plan, &dir, options(2))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unauthorized(10, _)), "{error}");
    assert!(judge.asked.lock().unwrap().len() < 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_never_answers_ends_the_run() {
    let temp = tempfile::tempdir().unwrap();
    let lines: Vec<_> = (0..50).map(|id| pair(id, "first")).collect();
    let plan = plan(OrderPolicy::AsIs);
    for (count, kind) in [
        (50, ModelErrorKind::Rejected),
        (3, ModelErrorKind::Transport),
    ] {
        let dataset = benchmark(temp.path(), &lines[..count]);
        let path = temp.path().join(format!("run-{count}"));
        let dir = RunDir::create_or_resume(&path, &manifest(&plan)).unwrap();
        let judge = Arc::new(Scripted {
            failures: (0..50).map(|id| (format!("p{id}"), kind)).collect(),
            ..Scripted::default()
        });
        let error = run_with(&judge, &dataset, &plan, &dir, options(2))
            .await
            .unwrap_err();
        match kind {
            ModelErrorKind::Rejected => assert!(matches!(error, Error::NoAnswer(10, _)), "{error}"),
            _ => assert!(matches!(error, Error::NothingAnswered(_)), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_is_not_stopped_by_a_smaller_budget() {
    let temp = tempfile::tempdir().unwrap();
    let dataset = ten_pairs(temp.path());
    let plan = plan(OrderPolicy::AsIs);
    let dir = RunDir::create_or_resume(&temp.path().join("run"), &manifest(&plan)).unwrap();
    let judge = Arc::new(Scripted::default());
    run_with(&judge, &dataset, &plan, &dir, options(4))
        .await
        .unwrap();
    let budget = Budget {
        tokens: Some(1),
        dollars: None,
    };
    let spent = Usage {
        requests: 16,
        prompt_tokens: 1_600,
        completion_tokens: 160,
    };
    let spend = Spend::new(Prices::default(), budget, Usage::default(), spent);
    let end = run(
        judge,
        &dataset,
        &plan,
        &dir,
        &spend,
        options(4),
        &NoProgress,
    )
    .await
    .unwrap();
    assert_eq!((end.asked, end.kept, end.stopped), (0, 16, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_row_is_counted_or_ends_a_strict_run() {
    let temp = tempfile::tempdir().unwrap();
    let mut lines: Vec<_> = (0..4).map(|id| pair(id, "first")).collect();
    lines.insert(
        2,
        serde_json::json!({"id": "broken", "task": "T2T", "prompt": "p", "responses": 3}),
    );
    let dataset = benchmark(temp.path(), &lines);
    let plan = plan(OrderPolicy::AsIs);
    let dir = RunDir::create_or_resume(&temp.path().join("run"), &manifest(&plan)).unwrap();
    let judge = Arc::new(Scripted::default());
    let end = run_with(&judge, &dataset, &plan, &dir, options(2))
        .await
        .unwrap();
    assert_eq!((end.asked, end.bad_rows), (8, 1));
    let bad = dir.bad_rows().unwrap();
    assert!(
        bad.len() == 1 && bad[0].contains("pairs.jsonl") && bad[0].contains('3'),
        "{bad:?}"
    );
    let strict = RunOptions {
        strict: true,
        ..options(2)
    };
    let error = run_with(&judge, &dataset, &plan, &dir, strict)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Row(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_tasks_are_named_and_limits_hold() {
    let temp = tempfile::tempdir().unwrap();
    let mut lines: Vec<_> = (0..4).map(|id| pair(id, "first")).collect();
    let image = |name: &str| serde_json::json!([{"type": "image", "path": name}]);
    lines.push(serde_json::json!({
        "id": "picture", "task": "T2I", "prompt": "a cat", "label": "first",
        "responses": [image("a.png"), image("b.png")],
    }));
    let dataset = benchmark(temp.path(), &lines);
    let plan = RunPlan {
        limit: Some(3),
        ..plan(OrderPolicy::AsIs)
    };
    let dir = RunDir::create_or_resume(&temp.path().join("run"), &manifest(&plan)).unwrap();
    let judge = Arc::new(Scripted::default());
    let end = run_with(&judge, &dataset, &plan, &dir, options(2))
        .await
        .unwrap();
    assert_eq!((end.asked, end.unsupported), (6, vec![Task::T2I]));
}

#[test]
fn another_run_or_another_process_is_turned_away() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("run");
    let plan = plan(OrderPolicy::AsIs);
    let held = RunDir::create_or_resume(&path, &manifest(&plan)).unwrap();
    let error = RunDir::create_or_resume(&path, &manifest(&plan)).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(held);
    let mut other = manifest(&plan);
    other.plan.seed = 1;
    let error = RunDir::create_or_resume(&path, &other)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`plan.seed` was 0 and is now 1"), "{error}");
}

/// A finished run of ten pairs in `path`.
async fn finished(temp: &Path, path: &Path) {
    let plan = plan(OrderPolicy::AsIs);
    let dir = RunDir::create_or_resume(path, &manifest(&plan)).unwrap();
    let judge = Arc::new(Scripted::default());
    run_with(&judge, &ten_pairs(temp), &plan, &dir, options(4))
        .await
        .unwrap();
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_a_run_changes_no_record_and_makes_no_database() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("run");
    finished(temp.path(), &path).await;
    let records = path.join("verdicts.sqlite");
    let before = std::fs::read(&records).unwrap();
    let dir = RunDir::open(&path).unwrap();
    let rows = dir.rows().unwrap();
    assert_eq!(rows.len(), 16);
    let error = dir.commit(&rows[0]).unwrap_err();
    assert!(matches!(error, Error::Records { .. }), "{error}");
    drop(dir);
    assert!(std::fs::read(&records).unwrap() == before);

    std::fs::remove_file(&records).unwrap();
    let left = names(&path);
    let error = RunDir::open(&path).unwrap_err().to_string();
    assert!(error.contains("verdicts.sqlite"), "{error}");
    assert_eq!(names(&path), left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_readable_while_another_process_writes_it() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("run");
    finished(temp.path(), &path).await;
    let writer = RunDir::create_or_resume(&path, &manifest(&plan(OrderPolicy::AsIs))).unwrap();
    let mut row = writer.rows().unwrap().remove(0);
    for number in 0..50 {
        row.pair_id = format!("later {number}");
        writer.commit(&row).unwrap();
        let reader = RunDir::open(&path).unwrap();
        assert_eq!(reader.rows().unwrap().len(), 17 + number);
    }
}

/// The file beside the records that a reader would make cannot be made: as in a read-only
/// directory, which the superuser may write to all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_readable_where_nothing_may_be_written() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("run #1, 100 %?");
    finished(temp.path(), &path).await;
    std::fs::create_dir(path.join("verdicts.sqlite-shm")).unwrap();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions.clone()).unwrap();
    let rows = RunDir::open(&path).and_then(|dir| dir.rows());
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "a temporary directory, about to go"
    )]
    permissions.set_readonly(false);
    std::fs::set_permissions(&path, permissions).unwrap();
    assert_eq!(rows.unwrap().len(), 16);
}
