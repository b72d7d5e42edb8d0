//! Times what a step of training is made of: forward and backward passes of every operator beside its plain twin, and
//! of whole decoders. The best of many runs, in turns.
//!
//! `cargo bench -p omnireward-models --bench training [-- PART-OF-A-NAME]`; `RAYON_NUM_THREADS` sets the threads.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use mimalloc::MiMalloc;
use omnireward_core::NoProgress;
use omnireward_models::{
    checkpoint::{Family, RandomCheckpoint, Size},
    decoder::{Decoder, DecoderConfig},
    ops::{
        AttentionItem, AttentionLayout, Visibility, add, attention, attention_plain, gelu_erf,
        gelu_erf_plain, gelu_tanh, gelu_tanh_plain, layer_norm, layer_norm_plain, linear,
        linear_plain, pull_back, rms_norm, rms_norm_plain, rotate, rotate_plain, rows, rows_plain,
        swiglu, swiglu_plain,
    },
    weights::{Placement, StoredType, Weight, Weights},
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<()> {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let table = Table { wanted };
    println!(
        "{:<44} {:>5} {:>9} {:>9} {:>9} {:>9}",
        "operator", "type", "there ms", "plain ms", "back ms", "plain ms"
    );
    for dtype in [DType::F32, DType::BF16] {
        operators(&table, dtype)?;
    }
    println!(
        "{:<44} {:>5} {:>9} {:>9} {:>9} {:>9}",
        "decoder", "type", "there ms", "GFLOP/s", "back ms", "GFLOP/s"
    );
    for dtype in [DType::F32, DType::BF16] {
        decoders(&table, dtype)?;
    }
    Ok(())
}

struct Table {
    wanted: Option<String>,
}

impl Table {
    fn wants(&self, name: &str) -> bool {
        (self.wanted.as_ref()).is_none_or(|wanted| name.contains(wanted))
    }

    /// Forward and backward of both forms of an operator.
    fn row(
        &self,
        name: &str,
        dtype: DType,
        ours: impl Fn() -> Result<Tensor>,
        plain: impl Fn() -> Result<Tensor>,
    ) -> Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        let grad = random(ours()?.shape(), dtype)?;
        let mut best = [[f64::INFINITY; 2]; 2];
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1500) {
            for _ in 0..3 {
                let [there, back] = there_and_back(&ours, &grad)?;
                best[0] = [best[0][0].min(there), best[0][1].min(back)];
            }
            let [there, back] = there_and_back(&plain, &grad)?;
            best[1] = [best[1][0].min(there), best[1][1].min(back)];
        }
        let [ours, plain] = best.map(|times| times.map(|seconds| seconds * 1e3));
        println!(
            "{name:<44} {:>5} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
            dtype.as_str(),
            ours[0],
            plain[0],
            ours[1],
            plain[1]
        );
        Ok(())
    }
}

fn there_and_back(forward: impl Fn() -> Result<Tensor>, grad: &Tensor) -> Result<[f64; 2]> {
    let start = Instant::now();
    let out = forward()?;
    let there = start.elapsed().as_secs_f64();
    let start = Instant::now();
    pull_back(&out, grad)?;
    Ok([there, start.elapsed().as_secs_f64()])
}

