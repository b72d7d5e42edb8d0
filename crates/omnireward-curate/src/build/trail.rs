//! The file in which a build keeps what it did.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{BuildPlan, PairRecord};
use crate::Error;

/// The records of a build: `trail.jsonl`, the plan on the first line and then one pair a line. Where
/// a build goes on with a larger limit, its plan stands there again, and the last one counts.
///
/// The file is only ever appended to, one whole line in one write, when all that was asked about a
/// pair has been answered; nothing in it is changed later. That makes it simpler than a database
/// and as safe: a process killed while it writes leaves at most half a line at the end, which is
/// cut off when the build is started again, and everything before it is whole. A pair whose
/// replies did not all come is asked again and appended again; the later line counts. People can
/// read it with any tool.
#[derive(Debug)]
pub struct Trail {
    path: PathBuf,
    plan: BuildPlan,
    records: BTreeMap<String, PairRecord>,
    /// Open for appending, and locked while this process may write.
    file: File,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Plan(Box<BuildPlan>),
    Pair(Box<PairRecord>),
}

impl Trail {
    /// The name of the file in a build's directory.
    pub const FILE: &'static str = "trail.jsonl";

    /// Starts a trail in the folder `out`, or goes on with the one that is there, for as many pairs
    /// or more.
    ///
    /// # Errors
    ///
    /// [`Error::OtherBuild`] when the folder holds a build of another plan, [`Error::InUse`] when
    /// another process writes to it, [`Error::Trail`] when a line in it is damaged, and errors of
    /// the file.
    pub fn create_or_resume(out: &Path, plan: BuildPlan) -> Result<Self, Error> {
        std::fs::create_dir_all(out).map_err(Error::writing(out))?;
        let path = out.join(Self::FILE);
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(Error::writing(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    path: out.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(Error::writing(&path)(source)),
        }
        let (recorded, records) = read_and_repair(&path, &file)?;
        let mut trail = Self {
            path,
            plan,
            records,
            file,
        };
        if let Some(recorded) = &recorded {
            check_same(recorded, &trail.plan, out)?;
        }
        if recorded.is_none_or(|recorded| recorded.limit != trail.plan.limit) {
            trail.write(&Line::Plan(Box::new(trail.plan.clone())))?;
        }
        Ok(trail)
    }

    /// Reads the trail in the folder `out`, of a build that is finished, under way or was killed.
    ///
    /// # Errors
    ///
    /// When there is no trail, or a line in it is damaged.
    pub fn read(out: &Path) -> Result<(BuildPlan, Vec<PairRecord>), Error> {
        let path = out.join(Self::FILE);
        let file = File::open(&path).map_err(Error::reading(&path))?;
        let (plan, records, _) = read_lines(&path, &file)?;
        let plan = plan.ok_or_else(|| damaged(&path, 1, "there is no plan"))?;
        Ok((plan, in_order(records.into_values())))
    }

    /// What is asked and kept.
    pub fn plan(&self) -> &BuildPlan {
        &self.plan
    }

    /// The records, in the order of the source.
    pub fn records(&self) -> Vec<PairRecord> {
        in_order(self.records.values().cloned())
    }

    /// The record of a pair, if it was asked about.
    pub fn record(&self, pair_id: &str) -> Option<&PairRecord> {
        self.records.get(pair_id)
    }

    /// The record of a pair, if everything that was asked about it was answered.
    pub fn whole(&self, pair_id: &str) -> Option<&PairRecord> {
        self.records.get(pair_id).filter(|record| record.is_whole())
    }

    /// Appends a pair's record, and returns when the disk has it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn append(&mut self, record: PairRecord) -> Result<(), Error> {
        let line = Line::Pair(Box::new(record));
        self.write(&line)?;
        if let Line::Pair(record) = line {
            self.records.insert(record.pair_id.clone(), *record);
        }
        Ok(())
    }

