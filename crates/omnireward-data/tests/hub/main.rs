//! The hub client against a hub-shaped server on loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::{
    fs,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use omnireward_core::{
    MediaRef, MediaSource, Modality, NoProgress, Preference, PreferencePair, Progress, Response,
    Task,
};
use omnireward_data::{
    Error, OpenOptions,
    hub::{HubClient, HubConfig, HubError, Snapshot},
    open, write,
};
use server::{COMMIT, Hub, etag, sha256};

fn config(endpoint: &str, home: &Path) -> HubConfig {
    let home = home.to_str().unwrap().to_owned();
    let mut config = HubConfig::from_vars(|name| match name {
        "HF_HOME" => Some(home.clone()),
        "HF_ENDPOINT" => Some(endpoint.to_owned()),
        _ => None,
    });
    config.first_pause = Duration::from_millis(1);
    config
}

async fn snapshot(config: HubConfig, spec: &str) -> Result<Snapshot, Error> {
    let spec = spec.parse().map_err(Error::Hub)?;
    HubClient::new(config)?
        .snapshot(&spec, &|_| true, &NoProgress)
        .await
}

/// Bytes that do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn small_and_large() -> Hub {
    Hub::with_files([
        ("README.md", b"# hello\n".to_vec()),
        ("data/large file.bin", noise(300_000)),
        ("skipped.bin", noise(20)),
    ])
}

#[derive(Default)]
struct Counted(AtomicU64);

impl Progress for Counted {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, steps: u64, _: &str) {
        self.0.fetch_add(steps, Ordering::Relaxed);
    }
    fn end(&self) {}
}

#[tokio::test]
async fn a_snapshot_has_the_wanted_files_of_one_commit_in_the_shared_layout() {
    let home = tempfile::tempdir().unwrap();
    let mut files = small_and_large();
    files
        .files
        .insert("data/large-file.bin".to_owned(), noise(300_000));
    files.files.remove("data/large file.bin");
    let (hub, endpoint) = files.serve().await;
    let client = HubClient::new(config(&endpoint, home.path())).unwrap();
    let spec = "hf:owner/bench".parse().unwrap();
    let progress = Counted::default();
    let wanted = |name: &str| name != "skipped.bin";
    let snapshot = client.snapshot(&spec, &wanted, &progress).await.unwrap();

    let repo = home.path().join("hub/datasets--owner--bench");
    assert_eq!(snapshot.revision, COMMIT);
    assert_eq!(snapshot.path, repo.join("snapshots").join(COMMIT));
    assert_eq!(
        fs::read(snapshot.path.join("README.md")).unwrap(),
        b"# hello\n"
    );
    let large = noise(300_000);
    assert_eq!(
        fs::read(snapshot.path.join("data/large-file.bin")).unwrap(),
        large
    );
    assert!(!snapshot.path.join("skipped.bin").exists());
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(
        fs::read(repo.join("blobs").join(sha256(&large))).unwrap(),
        large
    );
    assert_eq!(progress.0.load(Ordering::Relaxed), 300_008);
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(snapshot.path.join("data/large-file.bin")).unwrap(),
        Path::new("../../../blobs").join(sha256(&large))
    );

    let before = hub.downloads().len();
    assert_eq!(before, 2);
    assert_eq!(
        client.snapshot(&spec, &wanted, &NoProgress).await.unwrap(),
        snapshot
    );
    assert_eq!(hub.downloads().len(), before, "nothing is fetched twice");
}

#[tokio::test]
async fn a_cut_connection_is_gone_on_from_where_it_broke() {
    let home = tempfile::tempdir().unwrap();
    let large = noise(300_000);
    let hub = Hub::with_files([("a.bin", large.clone())]);
    hub.cut.lock().unwrap().insert("a.bin".to_owned(), 100_000);
    let (hub, endpoint) = hub.serve().await;
    let snapshot = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap();
    assert_eq!(fs::read(snapshot.path.join("a.bin")).unwrap(), large);
    let ranges: Vec<_> = hub.downloads().into_iter().map(|seen| seen.range).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned())]);
}

