//! Builds with scripted models: what verifiers are shown, and what becomes of pairs for which something cannot be had.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

use std::{
    future::ready,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use omnireward_core::{
    BoxFuture, ChatModel, ChatPart, ChatReply, ChatRequest, Finish, Identity, Judge, MediaRef,
    MediaSource, Modality, ModelError, ModelErrorKind, NoProgress, Preference, PreferencePair,
    Response, Sampling, Setting, Status, Task, Usage, Verdict,
};
use omnireward_curate::{
    Error,
    build::{
        BuildConfig, BuildEnd, BuildOptions, BuildPlan, Builder, Consensus, PairRecord, Show,
        Trail, audit, build,
    },
};
use omnireward_media::Limits;
use serde_json::{Value, json};

/// Writes one criterion, whatever it is shown.
struct Writer;

impl ChatModel for Writer {
    fn identity(&self) -> Identity {
        Identity::new("writer", Value::Null)
    }

    fn complete<'a>(&'a self, _: &'a ChatRequest) -> BoxFuture<'a, Result<ChatReply, ModelError>> {
        Box::pin(ready(Ok(ChatReply {
            text: r#"{"criteria": [{"criterion": "It is short.", "better": "A"}]}"#.to_owned(),
            finish: Finish::Stop,
            usage: Usage::default(),
            model: None,
            probabilities: None,
        })))
    }
}

struct ShowTheId;

impl Show for ShowTheId {
    fn show<'a>(
        &'a self,
        pair: &'a PreferencePair,
    ) -> BoxFuture<'a, Result<Vec<ChatPart>, ModelError>> {
        Box::pin(ready(Ok(vec![ChatPart::Text(pair.id.clone())])))
    }
}

type Says = fn(&PreferencePair) -> Result<Verdict, ModelError>;

/// Says what it is told to, and remembers what it was shown.
struct Verifier {
    name: &'static str,
    says: Says,
    is_order_sensitive: bool,
    seen: Mutex<Vec<PreferencePair>>,
}