    fn write(&mut self, line: &Line) -> Result<(), Error> {
        let mut text = serde_json::to_vec(line).expect("records have only string keys");
        text.push(b'\n');
        self.file
            .write_all(&text)
            .and_then(|()| self.file.sync_data())
            .map_err(Error::writing(&self.path))
    }
}

type Lines = (Option<BuildPlan>, BTreeMap<String, PairRecord>, u64);

/// Reads the lines, and cuts off the half of one that a killed process left at the end.
fn read_and_repair(
    path: &Path,
    file: &File,
) -> Result<(Option<BuildPlan>, BTreeMap<String, PairRecord>), Error> {
    let (plan, records, whole) = read_lines(path, file)?;
    file.set_len(whole).map_err(Error::writing(path))?;
    Ok((plan, records))
}

/// The plan, the records, and the length of all whole lines in bytes.
fn read_lines(path: &Path, mut file: &File) -> Result<Lines, Error> {
    file.seek(SeekFrom::Start(0))
        .map_err(Error::reading(path))?;
    let mut reader = BufReader::new(file);
    let (mut plan, mut records, mut whole) = (None, BTreeMap::new(), 0);
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let read = reader.read_until(b'\n', &mut text);
        let length = read.map_err(Error::reading(path))?;
        if !text.ends_with(b"\n") {
            break;
        }
        let line: Line = serde_json::from_slice(&text)
            .map_err(|error| damaged(path, number, error.to_string()))?;
        match line {
            Line::Plan(found) if number == 1 => plan = Some(*found),
            Line::Plan(found) if extends(plan.as_ref(), &found) => plan = Some(*found),
            Line::Pair(record) if plan.is_some() => {
                records.insert(record.pair_id.clone(), *record);
            }
            Line::Plan(_) => {
                let reason = "a later plan may only have a larger limit";
                return Err(damaged(path, number, reason));
            }
            Line::Pair(_) => {
                return Err(damaged(path, number, "the plan has to be the first line"));
            }
        }
        whole += length as u64;
    }
    Ok((plan, records, whole))
}

fn extends(earlier: Option<&BuildPlan>, later: &BuildPlan) -> bool {
    earlier.is_some_and(|earlier| earlier.is_extended_by(later))
}

fn in_order(records: impl Iterator<Item = PairRecord>) -> Vec<PairRecord> {
    let mut records: Vec<PairRecord> = records.collect();
    records.sort_by(|a, b| (a.position, &a.pair_id).cmp(&(b.position, &b.pair_id)));
    records
}

fn damaged(path: &Path, line: u64, reason: impl Into<String>) -> Error {
    Error::Trail {
        path: path.to_owned(),
        line,
        reason: reason.into(),
    }
}

