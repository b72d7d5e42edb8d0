//! What the tests of the program share: pairs of all nine tasks with real media, and the program.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use omnireward_core::{
    MediaRef, MediaSource, Modality, Part, Preference, PreferencePair, Response, Task,
};
use omnireward_testkit::real_data;

/// The program, with the variables of the surroundings out of its way.
pub(crate) fn omnireward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omnireward"));
    command
        .env_remove("OPENAI_BASE_URL")
        .env("OPENAI_API_KEY", "test-key");
    command
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    omnireward()
        .args(args)
        .output()
        .expect("the program starts")
}

/// Runs the program and expects it to succeed; returns stdout.
pub(crate) fn run_well(args: &[&str]) -> String {
    let output = run(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} failed:\n{errors}");
    String::from_utf8(output.stdout).expect("the program prints text")
}

/// The criterion of a pair: unique, so that a server can tell pairs apart.
pub(crate) fn criterion(task: Task, number: usize) -> String {
    format!("Criterion number {number} of {task}.")
}

/// Two pairs of each task, the second a tie, with real media; `None` without the test data.
///
/// A T23D response is a mesh in the first pair and a picture of views in the second.
pub(crate) fn nine_tasks() -> Option<Vec<PreferencePair>> {
    let data = real_data("image")?.parent()?.to_owned();
    let pairs = Task::ALL.into_iter().flat_map(|task| {
        [(1, Preference::Second), (2, Preference::Tie)]
            .map(|(number, label)| pair(&data, task, number, label))
    });
    Some(pairs.collect())
}

fn pair(data: &Path, task: Task, number: usize, label: Preference) -> PreferencePair {
    let file = |path: &str, modality| MediaRef {
        modality,
        source: MediaSource::File {
            path: data.join(path),
            name: format!("{}_{}", task.key(), path.replace('/', "_")),
        },
    };
    let image = |path: &str| file(path, Modality::Image);
    let audio = |path: &str| file(path, Modality::Audio);
    let video = |path: &str| file(path, Modality::Video);
    let media = |media: [MediaRef; 2]| media.map(Response::media);
    let words = || {
        [
            Response::text(format!("The first answer to {task} {number}.")),
            Response::text(format!("The second answer to {task} {number}.")),
        ]
    };
    let chair = "image/mjbench_objects/furniture_55.jpg";
    let spoiled = "image/mjbench_objects/furniture_55_edited_furniture.jpg";
    let (prompt_media, responses) = match task {
        Task::T2T => (None, words()),
        Task::TI2T => (Some(image("image/ti2t_demo/cars1.jpg")), words()),
        Task::TV2T => (Some(video("video/videoalign/example_1_A.mp4")), words()),
        Task::TA2T => (Some(audio("audio/speed/1_a.wav")), words()),
        Task::T2V => {
            let sides = [
                "video/videoalign/example_1_A.mp4",
                "video/videoalign/example_1_B.mp4",
            ];
            (None, media(sides.map(video)))
        }
        Task::T2A => (
            None,
            media([audio("audio/speed/1_a.wav"), audio("audio/speed/1_b.wav")]),
        ),
        Task::T23D if number == 1 => {
            let sides = ["mesh/files/cube.glb", "mesh/files/rabbit.obj"];
            (None, media(sides.map(|path| file(path, Modality::Mesh))))
        }
        Task::T2I | Task::T23D => (None, media([image(chair), image(spoiled)])),
        Task::TI2I => {
            let sides = [
                "image/edit_demo/target_img_1.png",
                "image/edit_demo/target_img_3.png",
            ];
            (
                Some(image("image/edit_demo/source_img_1.png")),
                media(sides.map(image)),
            )
        }
    };
    let prompt = format!("The prompt of {task} {number}.");
    let mut pair = PreferencePair::new(format!("{task}-{number}"), task, prompt, responses)
        .with_criterion(criterion(task, number))
        .with_label(label);
    pair.prompt.extend(prompt_media.map(Part::Media));
    for (response, model) in pair.responses.iter_mut().zip(["model-one", "model-two"]) {
        response.model = Some(model.to_owned());
    }
    pair
}

/// The bytes of one of the files that [`nine_tasks`] uses.
pub(crate) fn bytes(path: &str) -> Vec<u8> {
    let path: PathBuf = real_data(path).expect("only asked where the data are there");
    std::fs::read(path).expect("a test file can be read")
}
