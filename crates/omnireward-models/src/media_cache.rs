use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result, processor::MediumShape};

/// What a medium became: the rows that stand for it in the decoder, and how they are laid out.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// How the rows divide into slices, frames or seconds.
    pub shape: MediumShape,
    /// `[rows, hidden]`.
    pub features: Tensor,
}

impl Encoded {
    fn bytes(&self) -> usize {
        self.features.elem_count() * self.features.dtype().size_in_bytes()
    }
}

/// Names a medium's features by all that they depend on: its bytes, its preprocessing and the tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaKey([u8; 32]);

impl MediaKey {
    /// The key of the medium `bytes`, preprocessed and encoded as the fingerprints say.
    pub fn new(bytes: &[u8], preprocessing: &str, tower: &[u8; 32]) -> Self {
        let hash = Sha256::new()
            .chain_update(Sha256::digest(bytes))
            .chain_update(tower)
            .chain_update(preprocessing);
        Self(hash.finalize().into())
    }

    fn hex(self) -> String {
        hex(&self.0)
    }
}

/// How often features were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheStats {
    /// Found in memory.
    pub memory_hits: u64,
    /// Found on disk.
    pub disk_hits: u64,
    /// Not found, so encoded.
    pub misses: u64,
}

impl CacheStats {
    /// The share of requests that were found, from 0 to 1; `None` before the first.
    pub fn hit_rate(self) -> Option<f64> {
        let hits = self.memory_hits + self.disk_hits;
        let all = hits + self.misses;
        (all > 0).then(|| hits as f64 / all as f64)
    }
}

/// Keeps what the towers made of media: in memory up to a budget, the least recently used going first, and in a
/// folder where one is given.
///
/// The towers are frozen in this family of models, so both sides of a pair, every criterion, every epoch and every
/// restart can use the same features. Files are named by their key, written whole or not at all, and carry a
/// checksum; one that is damaged is encoded anew. A file that cannot be written is missed by the next run and fails
/// nothing.
#[derive(Debug)]
pub struct MediaCache {
    budget: usize,
    dir: Option<PathBuf>,
    memory: Mutex<Memory>,
    told_unwritten: Once,
}

#[derive(Debug, Default)]
struct Memory {
    entries: HashMap<MediaKey, (Arc<Encoded>, u64)>,
    by_use: BTreeMap<u64, MediaKey>,
    bytes: usize,
    clock: u64,
    stats: CacheStats,
}

impl MediaCache {
    /// A cache that holds at most `budget` bytes of features in memory.
    pub fn in_memory(budget: usize) -> Self {
        Self {
            budget,
            dir: None,
            memory: Mutex::default(),
            told_unwritten: Once::new(),
        }
    }

    /// A cache that also keeps every medium's features in `dir`, which is made if need be.
    pub fn on_disk(budget: usize, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|source| io_error(dir, source))?;
        Ok(Self {
            dir: Some(dir.to_owned()),
            ..Self::in_memory(budget)
        })
    }

    /// The features under `key`, placed on `device`, if they are known.
    pub fn get(&self, key: MediaKey, device: &Device) -> Option<Arc<Encoded>> {
        if let Some(found) = self.memory().touch(key) {
            return Some(found);
        }
        let found = self.dir.as_deref().and_then(|dir| read(dir, key, device));
        if let Some(encoded) = found {
            let encoded = Arc::new(encoded);
            let mut memory = self.memory();
            memory.stats.disk_hits += 1;
            memory.keep(key, encoded.clone(), self.budget);
            Some(encoded)
        } else {
            self.memory().stats.misses += 1;
            None
        }
    }

    /// Keeps what the towers made of the medium under `key`: a copy, since what they give is often a part of the rows
    /// of many media, and all of those would stay with it.
    pub fn put(&self, key: MediaKey, encoded: Encoded) -> Result<Arc<Encoded>> {
        let encoded = Encoded {
            features: encoded.features.force_contiguous()?.detach(),
            ..encoded
        };
        if let Some(dir) = &self.dir
            && let Err(error) = write(dir, key, &encoded)
        {
            self.tell_unwritten(dir, &error);
        }
        let encoded = Arc::new(encoded);
        self.memory().keep(key, encoded.clone(), self.budget);
        Ok(encoded)
    }

    /// How often features were found so far.
    pub fn stats(&self) -> CacheStats {
        self.memory().stats
    }

    /// Whether features outlive the program.
    pub fn is_on_disk(&self) -> bool {
        self.dir.is_some()
    }

    /// A full disk is told of once, not for every medium.
    fn tell_unwritten(&self, dir: &Path, error: &Error) {
        self.told_unwritten.call_once(|| {
            tracing::warn!(
                dir = %dir.display(),
                error = omnireward_core::error_chain(error),
                "features cannot be kept on disk, and are encoded anew by the next run"
            );
        });
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Every change leaves the maps whole, so a panic elsewhere has not broken them.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn touch(&mut self, key: MediaKey) -> Option<Arc<Encoded>> {
        self.clock += 1;
        let (encoded, used) = self.entries.get_mut(&key)?;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, key);
        self.stats.memory_hits += 1;
        Some(encoded.clone())
    }

    fn keep(&mut self, key: MediaKey, encoded: Arc<Encoded>, budget: usize) {
        let size = encoded.bytes();
        if size > budget || self.entries.contains_key(&key) {
            return;
        }
        while self.bytes + size > budget {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            if let Some((gone, _)) = self.entries.remove(&oldest) {
                self.bytes -= gone.bytes();
            }
        }
        self.clock += 1;
        self.bytes += size;
        self.by_use.insert(self.clock, key);
        self.entries.insert(key, (encoded, self.clock));
    }
}

