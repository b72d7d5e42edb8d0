//! All nine tasks from both layouts of Omni-RewardBench through a chat server that checks what it
//! is sent.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use omnireward_core::{Order, Setting, Task};
use omnireward_testkit::{
    Behaviour, ChatServer, ChatServerConfig,
    chat_server::{SentPart, all_text, parts, system_text},
};
use serde_json::Value;

use crate::support::{bytes, criterion, nine_tasks, run_well};

type Seen = Arc<Mutex<BTreeMap<(Task, usize, Setting, Order), Value>>>;

#[test]
fn the_json_layout_is_judged_as_the_protocol_has_it() {
    check_layout("json");
}

#[test]
fn the_parquet_layout_is_judged_as_the_protocol_has_it() {
    check_layout("parquet");
}

fn check_layout(layout: &str) {
    let Some(pairs) = nine_tasks() else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("bench");
    let written = match layout {
        "json" => omnireward_data::write::omni_json(&root, &pairs),
        _ => omnireward_data::write::omni_parquet(&root, &pairs),
    };
    assert_eq!(written.unwrap(), 18);
    let seen = Seen::default();
    let server = server(seen.clone());
    let out = folder.path().join("run");
    let stdout = run_well(&[
        "eval",
        "--quiet",
        "--judge",
        "openai:loopback",
        "--base-url",
        &server.base_url(),
        "--benchmark",
        root.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--json",
    ]);
    let results: Value = serde_json::from_str(&stdout).unwrap();
    // 18 pairs with ties and 9 without, each in both orders.
    assert_eq!(results["rows"], 54);
    assert_eq!(server.answered(), 54);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 54, "every question is another one");
    for ((task, number, setting, order), body) in seen.iter() {
        check_request(*task, *number, *setting, *order, body);
    }
    // The server prefers the second response wherever it is shown, so every verdict on a first
    // pair is right, and a tie is never said.
    for setting in results["settings"].as_array().unwrap() {
        let expected = if setting["setting"] == "with-ties" {
            0.5
        } else {
            1.0
        };
        assert_eq!(
            setting["overall"]["own"]["value"], expected,
            "{}",
            setting["setting"]
        );
        assert_eq!(setting["tasks"].as_array().unwrap().len(), 9);
    }
    assert!(out.join("report.html").exists());
    let verified = run_well(&["report", "--verify", out.to_str().unwrap()]);
    assert!(verified.contains("every number follows"), "{verified}");
}

/// Answers that the dataset's second response is better, and keeps what it was asked.
fn server(seen: Seen) -> ChatServer {
    let config = ChatServerConfig {
        keep_media: true,
        record: false,
        ..ChatServerConfig::default()
    };
    ChatServer::start(config, move |body, _| {
        let key = identify(body);
        let verdict = if key.3 == Order::AsIs {
            "[[B]]"
        } else {
            "[[A]]"
        };
        seen.lock().unwrap().insert(key, body.clone());
        Behaviour::Reply(format!("Both were compared.\n{verdict}"))
    })
}

/// Tells from a request alone which question it is.
fn identify(body: &Value) -> (Task, usize, Setting, Order) {
    let system = system_text(body);
    let (task, number) = Task::ALL
        .into_iter()
        .flat_map(|task| [(task, 1), (task, 2)])
        .find(|(task, number)| system.contains(&criterion(*task, *number)))
        .expect("the system message holds the criterion");
    let setting = if system.contains("[[C]]") {
        Setting::WithTies
    } else {
        Setting::WithoutTies
    };
    (task, number, setting, order(task, number, body))
}

fn order(task: Task, number: usize, body: &Value) -> Order {
    if !task.is_generation() {
        let text = all_text(body);
        let first = text
            .find("The first answer")
            .expect("the first answer is sent");
        let second = text
            .find("The second answer")
            .expect("the second answer is sent");
        return if first < second {
            Order::AsIs
        } else {
            Order::Swapped
        };
    }
    let media = media(body);
    let first_shown = if task == Task::TI2I {
        &media[1]
    } else {
        &media[0]
    };
    let last_shown = &media[media.len() - 1];
    let is_first = match task {
        Task::T2I => *first_shown == bytes("image/mjbench_objects/furniture_55.jpg"),
        Task::T23D if number == 2 => {
            *first_shown == bytes("image/mjbench_objects/furniture_55.jpg")
        }
        Task::TI2I => *first_shown == bytes("image/edit_demo/target_img_1.png"),
        // Media that were converted are told apart by what differs: the first clip is shorter, the
        // picture of the cube is smaller, the first video begins with another frame.
        Task::T2A | Task::T23D => first_shown.len() < last_shown.len(),
        _ => *first_shown == first_frame_of_a(),
    };
    if is_first {
        Order::AsIs
    } else {
        Order::Swapped
    }
}

