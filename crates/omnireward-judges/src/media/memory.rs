use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use omnireward_core::{ChatPart, MediaRef, MediaSource, ModelError};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

/// Encoded media that were asked for lately.
///
/// The same medium is asked for in both settings, in both orders and under every criterion of a
/// pair, mostly one soon after the other. It is encoded once, also when several ask at the same
/// time.
#[derive(Debug)]
pub(super) struct Memory {
    budget: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    encoded: HashMap<Key, Arc<OnceCell<Vec<ChatPart>>>>,
    /// What is counted, the longest unused first.
    sizes: VecDeque<(Key, usize)>,
    bytes: usize,
}

/// A SHA-256 over where the bytes are and how they are encoded.
type Key = [u8; 32];

impl Memory {
    /// Holds at most about `budget` bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            held: Mutex::default(),
        }
    }

    /// What `encode` made of `media` before, or makes now. A failure is not remembered.
    pub(super) async fn recall(
        &self,
        media: &[MediaRef],
        frames: Option<NonZeroU32>,
        encode: impl Future<Output = Result<Vec<ChatPart>, ModelError>>,
    ) -> Result<Vec<ChatPart>, ModelError> {
        let key = key(media, frames);
        let cell = self.with(|held| held.encoded.entry(key).or_default().clone());
        let parts = cell.get_or_try_init(|| encode).await.cloned();
        self.with(|held| match &parts {
            Ok(parts) => held.touch(key, size(parts), self.budget),
            // Whoever is still waiting holds the cell itself.
            Err(_) => drop(held.encoded.remove(&key)),
        });
        parts
    }

    fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        act(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    /// Makes an entry the latest used, and lets go of the longest unused beyond the budget.
    fn touch(&mut self, key: Key, size: usize, budget: usize) {
        if let Some(at) = self.sizes.iter().position(|(held, _)| *held == key) {
            self.sizes.remove(at);
        } else {
            self.bytes += size;
        }
        self.sizes.push_back((key, size));
        while self.bytes > budget
            && let Some((key, size)) = self.sizes.pop_front()
        {
            self.bytes -= size;
            self.encoded.remove(&key);
        }
    }
}

fn size(parts: &[ChatPart]) -> usize {
    parts
        .iter()
        .map(|part| match part {
            ChatPart::Text(text) => text.len(),
            ChatPart::Image { bytes, .. }
            | ChatPart::Audio { bytes, .. }
            | ChatPart::Video { bytes, .. } => bytes.len(),
        })
        .sum()
}

fn key(media: &[MediaRef], frames: Option<NonZeroU32>) -> Key {
    let mut hash = Sha256::new();
    hash.update(frames.map_or(0, NonZeroU32::get).to_le_bytes());
    for medium in media {
        let mut put = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        put(medium.modality.name().as_bytes());
        match &medium.source {
            MediaSource::Bytes { bytes, .. } => put(bytes),
            MediaSource::File { path, .. } => {
                put(path.as_os_str().as_encoded_bytes());
                // A file that changes while a run goes on is another file.
                let metadata = std::fs::metadata(path).ok();
                put(&metadata
                    .as_ref()
                    .map_or(0, std::fs::Metadata::len)
                    .to_le_bytes());
                let modified = metadata.and_then(|metadata| metadata.modified().ok());
                let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                put(&since.unwrap_or_default().as_nanos().to_le_bytes());
            }
            MediaSource::Url(name) | MediaSource::Absent { name } => put(name.as_bytes()),
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use omnireward_core::{Modality, ModelErrorKind};

    use super::*;

    fn image(content: &[u8]) -> Vec<MediaRef> {
        vec![MediaRef {
            modality: Modality::Image,
            source: MediaSource::Bytes {
                bytes: content.into(),
                name: None,
            },
        }]
    }

    async fn recall(memory: &Memory, content: &[u8], made: &AtomicU32) -> Vec<ChatPart> {
        let encode = async {
            tokio::task::yield_now().await;
            made.fetch_add(1, Ordering::SeqCst);
            Ok(vec![ChatPart::Text("x".repeat(100))])
        };
        memory.recall(&image(content), None, encode).await.unwrap()
    }

    #[tokio::test]
    async fn the_same_bytes_are_encoded_once_even_at_the_same_time() {
        let (memory, made) = (Memory::new(1000), AtomicU32::new(0));
        futures::join!(recall(&memory, b"a", &made), recall(&memory, b"a", &made));
        recall(&memory, b"a", &made).await;
        assert_eq!(made.load(Ordering::SeqCst), 1);
        recall(&memory, b"b", &made).await;
        assert_eq!(made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn the_longest_unused_goes_first() {
        let (memory, made) = (Memory::new(250), AtomicU32::new(0));
        for content in [b"a", b"b", b"a", b"c"] {
            recall(&memory, content, &made).await;
        }
        assert_eq!(made.load(Ordering::SeqCst), 3);
        recall(&memory, b"a", &made).await;
        assert_eq!(
            made.load(Ordering::SeqCst),
            3,
            "`a` was used later than `b`"
        );
        recall(&memory, b"b", &made).await;
        assert_eq!(made.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_failure_is_tried_again() {
        let (memory, made) = (Memory::new(1000), AtomicU32::new(0));
        let fail = async { Err(ModelError::new(ModelErrorKind::Media, "broken")) };
        assert!(memory.recall(&image(b"a"), None, fail).await.is_err());
        recall(&memory, b"a", &made).await;
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn frames_and_modality_are_part_of_the_key() {
        let one = key(&image(b"a"), None);
        assert_ne!(one, key(&image(b"a"), NonZeroU32::new(5)));
        let mut other = image(b"a");
        other[0].modality = Modality::Video;
        assert_ne!(one, key(&other, None));
    }
}
