//! What a record says beyond a pair is kept, and what a dataset says decides its fingerprint.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use omnireward_core::{
    MediaRef, MediaSource, Modality, Part, Preference, PreferencePair, Response, Task,
};
use omnireward_data::{Error, OpenOptions, open, write};
use serde_json::{Value, json};

fn read(path: &Path) -> Vec<PreferencePair> {
    let dataset = open(path, &OpenOptions::default()).unwrap();
    dataset.pairs().collect::<Result<_, _>>().unwrap()
}

fn first(name: &str, content: &str) -> PreferencePair {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, content).unwrap();
    read(&file).remove(0)
}

#[test]
fn fields_of_rated_responses_are_kept_with_their_sides() {
    let pair = first(
        "ratings.csv",
        "name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align\n\
         a.jpg,p,dark,,photo,1,1,1,1\nb.jpg,p,,wet,,2,1,1,1\n",
    );
    let details = json!([{"adj1": "dark", "style": "photo"}, {"adj2": "wet"}]);
    assert_eq!(pair.extra["details"], details);

    let clip = |system: &str| {
        json!({"kind": "audio", "system": system, "item": "i", "seed": system,
               "Production_Quality": [1, 2], "Production_Complexity": [1],
               "Content_Enjoyment": [1], "Content_Usefulness": [1]})
    };
    let pair = first("ratings.jsonl", &format!("{}\n{}\n", clip("s"), clip("t")));
    let details =
        json!([{"seed": "s", "ratings": [1.0, 2.0]}, {"seed": "t", "ratings": [1.0, 2.0]}]);
    assert_eq!(pair.extra["details"], details);

    let picture = |average: f64| {
        json!({"text_id": "t_1", "text": "x", "image_path": "a.png", "human_avg": average,
               "human_scores": [1, 5], "clip": average})
    };
    let pair = first(
        "scores.json",
        &json!({"t_1_one": picture(1.0), "t_1_two": picture(2.0)}).to_string(),
    );
    let details =
        json!([{"human_scores": [1, 5], "clip": 1.0}, {"human_scores": [1, 5], "clip": 2.0}]);
    assert_eq!(pair.extra["details"], details);

    let pair = first(
        "labels.csv",
        "video,caption,human_semantic_adherence,human_physical_commonsense,seen\n\
         a.mp4,c,1,0,yes\nb.mp4,c,0,0,no\n",
    );
    assert_eq!(
        pair.extra["details"],
        json!([{"seen": "yes"}, {"seen": "no"}])
    );
}

#[test]
fn what_a_judge_said_beside_a_pair_is_kept() {
    let pair = first(
        "speed.csv",
        "item,transcript_given,orders_swapped,ground_truth_original_order,\
         prediction_as_presented,correct_column,reasoning\n4,none,0,1,2,False,slower\n",
    );
    assert_eq!(pair.extra["prediction_as_presented"], "2");
    assert_eq!(pair.extra["reasoning"], "slower");
}

#[test]
fn a_task_is_kept_when_it_says_more_than_the_format() {
    let record = |task: &str| {
        json!({"id": 1, "task": task, "prompt": "p", "image_a": "a.png", "image_b": "b.png", "preferred": "a"})
            .to_string()
    };
    assert!(
        !first("a.jsonl", &record("T2I"))
            .extra
            .contains_key("published_task")
    );
    let kept = first("a.jsonl", &record("T2I, objects"));
    assert_eq!(kept.extra["published_task"], "T2I, objects");
}

#[test]
fn fields_of_turns_are_kept() {
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let mut named = said("user", "Hi");
    named["name"] = json!("Ann");
    let mut answer = said("assistant", "Hello");
    answer["weight"] = json!(0.5);
    let record =
        json!({"prompt": [named], "chosen": [answer], "rejected": [said("assistant", "Go")]});
    let pair = first("trl.jsonl", &record.to_string());
    let expected = json!({"prompt": [{"name": "Ann"}], "chosen": [{"weight": 0.5}]});
    assert_eq!(pair.extra["turn_fields"], expected);

    let record = json!([{
        "conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "h", "id": 3}],
        "chosen": {"from": "gpt", "value": "a", "score": 1}, "rejected": {"from": "gpt", "value": "b"},
        "system": "another"
    }]);
    let pair = first("ranking.json", &record.to_string());
    let expected = json!({"conversations": [null, {"id": 3}], "chosen": {"score": 1}});
    assert_eq!(pair.extra["turn_fields"], expected);
    assert_eq!(pair.criterion.as_deref(), Some("s"));
    assert_eq!(pair.extra["system"], "another");
}