/// The operators of Qwen2-0.5B's decoder and of both towers, over a trunk of 512 rows with two branches of 128.
fn operators(table: &Table, dtype: DType) -> Result<()> {
    const ROWS: usize = 768;
    let var = |shape: &[usize]| Var::from_tensor(&random(shape, dtype)?);
    for (name, inner, out) in [
        ("linear 896 -> 896", 896, 896),
        ("linear 896 -> 4864", 896, 4864),
        ("linear 4864 -> 896", 4864, 896),
    ] {
        let (x, w, b) = (var(&[ROWS, inner])?, var(&[out, inner])?, var(&[out])?);
        let weight = Weight::Tensor(w.as_tensor().clone());
        table.row(
            name,
            dtype,
            || linear(&x, &weight, Some(&b)),
            || linear_plain(&x, &weight, Some(&b)),
        )?;
    }
    let (x, y) = (var(&[ROWS, 896])?, var(&[ROWS, 896])?);
    let (scale, bias) = (var(&[896])?, var(&[896])?);
    table.row("add 896", dtype, || add(&x, &y), || x.add(&y))?;
    table.row(
        "rms_norm 896",
        dtype,
        || rms_norm(&x, &scale, 1e-6),
        || rms_norm_plain(&x, &scale, 1e-6),
    )?;
    table.row(
        "layer_norm 896",
        dtype,
        || layer_norm(&x, &scale, &bias, 1e-6),
        || layer_norm_plain(&x, &scale, &bias, 1e-6),
    )?;
    let (gate, up) = (var(&[ROWS, 4864])?, var(&[ROWS, 4864])?);
    table.row(
        "swiglu 4864",
        dtype,
        || swiglu(&gate, &up),
        || swiglu_plain(&gate, &up),
    )?;
    table.row(
        "gelu_tanh 4864",
        dtype,
        || gelu_tanh(&gate),
        || gelu_tanh_plain(&gate),
    )?;
    table.row(
        "gelu_erf 4864",
        dtype,
        || gelu_erf(&gate),
        || gelu_erf_plain(&gate),
    )?;
    let heads = var(&[ROWS, 14, 64])?;
    let angles = random((ROWS, 32), DType::F32)?;
    let (cos, sin) = (angles.cos()?, angles.sin()?);
    table.row(
        "rotate 14 x 64",
        dtype,
        || rotate(&heads, &cos, &sin),
        || rotate_plain(&heads, &cos, &sin),
    )?;
    let embeddings = var(&[49_152, 576])?;
    let tokens: Vec<u32> = (0..ROWS as u32).map(|i| i * i * 7919 % 49_152).collect();
    table.row(
        "rows of 49152 x 576",
        dtype,
        || rows(&embeddings, &tokens),
        || rows_plain(&embeddings, &tokens),
    )?;
    for (name, layout, (heads, kv_heads, dim)) in [
        (
            "attention 14/2 x 64, 512 + 2x128",
            tree(512, &[128; 2]),
            (14, 2, 64),
        ),
        (
            "attention 9/3 x 64, 512 + 2x128",
            tree(512, &[128; 2]),
            (9, 3, 64),
        ),
        (
            "attention 9/3 x 64, 8 x (64 + 2x64)",
            forest(8, 64, &[64; 2]),
            (9, 3, 64),
        ),
        (
            "attention 16/16 x 72, tile of 1024",
            AttentionLayout::blocks(&[1024]),
            (16, 16, 72),
        ),
    ] {
        let layout = Arc::new(layout);
        let q = var(&[layout.queries, heads, dim])?;
        let k = var(&[layout.keys, kv_heads, dim])?;
        let v = var(&[layout.keys, kv_heads, dim])?;
        table.row(
            name,
            dtype,
            || attention(&q, &k, &v, &layout, 0.125),
            || attention_plain(&q, &k, &v, &layout, 0.125),
        )?;
    }
    Ok(())
}

