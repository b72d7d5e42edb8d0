//! Writing pairs in formats that others read. Each writer takes an iterator, so that nothing has to
//! be in memory at once.

pub use crate::formats::{
    llama_factory_ranking, omni_json, omni_parquet, pairs_jsonl, reward_bench, trl_preference,
};