#[test]
fn words_beside_a_generated_medium_are_not_dropped_in_writing() {
    let medium = |name: &str| {
        Part::Media(MediaRef {
            modality: Modality::Image,
            source: MediaSource::Absent {
                name: name.to_owned(),
            },
        })
    };
    let side = |name: &str| Response {
        parts: vec![medium(name), "a caption".into()],
        model: None,
    };
    let generated = PreferencePair::new("x", Task::T2I, "p", [side("a"), side("b")])
        .with_label(Preference::First);
    let folder = tempfile::tempdir().unwrap();
    let error = write::llama_factory_ranking(folder.path(), "set", [&generated]).unwrap_err();
    assert!(matches!(&error, Error::Unwritable { .. }), "{error}");
    let mut answered = generated;
    answered.task = Task::T2T;
    let file = folder.path().join("trl.jsonl");
    for error in [
        write::llama_factory_ranking(folder.path(), "set", [&answered]).unwrap_err(),
        write::trl_preference(&file, [&answered]).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Unwritable { .. }), "{error}");
    }
}

fn fingerprint(path: &Path) -> String {
    let dataset = open(path, &OpenOptions::default()).unwrap();
    dataset.fingerprint().unwrap()
}

fn declare(folder: &Path, columns: &Value) {
    let info = json!({"omni_t2t": {
        "file_name": "data/x.json", "ranking": true, "formatting": "sharegpt", "columns": columns
    }});
    fs::write(folder.join("dataset_info.json"), info.to_string()).unwrap();
}

fn declared(folder: &Path, image: Option<&str>) {
    let mut record = json!({
        "conversations": [{"from": "human", "value": "h"}],
        "chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}
    });
    if let Some(image) = image {
        record["images"] = json!([image]);
    }
    fs::create_dir_all(folder.join("data")).unwrap();
    fs::write(folder.join("data/x.json"), json!([record]).to_string()).unwrap();
}

#[test]
fn the_fingerprint_follows_the_declaration_and_the_answers() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for folder in [&one, &other] {
        declared(folder.path(), None);
        declare(folder.path(), &json!({}));
    }
    let before = fingerprint(one.path());
    assert_eq!(
        before,
        fingerprint(other.path()),
        "it does not depend on the place"
    );
    for path in ["data/x.json", "dataset_info.json"] {
        let [one, other] = [&one, &other].map(|folder| fingerprint(&folder.path().join(path)));
        assert_eq!(one, other, "{path}");
    }
    declare(
        one.path(),
        &json!({"chosen": "rejected", "rejected": "chosen"}),
    );
    assert_ne!(before, fingerprint(one.path()));

    let folder = tempfile::tempdir().unwrap();
    let label = json!({"id": "q:1", "criterion": "c", "model_1": "a", "model_2": "b", "label": 1});
    fs::write(folder.path().join("x.pair_labels.jsonl"), label.to_string()).unwrap();
    let with_answer = |answer: &str| {
        let point = |model: &str| {
            json!({"id": "q:1", "model": model, "instruction": "i", "response": answer}).to_string()
        };
        let points = point("a") + "\n" + &point("b");
        fs::write(folder.path().join("x.points.jsonl"), points).unwrap();
        fingerprint(folder.path())
    };
    assert_ne!(with_answer("one"), with_answer("two"));
}

#[test]
fn declared_media_are_named_from_the_declarations_folder() {
    let folder = tempfile::tempdir().unwrap();
    let info =
        json!({"set": {"file_name": "data/x.json", "ranking": true, "formatting": "sharegpt"}});
    fs::write(folder.path().join("dataset_info.json"), info.to_string()).unwrap();
    declared(folder.path(), Some("images/a.png"));
    let found = || {
        let pair = read(folder.path()).remove(0);
        match &pair.prompt[0].as_media().unwrap().source {
            MediaSource::File { path, .. } => path.clone(),
            other => panic!("{other:?}"),
        }
    };
    let [from_declaration, from_file] =
        ["images/a.png", "data/images/a.png"].map(|name| folder.path().join(name));
    assert_eq!(found(), from_declaration, "where it should have been");
    for path in [&from_file, &from_declaration] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        assert_eq!(&found(), path);
    }
}
