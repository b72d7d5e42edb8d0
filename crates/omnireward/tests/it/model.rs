//! `omnireward model`: checkpoints written, looked into, examined and fetched.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{omnireward, run, run_well};

/// Writes a tiny checkpoint and returns its folder's name.
fn tiny(folder: &Path, options: &[&str]) -> String {
    let out = folder.join("tiny");
    let out = out.to_str().unwrap();
    let printed = run_well(&[&["model", "random", "--quiet", out], options].concat());
    assert_eq!(printed.trim(), out);
    out.to_owned()
}

fn inspected(model: &str) -> Value {
    serde_json::from_str(&run_well(&["model", "inspect", "--json", model])).unwrap()
}

#[test]
fn a_random_checkpoint_is_inspected_and_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(folder.path(), &[]);
    let text = run_well(&["model", "inspect", &model]);
    for expected in [
        "MiniCPM-o-2.6 · value head (v_head.summary)",
        "vision tower",
        "audio projection",
        "314 tokens, 58 of them added",
        "eos <|im_end|> (259)",
        "model.safetensors",
    ] {
        assert!(text.contains(expected), "`{expected}` in:\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let json = inspected(&model);
    let parameters = json["parts"].as_array().unwrap().iter();
    let parameters: u64 = parameters
        .map(|part| part["parameters"].as_u64().unwrap())
        .sum();
    let stored: u64 = ["model.safetensors", "value_head.safetensors"]
        .map(|file| weights_in(&Path::new(&model).join(file)))
        .iter()
        .sum();
    assert_eq!(2 * parameters, stored, "two bytes each");
    let text = run_well(&["model", "doctor", "--deep", "--quiet", &model]);
    assert!(text.starts_with("nothing is wrong"), "{text}");
}

/// Bytes behind a safetensors file's header.
fn weights_in(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap());
    bytes.len() as u64 - 8 - header
}

#[test]
fn every_kind_and_field_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let options = [
        "--kind",
        "qwen3",
        "--layers",
        "3",
        "--dtype",
        "f32",
        "--set",
        "rope_theta=5000",
        "--shard",
        "1",
        "--force",
    ];
    tiny(folder.path(), &[]);
    let model = tiny(folder.path(), &options);
    let json = inspected(&model);
    assert_eq!(json["family"], "qwen3");
    assert_eq!(json["sizes"]["layers"], 3);
    assert_eq!(json["types"][0]["stored"], "F32");
    assert_eq!(json["heads"], json!(["score"]));
    let config = fs::read(Path::new(&model).join("config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["rope_theta"], 5000);
}

#[test]
fn a_checkpoint_that_is_there_is_not_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(folder.path(), &[]);
    let output = run(&["model", "random", &model]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("is there already"), "{errors}");
}

#[test]
fn defects_are_listed_and_exit_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(folder.path(), &[]);
    fs::remove_file(Path::new(&model).join("value_head.safetensors")).unwrap();
    let config = Path::new(&model).join("config.json");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("\"query_num\": 64", "\"query_num\": 32");
    fs::write(&config, text).unwrap();
    let output = run(&["model", "doctor", &model]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("3 defects\n"), "{text}");
    for expected in [
        "head-missing in value_head.safetensors",
        "tensor-shape",
        "`resampler.query`",
        "→",
    ] {
        assert!(text.contains(expected), "`{expected}` in:\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let output = run(&["model", "doctor", "--json", &model]);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let codes: Vec<&Value> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| &finding["code"])
        .collect();
    assert_eq!(
        codes,
        ["tensor-shape", "head-missing", "preprocessor-differs"]
    );
}

#[test]
fn golden_rewards_are_stored_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["minicpm-o", "qwen2", "qwen3", "llama"] {
        let model = tiny(folder.path(), &["--kind", kind, "--force"]);
        run_well(&["model", "doctor", "--quiet", "--write-golden", &model]);
        let text = run_well(&["model", "doctor", "--quiet", &model]);
        assert!(text.starts_with("nothing is wrong"), "{kind}: {text}");
        // Other weights of the same shapes.
        let other = folder.path().join("other");
        let other = other.to_str().unwrap();
        run_well(&[
            "model", "random", "--quiet", "--kind", kind, "--seed", "9", "--force", other,
        ]);
        fs::copy(
            Path::new(other).join("model.safetensors"),
            Path::new(&model).join("model.safetensors"),
        )
        .unwrap();
        let output = run(&["model", "doctor", "--json", &model]);
        assert_eq!(output.status.code(), Some(1), "{kind}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = json["findings"].as_array().unwrap();
        assert!(
            findings
                .iter()
                .all(|finding| finding["code"] == "golden-reward"),
            "{kind}: {json}"
        );
    }
}

#[test]
fn golden_rewards_are_not_stored_for_what_has_defects() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(folder.path(), &[]);
    fs::remove_file(Path::new(&model).join("value_head.safetensors")).unwrap();
    let output = run(&["model", "doctor", "--quiet", "--write-golden", &model]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no golden rewards were stored"), "{said}");
    assert!(!Path::new(&model).join("golden.json").exists());
}

#[test]
fn a_checkpoint_is_fetched_from_a_hub_and_not_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(folder.path(), &[]);
    fs::write(Path::new(&model).join("value_head.bin"), b"PK").unwrap();
    let hub = hub::Hub::serving(Path::new(&model));
    let pull = |offline: &str| {
        omnireward()
            .args(["model", "pull", "--quiet", "hf:someone/model@main"])
            .env("HF_ENDPOINT", hub.endpoint())
            .env("HF_HOME", folder.path().join("cache"))
            .env("HF_HUB_OFFLINE", offline)
            .env_remove("HF_HUB_CACHE")
            .output()
            .unwrap()
    };
    let first = pull("0");
    let errors = String::from_utf8_lossy(&first.stderr);
    assert!(first.status.success(), "{errors}");
    let place = String::from_utf8(first.stdout).unwrap();
    let place = Path::new(place.trim());
    assert_eq!(
        fs::read(place.join("model.safetensors")).unwrap(),
        fs::read(Path::new(&model).join("model.safetensors")).unwrap(),
    );
    assert!(!place.join("modeling.py").exists(), "code is not fetched");
    let pickle = place.join("value_head.bin");
    assert!(pickle.exists(), "it tells why there is no other head");
    let downloads = hub.downloads();
    assert!(downloads >= 9, "{downloads}");
    assert!(pull("0").status.success() && pull("1").status.success());
    assert_eq!(
        hub.downloads(),
        downloads,
        "what is there is not fetched again"
    );
    let text = run_well(&["model", "doctor", place.to_str().unwrap()]);
    assert!(text.starts_with("nothing is wrong"), "{text}");
}

