use std::{
    collections::HashSet,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use omnireward_core::{Order, Setting, Status, Usage};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Row, RunManifest};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS verdicts (
        position INTEGER NOT NULL,
        pair_id TEXT NOT NULL,
        setting TEXT NOT NULL,
        shown TEXT NOT NULL,
        status TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (pair_id, setting, shown)
    );
    CREATE TABLE IF NOT EXISTS replies (
        request TEXT PRIMARY KEY,
        reply TEXT NOT NULL,
        requests INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS bad_rows (
        message TEXT PRIMARY KEY
    );
";

/// A directory that holds one run: `run.toml`, `verdicts.sqlite`, `results.json`, `report.html`.
///
/// Every verdict and every reply is committed on its own, before it is reported, so a process
/// that is killed at any instant loses at most what it had not yet received.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    records: Mutex<Connection>,
    /// Held, with an exclusive lock, while this process may write.
    _lock: Option<File>,
}

/// Identifies one question of a run: which pair, with or without ties, in which order.
pub type AskKey = (String, Setting, Order);

impl RunDir {
    /// Creates the directory for a run, or opens it to go on with the same run.
    ///
    /// # Errors
    ///
    /// [`Error::OtherRun`] when the directory holds a run whose settings differ from `manifest`,
    /// [`Error::InUse`] when another process is writing to it, and the errors of files and
    /// database.
    pub fn create_or_resume(path: &Path, manifest: &RunManifest) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(file_error("create", path))?;
        let lock = lock(path)?;
        let manifest_path = path.join("run.toml");
        if manifest_path.exists() {
            let recorded = RunManifest::read(&manifest_path)?;
            manifest.check_same_run(&recorded, path)?;
        } else {
            write_atomically(&manifest_path, manifest.to_toml().as_bytes())?;
        }
        let mut dir = Self::connect(path)?;
        dir._lock = Some(lock);
        Ok(dir)
    }

    /// Opens a finished or unfinished run to read it.
    ///
    /// # Errors
    ///
    /// When there is no run in the directory, or its files are damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let manifest = path.join("run.toml");
        fs::metadata(&manifest).map_err(file_error("read", &manifest))?;
        Self::connect(path)
    }

    fn connect(path: &Path) -> Result<Self, Error> {
        let file = path.join("verdicts.sqlite");
        let connect = || {
            let records = Connection::open(&file)?;
            records.pragma_update(None, "journal_mode", "WAL")?;
            records.pragma_update(None, "synchronous", "NORMAL")?;
            records.execute_batch(SCHEMA)?;
            Ok(records)
        };
        let records = connect().map_err(|source| Error::Records {
            path: file.clone(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            records: Mutex::new(records),
            _lock: None,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings of the run.
    ///
    /// # Errors
    ///
    /// When `run.toml` cannot be read or understood.
    pub fn manifest(&self) -> Result<RunManifest, Error> {
        RunManifest::read(&self.path.join("run.toml"))
    }

    /// Commits a verdict. A verdict on the same question, left by an attempt that got no answer,
    /// is replaced.
    ///
    /// `position` is the pair's place in the benchmark; rows are read back in that order.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub fn commit(&self, position: u64, row: &Row) -> Result<(), Error> {
        let record = serde_json::to_string(row).expect("a row has only string keys");
        self.with_records(|records| {
            records
                .prepare_cached("INSERT OR REPLACE INTO verdicts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute(params![
                    position as i64,
                    row.pair_id,
                    row.setting.name(),
                    row.order.name(),
                    row.status.name(),
                    record
                ])
        })
        .map(drop)
    }

    /// The questions that were answered, readably or not. Questions whose medium or transport
    /// failed are not among them: they are asked again.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn answered(&self) -> Result<HashSet<AskKey>, Error> {
        let rows = self.rows()?;
        Ok(rows
            .into_iter()
            .filter(|row| row.status.is_answered())
            .map(|row| (row.pair_id, row.setting, row.order))
            .collect())
    }

    /// Every verdict, in the benchmark's order, then by setting and order.
    ///
    /// # Errors
    ///
    /// When the database cannot be read or a record is damaged.
    pub fn rows(&self) -> Result<Vec<Row>, Error> {
        let records: Vec<String> = self.with_records(|records| {
            records
                .prepare("SELECT record FROM verdicts ORDER BY position, pair_id, setting, shown")?
                .query_map([], |row| row.get(0))?
                .collect()
        })?;
        records
            .iter()
            .map(|record| {
                serde_json::from_str(record).map_err(|source| Error::Malformed {
                    what: "verdict record",
                    path: self.path.join("verdicts.sqlite"),
                    source: source.into(),
                })
            })
            .collect()
    }

    /// How many verdicts have `status`.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn count(&self, status: Status) -> Result<u64, Error> {
        self.with_records(|records| {
            records
                .prepare_cached("SELECT count(*) FROM verdicts WHERE status = ?1")?
                .query_row([status.name()], |row| row.get::<_, i64>(0))
        })
        .map(|count| count as u64)
    }

    /// Notes a row of the benchmark that could not be used; the same message is kept once.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub fn note_bad_row(&self, message: &str) -> Result<(), Error> {
        self.with_records(|records| {
            records.execute("INSERT OR IGNORE INTO bad_rows VALUES (?1)", [message])
        })
        .map(drop)
    }

    /// The rows of the benchmark that could not be used, each as a message that names it.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn bad_rows(&self) -> Result<Vec<String>, Error> {
        self.with_records(|records| {
            records
                .prepare("SELECT message FROM bad_rows ORDER BY rowid")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    /// The stored reply to a request, by the request's hash.
    pub(crate) fn reply(&self, request: &str) -> Result<Option<String>, Error> {
        self.with_records(|records| {
            records
                .prepare_cached("SELECT reply FROM replies WHERE request = ?1")?
                .query_row([request], |row| row.get(0))
                .optional()
        })
    }

    /// Commits a reply. `spent` is what it cost this run: nothing when it came from elsewhere.
    pub(crate) fn store_reply(
        &self,
        request: &str,
        reply: &str,
        spent: Usage,
    ) -> Result<(), Error> {
        self.with_records(|records| {
            records
                .prepare_cached("INSERT OR IGNORE INTO replies VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    request,
                    reply,
                    spent.requests,
                    spent.prompt_tokens as i64,
                    spent.completion_tokens as i64
                ])
        })
        .map(drop)
    }

    /// What all replies of this run have cost, in this and earlier sessions.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn spent(&self) -> Result<Usage, Error> {
        self.with_records(|records| {
            records.query_row(
                "SELECT total(requests), total(prompt_tokens), total(completion_tokens) FROM replies",
                [],
                |row| {
                    Ok(Usage {
                        requests: row.get::<_, f64>(0)? as u32,
                        prompt_tokens: row.get::<_, f64>(1)? as u64,
                        completion_tokens: row.get::<_, f64>(2)? as u64,
                    })
                },
            )
        })
    }

    /// Writes a JSON file of the run, whole or not at all.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value).expect("results have only string keys");
        self.write(name, text.as_bytes())
    }

    /// Reads a JSON file of the run.
    ///
    /// # Errors
    ///
    /// When the file is missing or is not what it should be.
    pub fn read_json<T: DeserializeOwned>(
        &self,
        name: &str,
        what: &'static str,
    ) -> Result<T, Error> {
        let path = self.path.join(name);
        let text = fs::read_to_string(&path).map_err(file_error("read", &path))?;
        serde_json::from_str(&text).map_err(|source| Error::Malformed {
            what,
            path,
            source: source.into(),
        })
    }

    /// Writes a file of the run, whole or not at all.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        write_atomically(&self.path.join(name), bytes)
    }

    fn with_records<T>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        // A panic elsewhere cannot leave a half-made commit: SQLite rolls it back.
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        act(&records).map_err(|source| Error::Records {
            path: self.path.join("verdicts.sqlite"),
            source,
        })
    }
}

/// Keeps a second process from writing to the same run. The lock ends with the process.
fn lock(path: &Path) -> Result<File, Error> {
    let lock_path = path.join(".lock");
    let file = File::create(&lock_path).map_err(file_error("create", &lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse {
            path: path.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(file_error("create", &lock_path)(source)),
    }
}

fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .map_err(file_error("write", path))
}

pub(crate) fn file_error(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        doing,
        path,
        source,
    }
}