fn first_frame_of_a() -> Vec<u8> {
    let video = omnireward_media::video::Video::open(
        bytes("video/videoalign/example_1_A.mp4").into(),
        &omnireward_media::Limits::default(),
    )
    .unwrap();
    let frame = video.frames_at(&[0]).unwrap().remove(0);
    omnireward_media::image::encode_jpeg(&frame, 75)
}

fn media(body: &Value) -> Vec<Vec<u8>> {
    parts(body)
        .into_iter()
        .filter_map(|part| match part {
            SentPart::Text { .. } => None,
            SentPart::Image { bytes, .. }
            | SentPart::Video { bytes, .. }
            | SentPart::Audio { bytes, .. } => Some(bytes),
        })
        .collect()
}

/// Checks one request against the protocol: blocks in order, and how many media of which kind
/// stand in which block.
fn check_request(task: Task, number: usize, setting: Setting, order: Order, body: &Value) {
    let what = format!("{task} {number} {setting} {order}");
    let outline = outline(body);
    let frames = |count: usize| "image ".repeat(count);
    let block = |name: &str, content: &str| format!("[{name}] {content}[/{name}] ");
    let response = match task {
        Task::T2V => frames(5),
        Task::T2A => "audio ".to_owned(),
        Task::T2I | Task::T23D | Task::TI2I => frames(1),
        Task::T2T | Task::TI2T | Task::TV2T | Task::TA2T => "text ".to_owned(),
    };
    let prompt_media = match task {
        Task::TI2T => block("IMAGE", &frames(1)),
        Task::TV2T => block("VIDEO", &frames(10)),
        Task::TA2T => block("AUDIO", "audio "),
        Task::TI2I => block("ORIGINAL_IMAGE", &frames(1)),
        _ => String::new(),
    };
    let expected = format!(
        "{}{prompt_media}{}{}",
        block("PROMPT", "text "),
        block("RESPONSE A", &response),
        block("RESPONSE B", &response)
    );
    assert_eq!(outline, expected, "{what}");
    let text = all_text(body);
    assert!(
        text.contains(&format!("The prompt of {task} {number}.")),
        "{what}"
    );
    assert_eq!(
        system_text(body).contains("[[C]]"),
        setting.offers_tie(),
        "{what}"
    );
    assert_eq!(body["temperature"], 0.0, "{what}");
    assert_eq!(body["seed"], 0, "{what}");
    assert!(
        body["max_tokens"].as_u64().is_some_and(|tokens| tokens > 0),
        "{what}"
    );
    for part in parts(body) {
        if let SentPart::Audio { format, bytes } = part {
            let sound =
                omnireward_media::audio::decode(&bytes, &omnireward_media::Limits::default());
            let sound = sound.expect("what is sent can be decoded");
            assert_eq!(
                (format.as_str(), sound.sample_rate_hz, sound.channels),
                ("wav", 16_000, 1)
            );
        }
    }
}

/// The user message as its blocks and what is in them: `[PROMPT] text [/PROMPT] …`.
fn outline(body: &Value) -> String {
    let mut outline = Vec::new();
    for part in parts(body) {
        match part {
            SentPart::Text { role, .. } if role != "user" => {}
            SentPart::Text { text, .. } => {
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                outline.extend(lines.map(block_or_text));
            }
            SentPart::Image { .. } => outline.push("image".to_owned()),
            SentPart::Video { .. } => outline.push("video".to_owned()),
            SentPart::Audio { .. } => outline.push("audio".to_owned()),
        }
    }
    outline.join(" ") + " "
}

fn block_or_text(line: &str) -> String {
    let Some(name) = line
        .strip_prefix("[[")
        .and_then(|rest| rest.strip_suffix("]]"))
    else {
        return "text".to_owned();
    };
    match name.strip_prefix("END OF ") {
        Some(name) => format!("[/{name}]"),
        None => format!("[{name}]"),
    }
}
