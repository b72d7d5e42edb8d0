use std::{fmt, path::Path, sync::Arc};

use omnireward_core::{
    BoxFuture, ChatModel, ChatPart, ChatReply, ChatRequest, Identity, ModelError, ModelErrorKind,
    Usage,
};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::sync::{Mutex, PoisonError};

use crate::{Error, RunDir, Spend, run_dir::file_error};

/// A chat model that remembers: a request that was answered before is not sent again.
///
/// A reply is committed to the run directory the moment it arrives, before anything is made of it.
/// It is found again by a SHA-256 over everything that matters: the model's identity, every
/// message with its media's bytes, the sampling settings, and which repeat of the request it is.
/// So a changed pixel or temperature misses.
pub struct CachedChat {
    model: Arc<dyn ChatModel>,
    run: Arc<RunDir>,
    shared: Option<Arc<ReplyCache>>,
    spend: Arc<Spend>,
}

impl CachedChat {
    /// Remembers the replies of `model` in `run`, and also in `shared` where several runs are to
    /// profit from one another. What is paid for is added to `spend`.
    pub fn new(
        model: Arc<dyn ChatModel>,
        run: Arc<RunDir>,
        shared: Option<Arc<ReplyCache>>,
        spend: Arc<Spend>,
    ) -> Self {
        Self {
            model,
            run,
            shared,
            spend,
        }
    }

    async fn complete(&self, request: &ChatRequest) -> Result<ChatReply, ModelError> {
        let key = request_key(&self.model.identity(), request);
        if let Some(reply) = self.remembered(&key).map_err(cache_failed)? {
            return Ok(reply);
        }
        let reply = self.model.complete(request).await?;
        let text = serde_json::to_string(&reply).expect("a reply has only string keys");
        self.run
            .store_reply(&key, &text, reply.usage)
            .map_err(cache_failed)?;
        self.spend.add(reply.usage);
        if let Some(shared) = &self.shared {
            shared.store(&key, &text).map_err(cache_failed)?;
        }
        Ok(reply)
    }

    fn remembered(&self, key: &str) -> Result<Option<ChatReply>, Error> {
        let mut text = self.run.reply(key)?;
        if text.is_none()
            && let Some(shared) = &self.shared
            && let Some(found) = shared.find(key)?
        {
            self.run.store_reply(key, &found, Usage::default())?;
            text = Some(found);
        }
        text.map(|text| {
            serde_json::from_str(&text).map_err(|source| Error::Malformed {
                what: "stored reply",
                path: self.run.path().join("verdicts.sqlite"),
                source: source.into(),
            })
        })
        .transpose()
    }
}

impl ChatModel for CachedChat {
    fn identity(&self) -> Identity {
        self.model.identity()
    }

    fn complete<'a>(
        &'a self,
        request: &'a ChatRequest,
    ) -> BoxFuture<'a, Result<ChatReply, ModelError>> {
        Box::pin(self.complete(request))
    }
}

impl fmt::Debug for CachedChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedChat")
            .field("model", &self.model.identity().name)
            .field("run", &self.run.path())
            .finish_non_exhaustive()
    }
}

fn cache_failed(error: Error) -> ModelError {
    ModelError::caused_by(
        ModelErrorKind::Internal,
        "the stored replies cannot be used",
        error,
    )
}

/// Replies shared by several runs, in a file of their own.
#[derive(Debug)]
pub struct ReplyCache {
    path: std::path::PathBuf,
    records: Mutex<Connection>,
}

impl ReplyCache {
    /// Opens the file, or creates it with the folders it lies in.
    ///
    /// # Errors
    ///
    /// When the file cannot be created or is not a cache.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(file_error("create", folder))?;
        }
        let connect = || {
            let records = Connection::open(path)?;
            records.busy_timeout(std::time::Duration::from_secs(30))?;
            records.pragma_update(None, "journal_mode", "WAL")?;
            records.pragma_update(None, "synchronous", "NORMAL")?;
            records.execute_batch(
                "CREATE TABLE IF NOT EXISTS replies (request TEXT PRIMARY KEY, reply TEXT NOT NULL)",
            )?;
            Ok(records)
        };
        Ok(Self {
            records: Mutex::new(connect().map_err(|source| records_error(path, source))?),
            path: path.to_owned(),
        })
    }

    fn find(&self, key: &str) -> Result<Option<String>, Error> {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .prepare_cached("SELECT reply FROM replies WHERE request = ?1")
            .and_then(|mut find| find.query_row([key], |row| row.get(0)).optional())
            .map_err(|source| records_error(&self.path, source))
    }

    fn store(&self, key: &str, reply: &str) -> Result<(), Error> {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .execute(
                "INSERT OR IGNORE INTO replies VALUES (?1, ?2)",
                params![key, reply],
            )
            .map(drop)
            .map_err(|source| records_error(&self.path, source))
    }
}

fn records_error(path: &Path, source: rusqlite::Error) -> Error {
    Error::Records {
        path: path.to_owned(),
        source,
    }
}

