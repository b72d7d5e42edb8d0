use std::{fs, time::SystemTime};

use proptest::prelude::*;

use super::{decode, *};

fn read(folder: &Path) -> Vec<Vec<decode::Decoded>> {
    let mut paths = event_files(folder).unwrap();
    paths.sort();
    paths
        .iter()
        .map(|path| decode::events(&fs::read(path).unwrap()).unwrap())
        .collect()
}

fn named(scalars: &[(&str, f64)]) -> Vec<(String, f64)> {
    scalars
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}

#[test]
fn a_file_holds_its_version_and_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let before = SystemTime::now();
    let mut writer = EventWriter::create(folder.path(), "a/host name").unwrap();
    writer
        .scalars(300, &named(&[("train/loss", 0.25), ("train/margin", -1.5)]))
        .unwrap();
    writer.scalars(301, &[]).unwrap();
    let events = read(folder.path()).remove(0);
    assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
    assert_eq!(events[1].step, 300);
    assert_eq!(
        events[1].scalars,
        [
            ("train/loss".to_owned(), 0.25),
            ("train/margin".to_owned(), -1.5)
        ]
    );
    assert_eq!((events[2].step, events[2].scalars.len()), (301, 0));
    let begun = before
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    assert!((begun..begun + 60.0).contains(&events[1].wall_time));
    let name = writer.path.file_name().unwrap().to_string_lossy();
    assert!(
        name.starts_with("events.out.tfevents.") && name.ends_with(".a_host_name.000"),
        "{name}"
    );
}

#[test]
fn a_restart_has_its_own_file_that_says_where_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    EventWriter::create(folder.path(), "h").unwrap();
    let mut again = EventWriter::resume(folder.path(), "h", 40).unwrap();
    again.scalars(45, &named(&[("a", 1.0)])).unwrap();
    let files = read(folder.path());
    assert_eq!(files.len(), 2);
    assert_eq!(files[1][1].session_status, Some(1));
    assert_eq!(files[1][1].step, 41);
    assert_eq!(files[1][2].step, 45);
}

#[test]
fn a_new_training_deletes_event_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes"), "kept").unwrap();
    EventWriter::create(folder.path(), "h").unwrap();
    EventWriter::create(folder.path(), "h").unwrap();
    assert_eq!(read(folder.path()).len(), 1);
    assert!(folder.path().join("notes").exists());
}

/// The bytes are those of `tensorboard.compat.proto.event_pb2` and `tensorboard.summary.writer.record_writer`, 2.21.0.
#[test]
fn messages_and_frames_are_those_of_tensorboard() {
    let event = |step, what| Event {
        wall_time: 1.5,
        step,
        what,
    };
    let numbers = named(&[("a", 0.25)]);
    assert_eq!(
        event(300, What::Scalars(&numbers)).encode(),
        b"\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x0a\x0a\x08\x0a\x01a\x15\0\0\x80\x3e"
    );
    assert_eq!(
        event(41, What::SessionStart).encode(),
        b"\x09\0\0\0\0\0\0\xf8\x3f\x10\x29\x3a\x02\x08\x01"
    );
    assert_eq!(
        frame::framed(b"data"),
        b"\x04\0\0\0\0\0\0\0\x42\x45\x52\x04data\x88\x48\x26\x9e"
    );
}

#[test]
fn damage_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path(), "h").unwrap();
    writer.scalars(1, &named(&[("a", 1.0)])).unwrap();
    let whole = fs::read(&writer.path).unwrap();
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        assert!(decode::events(&damaged).is_err(), "byte {place}");
    }
    assert!(decode::events(&whole[..whole.len() - 1]).is_err());
}

proptest! {
    #[test]
    fn any_tag_step_and_number_is_read_again(
        step in any::<u64>(),
        scalars in prop::collection::vec((".{0,300}", any::<f32>()), 0..5),
    ) {
        let wide: Vec<_> = scalars
            .iter()
            .map(|(tag, value)| (tag.clone(), f64::from(*value)))
            .collect();
        let event = Event {
            wall_time: 0.5,
            step,
            what: What::Scalars(&wide),
        };
        let decoded = decode::events(&frame::framed(&event.encode())).unwrap().remove(0);
        prop_assert_eq!(decoded.step, step);
        let bits = |list: &[(String, f32)]| -> Vec<_> {
            list.iter().map(|(tag, value)| (tag.clone(), value.to_bits())).collect()
        };
        prop_assert_eq!(bits(&decoded.scalars), bits(&scalars));
    }
}
