use std::fs;

use omnireward_core::Task;

use super::*;
use crate::Error;

fn step(step: u64) -> Record {
    Record::Step(StepRecord {
        step,
        epoch: step as f64 / 10.0,
        loss: 0.5,
        accuracy: Some(0.75),
        margin: None,
        words_loss: None,
        rate: 1e-6,
        grad_norm: 2.0,
        rows: 1000,
        tokens_per_second: 1234.5,
        seconds: 3.5,
        tie_margin: 0.0,
    })
}

fn evaluation(step: u64) -> Record {
    let task = |task, correct, pairs| TaskAgreement {
        task,
        agreement: Agreement::new(correct, pairs),
    };
    Record::Evaluation(EvaluationRecord {
        step,
        name: "test".into(),
        loss: 0.25,
        overall: Agreement::new(7, 10),
        tasks: vec![
            task(Task::T2T, 1, 4),
            task(Task::T2I, 6, 6),
            task(Task::T2V, 0, 0),
        ],
        with_ties: Agreement::new(7, 12),
    })
}

#[test]
fn lines_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LINES);
    let records = [evaluation(0), step(5), step(10), evaluation(10)];
    let mut writer = MetricsWriter::create(&path).unwrap();
    for record in &records {
        writer.write(record).unwrap();
    }
    assert_eq!(read(&path).unwrap(), records);
    let text = fs::read_to_string(&path).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["kind"], "evaluation");
    assert_eq!(first["tasks"][0]["task"], "T2T");
    assert_eq!(first["tasks"][0]["accuracy"], 0.25);
    assert_eq!(first["tasks"][2]["accuracy"], serde_json::Value::Null);
}

#[test]
fn resuming_forgets_what_came_later_and_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LINES);
    for (resumed, kept) in [(0, 1), (5, 2), (9, 2), (10, 4), (99, 5)] {
        let mut writer = MetricsWriter::create(&path).unwrap();
        for record in [evaluation(0), step(5), step(10), evaluation(10), step(15)] {
            writer.write(&record).unwrap();
        }
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(br#"{"kind":"step","st"#);
        fs::write(&path, torn).unwrap();
        let mut writer = MetricsWriter::resume(&path, resumed).unwrap();
        writer.write(&step(77)).unwrap();
        let records = read(&path).unwrap();
        assert_eq!(records.len(), kept + 1, "resumed after {resumed}");
        assert_eq!(records.last(), Some(&step(77)));
    }
}

#[test]
fn a_damaged_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LINES);
    MetricsWriter::create(&path)
        .unwrap()
        .write(&step(1))
        .unwrap();
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(b"{}\n");
    fs::write(&path, text).unwrap();
    for error in [
        read(&path).unwrap_err(),
        MetricsWriter::resume(&path, 9).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Damaged { .. }));
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}

#[test]
fn a_training_without_lines_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let mut metrics = Metrics::resume(folder.path(), "h", 3).unwrap();
    metrics.record(&step(5)).unwrap();
    assert_eq!(read(&folder.path().join(LINES)).unwrap(), [step(5)]);
}

#[test]
fn a_number_that_is_not_finite_is_null() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LINES);
    let Record::Step(mut broken) = step(1) else {
        unreachable!("it is a step");
    };
    broken.loss = f64::NAN;
    MetricsWriter::create(&path)
        .unwrap()
        .write(&Record::Step(broken))
        .unwrap();
    match &read(&path).unwrap()[..] {
        [Record::Step(record)] => assert!(record.loss.is_nan()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn scalars_are_named_for_their_group() {
    let names = |record: &Record| -> Vec<String> {
        record.scalars().into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(
        names(&step(1)),
        [
            "train/loss",
            "train/learning_rate",
            "train/grad_norm",
            "train/epoch",
            "train/tokens_per_second",
            "train/tie_margin",
            "train/accuracy",
        ]
    );
    assert_eq!(
        names(&evaluation(1)),
        [
            "test/accuracy",
            "test/macro_accuracy",
            "test/accuracy_with_ties",
            "test/loss",
            "test/T2T",
            "test/T2I",
        ]
    );
    let Record::Evaluation(record) = evaluation(1) else {
        unreachable!("it is an evaluation");
    };
    let mean = record.macro_accuracy().unwrap();
    assert!((mean - 0.625).abs() < 1e-12, "{mean}");
}

#[test]
fn intervals_are_wilsons() {
    let (low, high) = Agreement::new(86, 100).interval().unwrap();
    assert!((low - 0.778_628_117_890).abs() < 1e-9, "{low}");
    assert!((high - 0.914_736_563_401).abs() < 1e-9, "{high}");
    assert_eq!(Agreement::new(0, 0).interval(), None);
    let (low, high) = Agreement::new(5, 5).interval().unwrap();
    assert!(low > 0.5 && (high - 1.0).abs() < 1e-12);
}