/// Hashes everything that decides a reply. Each piece is written with its length before it, so
/// that no two requests can run together into the same bytes.
fn request_key(model: &Identity, request: &ChatRequest) -> String {
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    put(model.name.as_bytes());
    put(model.settings.to_string().as_bytes());
    put(serde_json::to_string(&request.sampling)
        .expect("sampling has only string keys")
        .as_bytes());
    put(&request.sample.to_le_bytes());
    if let Some(choices) = &request.choices {
        put(serde_json::to_string(choices)
            .expect("choices have only string keys")
            .as_bytes());
    }
    for message in &request.messages {
        put(&[message.role as u8]);
        put(&(message.parts.len() as u64).to_le_bytes());
        for part in &message.parts {
            match part {
                ChatPart::Text(text) => {
                    put(b"text");
                    put(text.as_bytes());
                }
                ChatPart::Image { media_type, bytes }
                | ChatPart::Audio { media_type, bytes }
                | ChatPart::Video { media_type, bytes } => {
                    put(media_type.as_bytes());
                    put(bytes);
                }
            }
        }
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        use fmt::Write;
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use omnireward_core::{ChatMessage, Finish, Role, Sampling};

    use super::*;
    use crate::manifest::example_manifest;

    /// Answers with the number of the call.
    struct Counting(AtomicU32);

    impl ChatModel for Counting {
        fn identity(&self) -> Identity {
            Identity::new("counting", serde_json::json!({"version": 1}))
        }

        fn complete<'a>(
            &'a self,
            _request: &'a ChatRequest,
        ) -> BoxFuture<'a, Result<ChatReply, ModelError>> {
            let call = self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                Ok(ChatReply {
                    text: call.to_string(),
                    finish: Finish::Stop,
                    usage: Usage {
                        requests: 1,
                        prompt_tokens: 10,
                        completion_tokens: 1,
                    },
                    model: None,
                    probabilities: None,
                })
            })
        }
    }

    fn request(pixel: u8, temperature: f64, sample: u32) -> ChatRequest {
        let image = ChatPart::Image {
            media_type: "image/png",
            bytes: vec![1, 2, pixel].into(),
        };
        ChatRequest {
            messages: vec![ChatMessage {
                role: Role::User,
                parts: vec![ChatPart::Text("which?".to_owned()), image],
            }],
            sampling: Sampling {
                temperature: Some(temperature),
                ..Sampling::default()
            },
            sample,
            choices: None,
        }
    }

    fn cached(dir: &Path, shared: Option<Arc<ReplyCache>>) -> (CachedChat, Arc<Spend>) {
        let run = Arc::new(RunDir::create_or_resume(dir, &example_manifest()).unwrap());
        let spend = Arc::new(Spend::default());
        let model = Arc::new(Counting(AtomicU32::new(0)));
        (CachedChat::new(model, run, shared, spend.clone()), spend)
    }

    #[tokio::test]
    async fn anything_that_matters_misses() {
        let dir = tempfile::tempdir().unwrap();
        let (chat, spend) = cached(dir.path(), None);
        let mut texts = Vec::new();
        for request in [
            request(3, 0.0, 0),
            request(3, 0.0, 0),
            request(4, 0.0, 0),
            request(3, 0.5, 0),
            request(3, 0.0, 1),
            request(3, 0.0, 0),
        ] {
            texts.push(chat.complete(&request).await.unwrap().text);
        }
        assert_eq!(texts, ["0", "0", "1", "2", "3", "0"]);
        assert_eq!(spend.so_far().requests, 4);
    }

    #[tokio::test]
    async fn a_shared_cache_serves_another_run_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let shared = Arc::new(ReplyCache::open(&dir.path().join("cache/replies.sqlite")).unwrap());
        let (first, _) = cached(&dir.path().join("a"), Some(shared.clone()));
        let (second, spend) = cached(&dir.path().join("b"), Some(shared));
        let paid = first.complete(&request(3, 0.0, 0)).await.unwrap();
        first.complete(&request(9, 0.0, 0)).await.unwrap();
        let free = second.complete(&request(3, 0.0, 0)).await.unwrap();
        assert_eq!(paid, free);
        assert_eq!(spend.so_far().requests, 0);
        assert_eq!(second.run.spent().unwrap().requests, 0);
        assert_eq!(first.run.spent().unwrap().requests, 2);
    }

    #[test]
    fn text_cannot_pose_as_two_parts() {
        let identity = Identity::new("m", serde_json::Value::Null);
        let with = |parts: &[&str]| ChatRequest {
            messages: vec![ChatMessage {
                role: Role::User,
                parts: parts
                    .iter()
                    .map(|t| ChatPart::Text((*t).to_owned()))
                    .collect(),
            }],
            sampling: Sampling::default(),
            sample: 0,
            choices: None,
        };
        let keys = [&["ab", "c"][..], &["a", "bc"], &["abc"], &["ab", "c", ""]]
            .map(|parts| request_key(&identity, &with(parts)));
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}