/// Checks that a recorded build asks the same, of as many pairs or fewer, so that its records may be
/// kept.
fn check_same(recorded: &BuildPlan, wanted: &BuildPlan, out: &Path) -> Result<(), Error> {
    const LIMIT: &str = "limit";
    if recorded.is_extended_by(wanted) {
        return Ok(());
    }
    let fields = |plan: &BuildPlan| match serde_json::to_value(plan) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => unreachable!("a plan is an object"),
    };
    let (old, new) = (fields(recorded), fields(wanted));
    // The limit may grow where nothing else differs, so it is named last.
    let names = old.keys().map(String::as_str).filter(|name| *name != LIMIT);
    let differing = names.chain([LIMIT]).find(|name| old[*name] != new[*name]);
    match differing {
        None => Ok(()),
        Some(name) => Err(Error::OtherBuild {
            path: out.to_owned(),
            field: name.to_owned(),
            recorded: old[name].to_string(),
            requested: new[name].to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::{Order, Status, Task, Usage};

    use super::super::WriterRecord;
    use super::*;

    fn plan() -> BuildPlan {
        BuildPlan::example()
    }

    fn record(id: &str, position: u64, status: Status) -> PairRecord {
        PairRecord {
            pair_id: id.to_owned(),
            position,
            task: Task::T2T,
            group: id.to_owned(),
            writer: WriterRecord {
                name: "w".to_owned(),
                order: Order::AsIs,
                request_sha256: None,
                status,
                reply: None,
                detail: None,
                usage: Usage::default(),
            },
            criteria: Vec::new(),
        }
    }

    #[test]
    fn half_a_line_is_cut_off_wherever_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut trail = Trail::create_or_resume(folder.path(), plan()).unwrap();
        trail.append(record("b", 1, Status::Readable)).unwrap();
        let path = folder.path().join(Trail::FILE);
        let two = std::fs::metadata(&path).unwrap().len();
        trail.append(record("a", 0, Status::Readable)).unwrap();
        drop(trail);
        let whole = std::fs::read(&path).unwrap();
        for end in (0..whole.len()).step_by(7).chain([whole.len()]) {
            std::fs::write(&path, &whole[..end]).unwrap();
            let mut trail = Trail::create_or_resume(folder.path(), plan()).unwrap();
            let expected = usize::from(end as u64 >= two) + usize::from(end == whole.len());
            assert_eq!(trail.records().len(), expected, "cut at {end}");
            trail.append(record("b", 1, Status::Readable)).unwrap();
            trail.append(record("a", 0, Status::Readable)).unwrap();
            let ids: Vec<String> = trail.records().into_iter().map(|r| r.pair_id).collect();
            assert_eq!(ids, ["a", "b"]);
            drop(trail);
            assert_eq!(Trail::read(folder.path()).unwrap().1.len(), 2);
        }
    }

    #[test]
    fn the_later_record_of_a_pair_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut trail = Trail::create_or_resume(folder.path(), plan()).unwrap();
        trail
            .append(record("a", 0, Status::TransportError))
            .unwrap();
        assert!(trail.whole("a").is_none());
        trail.append(record("a", 0, Status::Readable)).unwrap();
        assert!(trail.whole("a").is_some());
        drop(trail);
        let (_, records) = Trail::read(folder.path()).unwrap();
        assert_eq!(records, [record("a", 0, Status::Readable)]);
    }

    #[test]
    fn another_plan_and_another_process_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::create_or_resume(folder.path(), plan()).unwrap();
        let error = Trail::create_or_resume(folder.path(), plan()).unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        drop(trail);
        let other = BuildPlan { seed: 7, ..plan() };
        let error = Trail::create_or_resume(folder.path(), other).unwrap_err();
        assert!(
            error.to_string().contains("`seed` was 0 and is now 7"),
            "{error}"
        );
    }

    #[test]
    fn a_larger_limit_goes_on_and_a_smaller_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let limited = |limit| BuildPlan { limit, ..plan() };
        let begin = |limit| Trail::create_or_resume(folder.path(), limited(limit));
        let mut trail = begin(Some(1)).unwrap();
        trail.append(record("a", 0, Status::Readable)).unwrap();
        drop(trail);
        let mut trail = begin(Some(2)).unwrap();
        assert!(trail.whole("a").is_some());
        trail.append(record("b", 1, Status::Readable)).unwrap();
        drop(trail);
        drop(begin(Some(2)).unwrap());
        let error = begin(Some(1)).unwrap_err().to_string();
        assert!(error.contains("`limit` was 2 and is now 1"), "{error}");
        let other = BuildPlan {
            seed: 7,
            ..limited(Some(3))
        };
        let error = Trail::create_or_resume(folder.path(), other).unwrap_err();
        assert!(error.to_string().contains("`seed` was 0"), "{error}");
        let (recorded, records) = Trail::read(folder.path()).unwrap();
        assert_eq!((recorded, records.len()), (limited(Some(2)), 2));
        let text = std::fs::read_to_string(folder.path().join(Trail::FILE)).unwrap();
        assert_eq!(text.matches("{\"plan\"").count(), 2);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        drop(Trail::create_or_resume(folder.path(), plan()).unwrap());
        let path = folder.path().join(Trail::FILE);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"pair\": 3}\n");
        std::fs::write(&path, text).unwrap();
        let error = Trail::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