const FEATURES: &str = "features";

/// What stands in a file's header beside the tensor.
#[derive(Serialize, Deserialize)]
struct Header {
    shape: MediumShape,
    checksum: String,
}

/// Two levels, so that no folder holds too many files.
fn file(dir: &Path, key: MediaKey) -> PathBuf {
    let name = key.hex();
    dir.join(&name[..2]).join(format!("{name}.safetensors"))
}

fn read(dir: &Path, key: MediaKey, device: &Device) -> Option<Encoded> {
    let path = file(dir, key);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cached features cannot be read and are made anew");
            return None;
        }
    };
    let decoded = decode(&bytes, device);
    if decoded.is_none() {
        tracing::warn!(path = %path.display(), "cached features are damaged and are made anew");
    }
    decoded
}

fn decode(bytes: &[u8], device: &Device) -> Option<Encoded> {
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes).ok()?;
    let header = metadata.metadata().as_ref()?.get("omnireward")?;
    let header: Header = serde_json::from_str(header).ok()?;
    let tensors = safetensors::SafeTensors::deserialize(bytes).ok()?;
    let view = tensors.tensor(FEATURES).ok()?;
    let dtype = DType::try_from(view.dtype()).ok()?;
    if checksum(&header.shape, dtype, view.shape(), view.data()) != header.checksum {
        return None;
    }
    let features = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), device).ok()?;
    Some(Encoded {
        shape: header.shape,
        features,
    })
}

