use std::{
    collections::HashSet,
    fmt::Write,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use omnireward_core::{Order, Setting, Usage};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
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

/// The database of a run, in its directory.
const RECORDS: &str = "verdicts.sqlite";

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
        Self::with_connection(path, Some(lock), create)
    }

    /// Opens a finished or unfinished run to read it, also while another process writes to it and
    /// where nothing may be written. Nothing can be committed to it.
    ///
    /// # Errors
    ///
    /// When there is no run in the directory, or its files are damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        for name in ["run.toml", RECORDS] {
            let file = path.join(name);
            fs::metadata(&file).map_err(file_error("read", &file))?;
        }
        Self::with_connection(path, None, read_only)
    }

    fn with_connection(
        path: &Path,
        lock: Option<File>,
        connect: fn(&Path) -> rusqlite::Result<Connection>,
    ) -> Result<Self, Error> {
        let file = path.join(RECORDS);
        let records = connect(&file).map_err(|source| Error::Records { path: file, source })?;
        Ok(Self {
            path: path.to_owned(),
            records: Mutex::new(records),
            _lock: lock,
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
    /// # Errors
    ///
    /// When the database cannot be written.
    ///
    /// # Panics
    ///
    /// Never: a row always becomes JSON.
    pub fn commit(&self, row: &Row) -> Result<(), Error> {
        let record = serde_json::to_string(row).expect("a row has only string keys");
        self.with_records(|records| {
            records
                .prepare_cached("INSERT OR REPLACE INTO verdicts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute(params![
                    row.position as i64,
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
                    path: self.path.join(RECORDS),
                    source: source.into(),
                })
            })
            .collect()
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
    ///
    /// # Panics
    ///
    /// When `value` is no JSON: a map whose keys are not texts.
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
            path: self.path.join(RECORDS),
            source,
        })
    }
}

/// Opens the records to write to them, with their tables.
fn create(file: &Path) -> rusqlite::Result<Connection> {
    let records = Connection::open(file)?;
    records.pragma_update(None, "journal_mode", "WAL")?;
    records.pragma_update(None, "synchronous", "NORMAL")?;
    records.execute_batch(SCHEMA)?;
    Ok(records)
}

/// Opens the records without a way to write to them.
///
/// Readers of a write-ahead log keep an index of it in a file beside it. Where they cannot make
/// one, as in a read-only directory, the records are still whole without it if there is no log.
fn read_only(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let records = Connection::open_with_flags(file, flags)?;
    // Opening reads nothing; the first statement does.
    let first_read = records.query_row("SELECT count(*) FROM verdicts", [], |_| Ok(()));
    match first_read {
        Ok(()) => Ok(records),
        Err(_) if has_no_log(file) => {
            Connection::open_with_flags(immutable(file), flags | OpenFlags::SQLITE_OPEN_URI)
        }
        Err(error) => Err(error),
    }
}

/// Whether everything is in the database itself. Readers may leave an empty log behind.
fn has_no_log(file: &Path) -> bool {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    fs::metadata(log).map_or(true, |log| log.len() == 0)
}

/// The URI of a database that nobody writes to, so that no lock and no log are looked for.
fn immutable(file: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in file.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            write!(uri, "%{byte:02X}").expect("writing to a string succeeds");
        }
    }
    uri + "?immutable=1"
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