impl Verifier {
    fn new(name: &'static str, says: Says) -> Self {
        Self {
            name,
            says,
            is_order_sensitive: true,
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> Vec<PreferencePair> {
        self.seen.lock().unwrap().clone()
    }
}

impl Judge for Verifier {
    fn identity(&self) -> Identity {
        Identity::new(self.name, Value::Null)
    }

    fn is_order_sensitive(&self) -> bool {
        self.is_order_sensitive
    }

    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        _: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
        self.seen.lock().unwrap().push(pair.clone());
        Box::pin(ready((self.says)(pair)))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of several things to say")]
fn tie(_: &PreferencePair) -> Result<Verdict, ModelError> {
    Ok(Verdict::preferring(Preference::Tie))
}

/// Fails where there are media, none of which can be read here.
fn tie_on_words(pair: &PreferencePair) -> Result<Verdict, ModelError> {
    if pair.media().next().is_none() {
        return tie(pair);
    }
    Err(ModelError::new(ModelErrorKind::Media, "there is no file"))
}

fn unauthorised(_: &PreferencePair) -> Result<Verdict, ModelError> {
    let message = "the key is not known";
    Err(ModelError::new(ModelErrorKind::Unauthorized, message))
}

fn answers_the_first_alone(pair: &PreferencePair) -> Result<Verdict, ModelError> {
    if pair.id == "0" {
        tie(pair)
    } else {
        unauthorised(pair)
    }
}

fn builder(verifiers: &[Arc<Verifier>]) -> Builder {
    let verifiers = verifiers.iter().cloned();
    let config = BuildConfig {
        rule: Consensus::default(),
        setting: Setting::WithTies,
        sampling: Sampling::default(),
        attempts: 1,
        seed: 0,
        limits: Limits::default(),
    };
    let verifiers = verifiers.map(|verifier| verifier as Arc<dyn Judge>);
    Builder::new(
        Arc::new(Writer),
        Arc::new(ShowTheId),
        verifiers.collect(),
        config,
    )
    .unwrap()
}

struct Built {
    plan: BuildPlan,
    end: Result<BuildEnd, Error>,
    records: Vec<PairRecord>,
}

/// Asks about one pair after the other.
fn built(verifiers: &[Arc<Verifier>], pairs: Vec<PreferencePair>) -> Built {
    let folder = tempfile::tempdir().unwrap();
    let builder = builder(verifiers);
    let plan = builder.plan("source".to_owned(), vec![Task::T2T, Task::TI2T], None);
    let mut trail = Trail::create_or_resume(folder.path(), plan.clone()).unwrap();
    let options = BuildOptions {
        concurrency: &|| 1,
        stop: &|_| None,
        total: pairs.len() as u64,
    };
    let pairs = (0..).zip(pairs);
    let end = tokio::runtime::Runtime::new().unwrap().block_on(build(
        &builder,
        pairs,
        &mut trail,
        &options,
        &NoProgress,
    ));
    Built {
        plan,
        end,
        records: trail.records(),
    }
}

fn words(id: usize) -> PreferencePair {
    let responses = ["Yes.", "No."].map(Response::text);
    PreferencePair::new(id.to_string(), Task::T2T, "Is it?", responses)
}

/// A question about a picture whose file is not there.
fn lost(id: usize) -> PreferencePair {
    let source = MediaSource::File {
        path: PathBuf::from("/nowhere/lost.png"),
        name: "lost.png".to_owned(),
    };
    let picture = MediaRef {
        modality: Modality::Image,
        source,
    };
    let mut pair = words(id);
    pair.task = Task::TI2T;
    pair.prompt.push(picture.into());
    pair
}

#[test]
fn verifiers_are_shown_the_turns_and_no_other_field() {
    let mut pair = words(0);
    let turns = json!([
        {"role": "user", "content": "Hm?"},
        {"role": "assistant", "content": "Hm."},
        {"role": "user", "content": "Is it?"},
    ]);
    pair.extra.insert("turns".to_owned(), turns.clone());
    pair.extra.insert("winner".to_owned(), json!("the first"));
    let verifier = Arc::new(Verifier::new("v", tie));
    let whole = built(std::slice::from_ref(&verifier), vec![pair.clone()]);
    let seen = verifier.seen();
    assert_eq!(seen.len(), 2, "once in each order");
    for shown in seen {
        assert_eq!(shown.extra.get("turns"), Some(&turns));
        assert!(!shown.extra.contains_key("winner"));
    }
    // What is shown decides the question, and its hash says so.
    pair.extra.remove("turns");
    let without = built(&[verifier], vec![pair]);
    let hash = |built: &Built| {
        built.records[0].criteria[0].votes[0]
            .question_sha256
            .clone()
    };
    assert_ne!(hash(&whole), hash(&without));
}

#[test]
fn a_medium_that_cannot_be_read_does_not_end_a_build() {
    let verifier = Arc::new(Verifier::new("v", tie_on_words));
    let pairs = (0..8).map(lost).chain([words(8)]).collect();
    let built = built(&[verifier], pairs);
    assert_eq!(built.end.unwrap().asked, 9);
    for record in &built.records[..8] {
        let votes = &record.criteria[0].votes;
        assert_eq!(votes.len(), 2);
        for vote in votes {
            assert_eq!(vote.status, Status::MediaError);
            assert_eq!(vote.question_sha256, None);
        }
    }
    let vote = &built.records[8].criteria[0].votes[0];
    assert_eq!(vote.question_sha256.as_ref().map(String::len), Some(64));
}

#[test]
fn a_verifier_that_never_answers_ends_a_build() {
    let well = Arc::new(Verifier::new("well", tie));
    let dead = Arc::new(Verifier::new("dead", unauthorised));
    let both = [well.clone(), dead];
    let error = built(&both, (0..20).map(words).collect()).end.unwrap_err();
    assert!(
        matches!(&error, Error::NothingAnswered { who, pairs: 5, .. } if who == "dead"),
        "{error}"
    );
    assert!(
        error.to_string().contains("the key is not known"),
        "{error}"
    );
    assert_eq!(well.seen().len(), 10, "five pairs, in both orders");

    let tired = Arc::new(Verifier::new("tired", answers_the_first_alone));
    let end = built(&[well, tired], (0..20).map(words).collect()).end;
    assert_eq!(end.unwrap().asked, 20, "who answered once may again");
}

#[test]
fn a_verifier_whose_verdicts_do_not_depend_on_the_order_is_asked_once() {
    let scores = Arc::new(Verifier {
        is_order_sensitive: false,
        ..Verifier::new("scores", tie)
    });
    let reads = Arc::new(Verifier::new("reads", tie));
    let mut built = built(&[scores.clone(), reads.clone()], vec![words(0)]);
    assert_eq!((scores.seen().len(), reads.seen().len()), (1, 2));
    assert!(audit(&built.plan, &built.records, None).is_empty());
    let votes = &mut built.records[0].criteria[0].votes;
    votes.pop();
    let found = audit(&built.plan, &built.records, None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]
            .what
            .contains("`reads` was asked as-is and swapped")
    );
}