/// A name; width, layers, heads, key heads, width of a head and of the gated network; the rows.
type Case = (&'static str, [usize; 6], fn() -> AttentionLayout);

const DECODERS: [Case; 4] = [
    (
        "SmolLM2-135M, 4 layers, 512 + 2x128",
        [576, 4, 9, 3, 64, 1536],
        || tree(512, &[128; 2]),
    ),
    (
        "SmolLM2-135M, 4 layers, 8 x (64 + 2x64)",
        [576, 4, 9, 3, 64, 1536],
        || forest(8, 64, &[64; 2]),
    ),
    (
        "Qwen2-0.5B, 2 layers, 512 + 2x128",
        [896, 2, 14, 2, 64, 4864],
        || tree(512, &[128; 2]),
    ),
    (
        "omni-mini, 4 layers, 16 x (100 + 2x30)",
        [128, 4, 4, 2, 32, 384],
        || forest(16, 100, &[30; 2]),
    ),
];

fn decoders(table: &Table, dtype: DType) -> Result<()> {
    for (name, sizes, layout) in DECODERS {
        if !table.wants(name) {
            continue;
        }
        let layout = layout();
        let positions = positions(&layout);
        for (what, is_trained) in [("all trained", true), ("frozen", false)] {
            let (decoder, parameters) = decoder(sizes, dtype, is_trained).map_err(wrap)?;
            let layout = Arc::new(layout.clone());
            let reads: Vec<usize> = layout
                .items
                .iter()
                .map(|item| item.queries.end - 1)
                .collect();
            let inputs = Var::from_tensor(&random((layout.queries, sizes[0]), dtype)?)?;
            let forward = || {
                decoder
                    .forward(&inputs, &positions, &layout, &reads)
                    .map_err(wrap)
            };
            let grad = random(forward()?.shape(), dtype)?;
            let mut best = [f64::INFINITY; 2];
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(6) {
                let [there, back] = there_and_back(forward, &grad)?;
                best = [best[0].min(there), best[1].min(back)];
            }
            let operations = 2.0 * (parameters * layout.queries) as f64;
            let back = operations * if is_trained { 2.0 } else { 1.0 };
            println!(
                "{:<44} {:>5} {:>9.2} {:>9.1} {:>9.2} {:>9.1}",
                format!("{name}, {what}"),
                dtype.as_str(),
                best[0] * 1e3,
                operations / best[0] / 1e9,
                best[1] * 1e3,
                back / best[1] / 1e9
            );
        }
    }
    Ok(())
}

/// A decoder of random numbers, and how many of them stand in its matrices.
fn decoder(
    [hidden, layers, heads, kv_heads, head_dim, intermediate]: [usize; 6],
    dtype: DType,
    is_trained: bool,
) -> omnireward_models::Result<(Decoder, usize)> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut checkpoint = RandomCheckpoint::new(Family::Llama, Size::Tiny)
        .with("hidden_size", hidden)
        .with("num_hidden_layers", layers)
        .with("num_attention_heads", heads)
        .with("num_key_value_heads", kv_heads)
        .with("head_dim", head_dim)
        .with("intermediate_size", intermediate);
    if dtype == DType::F32 {
        checkpoint.dtype = StoredType::F32;
    }
    checkpoint.write(folder.path(), &NoProgress)?;
    let path = folder.path().join("config.json");
    let text = std::fs::read(&path).expect("it was just written");
    let json = serde_json::from_slice(&text).expect("it was just written");
    let config = DecoderConfig::from_json(&json, Path::new("config.json"))?;
    let placement = Placement {
        device: Device::Cpu,
        dtype,
    };
    let mut weights = Weights::open(folder.path())?;
    let mut tensors = HashMap::new();
    let mut parameters = 0;
    for name in weights.names().filter(|name| name.contains(".layers.")) {
        let shape = weights.info(name).expect("it was just listed").shape;
        let tensor = weights.scope("", &placement).tensor(name, &shape)?;
        if shape.len() == 2 {
            parameters += tensor.elem_count();
        }
        let variable = Var::from_tensor(&tensor)?;
        tensors.insert(name.to_owned(), variable.as_tensor().clone());
    }
    if is_trained {
        weights = weights.with_tensors(tensors);
    }
    let decoder = Decoder::load(&config, &weights.scope("model", &placement))?;
    Ok((decoder, parameters))
}

fn wrap(error: omnireward_models::Error) -> candle_core::Error {
    candle_core::Error::wrap(error)
}

fn random(shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
    Tensor::randn(0_f32, 1.0, shape, &Device::Cpu)?.to_dtype(dtype)
}

/// A trunk and its branches.
fn tree(trunk: usize, branches: &[usize]) -> AttentionLayout {
    forest(1, trunk, branches)
}

/// Several of them, end to end.
fn forest(trees: usize, trunk: usize, branches: &[usize]) -> AttentionLayout {
    let mut items = Vec::new();
    let mut rows = 0;
    for _ in 0..trees {
        let whole = rows..rows + trunk;
        rows = whole.end;
        items.push(AttentionItem {
            queries: whole.clone(),
            keys: vec![whole.clone()],
            visibility: Visibility::Causal,
        });
        for branch in branches {
            let branch = rows..rows + branch;
            rows = branch.end;
            items.push(AttentionItem {
                queries: branch.clone(),
                keys: vec![whole.clone(), branch],
                visibility: Visibility::Causal,
            });
        }
    }
    AttentionLayout {
        queries: rows,
        keys: rows,
        items,
    }
}

/// How far each row is from the root of its tree.
fn positions(layout: &AttentionLayout) -> Vec<u32> {
    let mut positions = vec![0; layout.queries];
    for item in &layout.items {
        let path: usize = item.keys.iter().map(ExactSizeIterator::len).sum();
        let first = path - item.queries.len();
        for (index, row) in item.queries.clone().enumerate() {
            positions[row] = (first + index) as u32;
        }
    }
    positions
}