fn write(dir: &Path, key: MediaKey, encoded: &Encoded) -> Result<()> {
    let path = file(dir, key);
    let folder = path.parent().unwrap_or(dir);
    fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
    let partial = path.with_extension(partial());
    let written = fs::write(&partial, encode(encoded)?)
        .map_err(|source| io_error(&partial, source))
        .and_then(|()| fs::rename(&partial, &path).map_err(|source| io_error(&path, source)));
    if written.is_err() {
        // What is left of a file on a full disk helps nobody; that it cannot be removed is told by the error.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// A name of a process and a number in it, so that neither two programs nor two threads on one cache write into each
/// other's file.
fn partial() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("partial-{}-{number}", std::process::id())
}

/// Of all that a file says: how the rows are laid out, their type and number, and the numbers.
fn checksum(shape: &MediumShape, dtype: DType, dims: &[usize], data: &[u8]) -> String {
    let layout = serde_json::json!([shape, dtype.as_str(), dims]).to_string();
    let hash = Sha256::new()
        .chain_update((layout.len() as u64).to_le_bytes())
        .chain_update(layout)
        .chain_update(data);
    hex(&hash.finalize())
}

fn encode(encoded: &Encoded) -> Result<Vec<u8>> {
    let features = encoded.features.to_device(&Device::Cpu)?.contiguous()?;
    let data = raw(&features)?;
    let header = Header {
        shape: encoded.shape.clone(),
        checksum: checksum(&encoded.shape, features.dtype(), features.dims(), &data),
    };
    let header = serde_json::to_string(&header).expect("a header is plain numbers and text");
    let view = safetensors::tensor::TensorView::new(
        features.dtype().into(),
        features.dims().to_vec(),
        &data,
    )
    .map_err(candle_core::Error::wrap)?;
    let metadata = HashMap::from([("omnireward".to_owned(), header)]);
    Ok(safetensors::serialize([(FEATURES, view)], Some(metadata))
        .map_err(candle_core::Error::wrap)?)
}

/// The stored bytes of a contiguous tensor, little-endian.
fn raw(tensor: &Tensor) -> Result<Vec<u8>> {
    let flat = tensor.flatten_all()?;
    Ok(match tensor.dtype() {
        DType::BF16 => flat
            .to_vec1::<half::bf16>()?
            .into_iter()
            .flat_map(half::bf16::to_le_bytes)
            .collect(),
        _ => flat
            .to_dtype(DType::F32)?
            .to_vec1::<f32>()?
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect(),
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: f32, rows: usize) -> Encoded {
        Encoded {
            shape: MediumShape::Audio { tokens: rows },
            features: Tensor::full(value, (rows, 8), &Device::Cpu).unwrap(),
        }
    }

    fn key(name: &str) -> MediaKey {
        MediaKey::new(name.as_bytes(), "reference", &[0; 32])
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = MediaCache::in_memory(2 * 4 * 8 * 4);
        for name in ["a", "b"] {
            cache.put(key(name), encoded(1.0, 4)).unwrap();
        }
        assert!(cache.get(key("a"), &Device::Cpu).is_some());
        cache.put(key("c"), encoded(2.0, 4)).unwrap();
        let there = |name| cache.get(key(name), &Device::Cpu).is_some();
        assert!(there("a") && there("c") && !there("b"));
        let stats = cache.stats();
        assert_eq!((stats.memory_hits, stats.misses), (3, 1));
        assert_eq!(stats.hit_rate(), Some(0.75));
    }

    #[test]
    fn features_outlive_the_program_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        for dtype in [DType::F32, DType::BF16] {
            let kept = Encoded {
                shape: MediumShape::Video {
                    frames: vec![None; 3],
                },
                features: Tensor::rand(-1f32, 1f32, (5, 8), &Device::Cpu)
                    .unwrap()
                    .to_dtype(dtype)
                    .unwrap(),
            };
            let key = MediaKey::new(b"clip", dtype.as_str(), &[0; 32]);
            let before = MediaCache::on_disk(1 << 20, dir.path()).unwrap();
            before.put(key, kept.clone()).unwrap();
            let after = MediaCache::on_disk(1 << 20, dir.path()).unwrap();
            let found = after.get(key, &Device::Cpu).unwrap();
            assert_eq!(found.shape, kept.shape);
            assert_eq!(raw(&found.features).unwrap(), raw(&kept.features).unwrap());
            assert_eq!(after.stats().disk_hits, 1);
        }
    }

    #[test]
    fn a_damaged_file_is_a_miss() {
        let dir = tempfile::tempdir().unwrap();
        let cache = MediaCache::on_disk(0, dir.path()).unwrap();
        cache.put(key("a"), encoded(1.0, 4)).unwrap();
        assert!(cache.get(key("a"), &Device::Cpu).is_some());
        let path = file(dir.path(), key("a"));
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        // The layout of the rows is as much of it as the rows.
        let mut other_shape = whole.clone();
        let place = whole
            .windows(3)
            .position(|window| window == b":4}")
            .expect("the header says that there are 4 tokens");
        other_shape[place + 1] = b'3';
        for damaged in [&whole[..whole.len() / 2], &[], &flipped, &other_shape] {
            fs::write(&path, damaged).unwrap();
            assert!(cache.get(key("a"), &Device::Cpu).is_none());
        }
    }

    #[test]
    fn what_is_kept_is_not_a_part_of_something_larger() {
        let cache = MediaCache::in_memory(1 << 20);
        let all = Tensor::rand(-1f32, 1f32, (100, 8), &Device::Cpu).unwrap();
        let part = Encoded {
            shape: MediumShape::Audio { tokens: 4 },
            features: all.narrow(0, 50, 4).unwrap(),
        };
        let expected = raw(&part.features.contiguous().unwrap()).unwrap();
        let kept = cache.put(key("a"), part).unwrap();
        assert_eq!(raw(&kept.features).unwrap(), expected);
        let (storage, layout) = kept.features.storage_and_layout();
        let candle_core::Storage::Cpu(candle_core::CpuStorage::F32(numbers)) = &*storage else {
            panic!("numbers of single precision")
        };
        assert_eq!((numbers.len(), layout.start_offset()), (32, 0));
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_fails_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = MediaCache::on_disk(1 << 20, dir.path()).unwrap();
        // A file stands where the folder of the key's first letters should be.
        let folder = file(dir.path(), key("a"));
        fs::write(folder.parent().unwrap(), b"in the way").unwrap();
        cache.put(key("a"), encoded(1.0, 4)).unwrap();
        assert!(cache.get(key("a"), &Device::Cpu).is_some());
    }

    #[test]
    fn the_key_holds_all_that_features_depend_on() {
        let keys = [
            MediaKey::new(b"x", "p", &[0; 32]),
            MediaKey::new(b"y", "p", &[0; 32]),
            MediaKey::new(b"x", "q", &[0; 32]),
            MediaKey::new(b"x", "p", &[1; 32]),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
        }
    }
}