#[tokio::test]
async fn a_download_that_another_process_left_is_gone_on_from() {
    let home = tempfile::tempdir().unwrap();
    let large = noise(300_000);
    let blobs = home.path().join("hub/datasets--owner--bench/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let left = blobs.join(format!("{}.incomplete", etag(&large)));
    fs::write(&left, &large[..250_000]).unwrap();
    let (hub, endpoint) = Hub::with_files([("a.bin", large.clone())]).serve().await;
    let snapshot = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap();
    assert_eq!(fs::read(snapshot.path.join("a.bin")).unwrap(), large);
    assert_eq!(hub.downloads()[0].range.as_deref(), Some("bytes=250000-"));
    assert_eq!(hub.downloads().len(), 1);
    assert!(!left.exists());
}

#[tokio::test]
async fn a_server_without_ranges_sends_the_file_again() {
    let home = tempfile::tempdir().unwrap();
    let large = noise(300_000);
    let hub = Hub {
        no_ranges: true,
        ..Hub::with_files([("a.bin", large.clone())])
    };
    hub.cut.lock().unwrap().insert("a.bin".to_owned(), 100_000);
    let (_hub, endpoint) = hub.serve().await;
    let snapshot = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap();
    assert_eq!(fs::read(snapshot.path.join("a.bin")).unwrap(), large);
}

#[tokio::test]
async fn files_with_the_same_content_do_not_get_in_each_others_way() {
    let home = tempfile::tempdir().unwrap();
    let large = noise(300_000);
    let files = ["a.bin", "b.bin", "c.bin", "d.bin"].map(|name| (name, large.clone()));
    let (hub, endpoint) = Hub::with_files(files).serve().await;
    let snapshot = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap();
    for name in ["a.bin", "b.bin", "c.bin", "d.bin"] {
        assert_eq!(fs::read(snapshot.path.join(name)).unwrap(), large);
    }
    assert_eq!(hub.downloads().len(), 1);
}

#[tokio::test]
async fn other_content_than_announced_is_refused_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let large = noise(300_000);
    let hub = Hub {
        corrupt: true,
        ..Hub::with_files([("a.bin", large.clone())])
    };
    let (_hub, endpoint) = hub.serve().await;
    let error = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("a.bin") && message.contains("SHA-256"),
        "{message}"
    );
    assert!(message.contains(&sha256(&large)), "{message}");
    let blobs = home.path().join("hub/datasets--owner--bench/blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
}

fn left_over(home: &Path, content: &[u8], length: usize) {
    let blobs = home.join("hub/datasets--owner--bench/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let left = blobs.join(format!("{}.incomplete", etag(content)));
    fs::write(left, vec![0; length]).unwrap();
}

#[tokio::test]
async fn a_file_that_stays_short_is_given_up() {
    let home = tempfile::tempdir().unwrap();
    let large = noise(300_000);
    let hub = Hub {
        short: Some(200_000),
        ..Hub::with_files([("a.bin", large)])
    };
    let (hub, endpoint) = hub.serve().await;
    let fetched = snapshot(config(&endpoint, home.path()), "hf:owner/bench");
    let error = tokio::time::timeout(Duration::from_secs(20), fetched)
        .await
        .expect("it ends")
        .unwrap_err()
        .to_string();
    assert!(error.contains("a.bin"), "{error}");
    assert!(hub.downloads().len() <= 6, "{}", hub.downloads().len());
    let blobs = home.path().join("hub/datasets--owner--bench/blobs");
    let whole = fs::read_dir(blobs).unwrap().filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        !name.to_string_lossy().ends_with(".incomplete")
    });
    assert_eq!(whole.count(), 0, "nothing is taken for the file");
}

#[tokio::test]
async fn what_cannot_be_gone_on_from_is_fetched_again_also_without_a_size() {
    for no_sizes in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let large = noise(300_000);
        left_over(home.path(), &large, 400_000);
        let hub = Hub {
            no_sizes,
            ..Hub::with_files([("a.bin", large.clone())])
        };
        let (_hub, endpoint) = hub.serve().await;
        let snapshot = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
            .await
            .unwrap();
        assert_eq!(fs::read(snapshot.path.join("a.bin")).unwrap(), large);
    }
}

#[tokio::test]
async fn more_than_announced_is_refused_before_it_is_all_there() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub {
        repeated: 200,
        ..Hub::with_files([("a.bin", noise(300_000))])
    };
    let (hub, endpoint) = hub.serve().await;
    let progress = Counted::default();
    let client = HubClient::new(config(&endpoint, home.path())).unwrap();
    let spec = "hf:owner/bench".parse().unwrap();
    let error = client
        .snapshot(&spec, &|_| true, &progress)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("its size") && error.contains("300000"),
        "{error}"
    );
    assert_eq!(hub.downloads().len(), 1);
    assert!(progress.0.load(Ordering::Relaxed) < 10_000_000);
}