#[test]
fn what_is_no_checkpoint_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let (nowhere, empty) = (nowhere.to_str().unwrap(), folder.path().to_str().unwrap());
    for (args, expected) in [
        (["model", "inspect", nowhere], "nowhere"),
        (["model", "doctor", nowhere], "nowhere"),
        (
            ["model", "inspect", empty],
            "neither weights nor a `config.json`",
        ),
        (["model", "pull", "someone/model"], "hf:owner/name"),
    ] {
        let output = run(&args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(expected), "{args:?}: {errors}");
    }
}

/// A hub on this machine that has one repository.
mod hub {
    use std::{
        fs,
        io::{BufRead, BufReader, Write},
        net::{SocketAddr, TcpListener, TcpStream},
        path::{Path, PathBuf},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use serde_json::json;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    pub(super) struct Hub {
        address: SocketAddr,
        downloads: Arc<AtomicUsize>,
    }

    impl Hub {
        /// Serves the files of a folder, and a file of Python beside them, until the test ends.
        pub(super) fn serving(folder: &Path) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let downloads = Arc::new(AtomicUsize::new(0));
            let (counter, folder) = (downloads.clone(), folder.to_owned());
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let (counter, folder) = (counter.clone(), folder.clone());
                    thread::spawn(move || answer(&stream.unwrap(), &folder, &counter));
                }
            });
            Self { address, downloads }
        }

        pub(super) fn endpoint(&self) -> String {
            format!("http://{}", self.address)
        }

        /// Files sent so far.
        pub(super) fn downloads(&self) -> usize {
            self.downloads.load(Ordering::Relaxed)
        }
    }

    /// Answers one request and closes the connection.
    fn answer(mut stream: &TcpStream, folder: &Path, downloads: &AtomicUsize) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let request = lines.next().unwrap_or_default();
        lines.take_while(|line| !line.is_empty()).for_each(drop);
        let mut words = request.split(' ');
        let (method, path) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let body = match path.strip_prefix(&format!("/someone/model/resolve/{COMMIT}/")) {
            Some(name) => content(folder, name),
            None if path.starts_with("/api/models/someone/model/revision/main") => {
                Some(listing(folder))
            }
            None => None,
        };
        let status = if body.is_some() {
            "200 OK"
        } else {
            "404 Not Found"
        };
        let body = body.unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"{:040x}\"\r\nX-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n",
            body.len(),
            path.bytes().fold(7_u128, |hash, byte| hash
                .wrapping_mul(131)
                .wrapping_add(byte.into())),
        );
        stream.write_all(head.as_bytes()).unwrap();
        if method == "GET" {
            stream.write_all(&body).unwrap();
            downloads.fetch_add(usize::from(!path.starts_with("/api/")), Ordering::Relaxed);
        }
    }

    fn content(folder: &Path, name: &str) -> Option<Vec<u8>> {
        match name {
            "modeling.py" => Some(b"print('never run')".to_vec()),
            name => fs::read(folder.join(name)).ok(),
        }
    }

    fn listing(folder: &Path) -> Vec<u8> {
        let entries = fs::read_dir(folder).unwrap();
        let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        let names = paths
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap());
        let files: Vec<_> = names
            .chain(["modeling.py"])
            .map(|name| json!({ "rfilename": name }))
            .collect();
        json!({ "sha": COMMIT, "siblings": files })
            .to_string()
            .into_bytes()
    }
}