#[tokio::test]
async fn another_host_never_gets_the_token() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub {
        token: Some("right".to_owned()),
        ..Hub::with_files([("b.txt", b"b".to_vec())])
    };
    let (hub, endpoint) = hub.serve().await;
    fs::write(home.path().join("token"), "right").unwrap();
    snapshot(config(&endpoint, home.path()), "hf:owner/away")
        .await
        .unwrap_err();
    assert!(hub.seen().iter().any(|seen| seen.authorized));
    assert!(
        !hub.seen()
            .iter()
            .any(|seen| seen.storage && seen.authorized)
    );
}

#[tokio::test]
async fn a_token_is_asked_for_used_and_not_sent_on() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub {
        token: Some("right".to_owned()),
        ..Hub::with_files([("a.bin", noise(300_000)), ("b.txt", b"b".to_vec())])
    };
    let (hub, endpoint) = hub.serve().await;
    let without = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap_err();
    assert!(matches!(
        without,
        Error::Hub(HubError::Unauthorized {
            token_sent: false,
            ..
        })
    ));
    let message = without.to_string();
    assert!(
        message.contains("needs a token") && message.contains("HF_TOKEN"),
        "{message}"
    );

    fs::write(home.path().join("token"), "wrong").unwrap();
    let wrong = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap_err();
    assert!(wrong.to_string().contains("not accepted"), "{wrong}");
    assert!(!wrong.to_string().contains("wrong"), "{wrong}");

    fs::write(home.path().join("token"), "right\n").unwrap();
    let snapshot = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap();
    assert_eq!(fs::read(snapshot.path.join("b.txt")).unwrap(), b"b");
    let (stored, fronted): (Vec<_>, Vec<_>) =
        hub.downloads().into_iter().partition(|seen| seen.storage);
    assert!(
        stored.len() == 1 && !stored[0].authorized,
        "the storage saw the token"
    );
    assert!(fronted.iter().all(|seen| seen.authorized));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    let (_hub, endpoint) = small_and_large().serve().await;
    for (spec, named) in [
        ("hf:owner/other", "hf:owner/other at revision `main`"),
        ("hf:owner/bench@v9", "revision `v9`"),
    ] {
        let error = snapshot(config(&endpoint, home.path()), spec)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Hub(HubError::NotFound { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn a_busy_hub_is_asked_again_and_a_dead_one_named() {
    let home = tempfile::tempdir().unwrap();
    let hub = small_and_large();
    *hub.failures.lock().unwrap() = 3;
    let (_hub, endpoint) = hub.serve().await;
    snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap();

    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = snapshot(
        config(&format!("http://{free}"), home.path()),
        "hf:owner/bench",
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("tried 5 times"), "{error}");
}

#[tokio::test]
async fn a_renamed_repository_is_followed() {
    let home = tempfile::tempdir().unwrap();
    let (_hub, endpoint) = small_and_large().serve().await;
    let snapshot = snapshot(config(&endpoint, home.path()), "hf:owner/old")
        .await
        .unwrap();
    assert_eq!(
        fs::read(snapshot.path.join("README.md")).unwrap(),
        b"# hello\n"
    );
}

#[tokio::test]
async fn offline_uses_the_cache_and_says_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let (hub, endpoint) = small_and_large().serve().await;
    let offline = || HubConfig {
        offline: true,
        ..config(&endpoint, home.path())
    };
    let error = snapshot(offline(), "hf:owner/bench")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("offline") && error.contains("revision `main`"),
        "{error}"
    );
    assert!(error.contains("datasets--owner--bench"), "{error}");

    let spec = "hf:owner/bench".parse().unwrap();
    let client = HubClient::new(config(&endpoint, home.path())).unwrap();
    let some = client
        .snapshot(&spec, &|name| name == "README.md", &NoProgress)
        .await
        .unwrap();
    let asked = hub.seen().len();
    let offline_client = HubClient::new(offline()).unwrap();
    let same = offline_client
        .snapshot(&spec, &|name| name == "README.md", &NoProgress)
        .await;
    assert_eq!(same.unwrap(), some);
    let error = snapshot(offline(), "hf:owner/bench")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`data/large file.bin`, `skipped.bin`"),
        "{error}"
    );
    assert_eq!(hub.seen().len(), asked, "nothing was asked while offline");
}

#[tokio::test]
async fn what_the_python_client_downloaded_is_used() {
    let home = tempfile::tempdir().unwrap();
    let repo = home.path().join("hub/datasets--owner--bench");
    let large = noise(300_000);
    for folder in ["refs", "blobs", &format!("snapshots/{COMMIT}")] {
        fs::create_dir_all(repo.join(folder)).unwrap();
    }
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    fs::write(repo.join("blobs").join(etag(&large)), &large).unwrap();
    let offline = HubConfig {
        offline: true,
        ..config("http://127.0.0.1:1", home.path())
    };
    let cached = snapshot(offline, "hf:owner/bench").await.unwrap();
    assert_eq!(cached.revision, COMMIT);

    let (hub, endpoint) = Hub::with_files([("a.bin", large.clone())]).serve().await;
    let linked = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap();
    assert_eq!(fs::read(linked.path.join("a.bin")).unwrap(), large);
    assert_eq!(hub.downloads().len(), 0, "the blob was there");
}

#[tokio::test]
async fn a_listing_that_climbs_out_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub {
        extra_names: vec!["../../../evil".to_owned()],
        ..Hub::default()
    };
    let (_hub, endpoint) = hub.serve().await;
    let error = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`../../../evil`, which is refused"),
        "{error}"
    );
}

fn image_pair(name: &str) -> PreferencePair {
    let response = |side: u8| {
        Response::media(MediaRef {
            modality: Modality::Video,
            source: MediaSource::Bytes {
                bytes: vec![side; 2000].into(),
                name: Some(format!("clips/{name}-{side}.mp4")),
            },
        })
    };
    PreferencePair::new(name, Task::T2V, "a river", [response(1), response(2)])
        .with_criterion("smoother motion")
        .with_label(Preference::First)
}

/// All files below a folder, by name.
fn files_of(folder: &Path, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            files.extend(files_of(&path, &format!("{name}/")));
        } else {
            files.push((name, fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

fn media_of(path: &Path) -> Vec<Vec<u8>> {
    let dataset = open(path, &OpenOptions::default()).unwrap();
    let pairs: Vec<_> = dataset.pairs().map(Result::unwrap).collect();
    let responses = pairs.iter().flat_map(|pair| &pair.responses);
    responses
        .map(
            |response| match &response.parts[0].as_media().unwrap().source {
                MediaSource::File { path, .. } => fs::read(path).unwrap(),
                other => panic!("{other:?}"),
            },
        )
        .collect()
}

#[tokio::test]
async fn a_benchmark_opens_from_a_snapshot_with_its_media_archive() {
    let written = tempfile::tempdir().unwrap();
    write::omni_parquet(written.path(), [image_pair("1"), image_pair("2")]).unwrap();
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files_of(&written.path().join("media_data"), "media_data/") {
        archive
            .start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(&bytes).unwrap();
    }
    let archive = archive.finish().unwrap().into_inner();
    let table = fs::read(
        written
            .path()
            .join("text_to_video/test-00000-of-00001.parquet"),
    )
    .unwrap();
    let home = tempfile::tempdir().unwrap();
    let files = [
        ("text_to_video/test-00000-of-00001.parquet", table),
        ("media_data.zip", archive),
    ];
    let (_hub, endpoint) = Hub::with_files(files).serve().await;
    let config = Arc::new(config(&endpoint, home.path()));
    for _ in 0..2 {
        let snapshot = snapshot((*config).clone(), "hf:owner/bench").await.unwrap();
        let media = media_of(&snapshot.path);
        assert_eq!(
            media,
            [vec![1; 2000], vec![2; 2000], vec![1; 2000], vec![2; 2000]]
        );
        assert!(
            !snapshot.path.join("media_data").exists(),
            "the shared snapshot stays as it is"
        );
    }
}

#[tokio::test]
async fn media_files_of_a_snapshot_are_links_that_may_be_followed() {
    let written = tempfile::tempdir().unwrap();
    write::pairs_jsonl(&written.path().join("pairs.jsonl"), [image_pair("1")]).unwrap();
    let files = files_of(written.path(), "");
    let home = tempfile::tempdir().unwrap();
    let files = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()));
    let (_hub, endpoint) = Hub::with_files(files).serve().await;
    let snapshot = snapshot(config(&endpoint, home.path()), "hf:owner/bench")
        .await
        .unwrap();
    assert_eq!(media_of(&snapshot.path), [vec![1; 2000], vec![2; 2000]]);
}
