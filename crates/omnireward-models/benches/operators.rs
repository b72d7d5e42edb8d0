//! Times each operator against its plain twin, in turns, at the sizes of the models: the best of many runs.
//!
//! `cargo bench -p omnireward-models --bench operators [-- PART-OF-A-NAME]`; `RAYON_NUM_THREADS` sets the threads.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use omnireward_models::ops::{
    AttentionItem, AttentionLayout, Visibility, add, attention, attention_plain, gelu_erf,
    gelu_erf_plain, gelu_tanh, gelu_tanh_plain, layer_norm, layer_norm_plain, rms_norm,
    rms_norm_plain, rotate, rotate_plain, swiglu, swiglu_plain,
};

fn main() -> Result<()> {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let mut table = Table { wanted };
    println!(
        "{:<44} {:>5} {:>9} {:>9} {:>7}  rate",
        "operator", "type", "ours ms", "plain ms", "times"
    );
    for dtype in [DType::F32, DType::BF16] {
        attentions(&mut table, dtype)?;
        rows(&mut table, dtype)?;
    }
    Ok(())
}

struct Table {
    wanted: Option<String>,
}

/// What an operator does in one run.
enum Work {
    /// Floating-point operations.
    Operations(f64),
    /// Bytes read and written, each once.
    Bytes(f64),
}

impl Table {
    fn row(
        &mut self,
        name: &str,
        dtype: DType,
        work: &Work,
        mut ours: impl FnMut() -> Result<()>,
        mut plain: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        if (self.wanted.as_ref()).is_some_and(|wanted| !name.contains(wanted)) {
            return Ok(());
        }
        let (mut best_ours, mut best_plain) = (f64::INFINITY, f64::INFINITY);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1500) {
            for _ in 0..3 {
                best_ours = best_ours.min(timed(&mut ours)?);
            }
            best_plain = best_plain.min(timed(&mut plain)?);
        }
        let rate = match work {
            Work::Operations(operations) => format!("{:.1} GFLOP/s", operations / best_ours / 1e9),
            Work::Bytes(bytes) => format!("{:.1} GB/s", bytes / best_ours / 1e9),
        };
        println!(
            "{name:<44} {:>5} {:>9.3} {:>9.3} {:>7.2}  {rate}",
            dtype.as_str(),
            best_ours * 1e3,
            best_plain * 1e3,
            best_plain / best_ours
        );
        Ok(())
    }
}

fn timed(run: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64())
}

fn attentions(table: &mut Table, dtype: DType) -> Result<()> {
    let qwen = (14, 2, 64);
    let minicpm = (28, 4, 128);
    let pair = tree(512, &[128, 128]);
    let cases = [
        ("attention Qwen2-0.5B 512", tree(512, &[]), qwen),
        ("attention Qwen2-0.5B 512 + 2x128", pair.clone(), qwen),
        (
            "attention Qwen2-0.5B 512 + 16x64",
            tree(512, &[64; 16]),
            qwen,
        ),
        ("attention Qwen2-0.5B 4096", tree(4096, &[]), qwen),
        (
            "attention Qwen2-0.5B 24 reads of 576",
            reads(512, 64, 24),
            qwen,
        ),
        ("attention MiniCPM-o 512 + 2x128", pair, minicpm),
        (
            "attention MiniCPM-o 24 reads of 576",
            reads(512, 64, 24),
            minicpm,
        ),
        (
            "attention SigLIP 5x1024",
            AttentionLayout::blocks(&[1024; 5]),
            (16, 16, 72),
        ),
        (
            "attention Whisper 1500 by 50",
            chunks(1500, 50),
            (16, 16, 64),
        ),
        (
            "attention resampler 5x64 over 1024",
            across(5, 64, 1024),
            (28, 28, 128),
        ),
    ];
    for (name, layout, heads) in cases {
        let layout = Arc::new(layout);
        let (heads, kv_heads, dim) = heads;
        let q = random((layout.queries, heads, dim), dtype)?;
        let k = random((layout.keys, kv_heads, dim), dtype)?;
        let v = random((layout.keys, kv_heads, dim), dtype)?;
        let scale = (dim as f64).sqrt().recip();
        let seen: usize = (layout.items.iter())
            .map(|item| {
                (0..item.queries.len())
                    .map(|i| item.visible(i))
                    .sum::<usize>()
            })
            .sum();
        let operations = 4.0 * (seen * heads * dim) as f64;
        table.row(
            name,
            dtype,
            &Work::Operations(operations),
            || attention(&q, &k, &v, &layout, scale).map(drop),
            || attention_plain(&q, &k, &v, &layout, scale).map(drop),
        )?;
        if name.contains("2x128") {
            let vars = [
                Var::from_tensor(&q)?,
                Var::from_tensor(&k)?,
                Var::from_tensor(&v)?,
            ];
            table.row(
                &format!("{name}, and back"),
                dtype,
                &Work::Operations(3.5 * operations),
                || backward(&attention(&vars[0], &vars[1], &vars[2], &layout, scale)?),
                || {
                    backward(&attention_plain(
                        &vars[0], &vars[1], &vars[2], &layout, scale,
                    )?)
                },
            )?;
        }
    }
    Ok(())
}

fn backward(out: &Tensor) -> Result<()> {
    out.to_dtype(DType::F32)?.sum_all()?.backward().map(drop)
}

fn rows(table: &mut Table, dtype: DType) -> Result<()> {
    let size = dtype.size_in_bytes() as f64;
    for (name, rows, width) in [
        ("Qwen2-0.5B 768x896", 768, 896),
        ("MiniCPM-o 768x3584", 768, 3584),
    ] {
        let (x, y) = (random((rows, width), dtype)?, random((rows, width), dtype)?);
        let weight = random(width, dtype)?;
        let bytes = (rows * width) as f64 * size;
        table.row(
            &format!("rms_norm {name}"),
            dtype,
            &Work::Bytes(2.0 * bytes),
            || rms_norm(&x, &weight, 1e-6).map(drop),
            || rms_norm_plain(&x, &weight, 1e-6).map(drop),
        )?;
        table.row(
            &format!("add {name}"),
            dtype,
            &Work::Bytes(3.0 * bytes),
            || add(&x, &y).map(drop),
            || (&x + &y).map(drop),
        )?;
    }
    let x = random((5120, 1152), dtype)?;
    let (weight, bias) = (random(1152, dtype)?, random(1152, dtype)?);
    table.row(
        "layer_norm SigLIP 5120x1152",
        dtype,
        &Work::Bytes(2.0 * 5120.0 * 1152.0 * size),
        || layer_norm(&x, &weight, &bias, 1e-6).map(drop),
        || layer_norm_plain(&x, &weight, &bias, 1e-6).map(drop),
    )?;
    for (name, heads, dim) in [
        ("Qwen2-0.5B 768x14x64", 14, 64),
        ("MiniCPM-o 768x28x128", 28, 128),
    ] {
        let x = random((768, heads, dim), dtype)?;
        let angles = random((768, dim / 2), DType::F32)?;
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        table.row(
            &format!("rotate {name}"),
            dtype,
            &Work::Bytes(2.0 * (768 * heads * dim) as f64 * size),
            || rotate(&x, &cos, &sin).map(drop),
            || rotate_plain(&x, &cos, &sin).map(drop),
        )?;
    }
    for (name, width) in [
        ("Qwen2-0.5B 768x4864", 4864),
        ("MiniCPM-o 768x18944", 18944),
    ] {
        let (gate, up) = (random((768, width), dtype)?, random((768, width), dtype)?);
        table.row(
            &format!("swiglu {name}"),
            dtype,
            &Work::Bytes(3.0 * (768 * width) as f64 * size),
            || swiglu(&gate, &up).map(drop),
            || swiglu_plain(&gate, &up).map(drop),
        )?;
    }
    let x = random((1024, 4304), dtype)?;
    table.row(
        "gelu_tanh SigLIP 1024x4304",
        dtype,
        &Work::Bytes(2.0 * 1024.0 * 4304.0 * size),
        || gelu_tanh(&x).map(drop),
        || gelu_tanh_plain(&x).map(drop),
    )?;
    let x = random((1500, 4096), dtype)?;
    table.row(
        "gelu_erf Whisper 1500x4096",
        dtype,
        &Work::Bytes(2.0 * 1500.0 * 4096.0 * size),
        || gelu_erf(&x).map(drop),
        || gelu_erf_plain(&x).map(drop),
    )
}

fn random(shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
    Tensor::randn(0_f32, 1.0, shape, &Device::Cpu)?.to_dtype(dtype)
}

/// A trunk and its branches.
fn tree(trunk: usize, branches: &[usize]) -> AttentionLayout {
    let whole = 0..trunk;
    let mut items = vec![AttentionItem {
        queries: whole.clone(),
        keys: vec![whole.clone()],
        visibility: Visibility::Causal,
    }];
    let mut rows = trunk;
    for branch in branches {
        let branch = rows..rows + branch;
        rows = branch.end;
        items.push(AttentionItem {
            queries: branch.clone(),
            keys: vec![whole.clone(), branch],
            visibility: Visibility::Causal,
        });
    }
    AttentionLayout {
        queries: rows,
        keys: rows,
        items,
    }
}

/// The last rows of branches of one trunk: what the last layer computes.
fn reads(trunk: usize, branch: usize, count: usize) -> AttentionLayout {
    let items = (0..count)
        .map(|index| {
            let start = trunk + index * branch;
            AttentionItem {
                queries: index..index + 1,
                keys: vec![0..trunk, start..start + branch],
                visibility: Visibility::Full,
            }
        })
        .collect();
    AttentionLayout {
        queries: count,
        keys: trunk + count * branch,
        items,
    }
}

fn chunks(rows: usize, chunk: usize) -> AttentionLayout {
    let whole = 0..rows;
    AttentionLayout {
        queries: rows,
        keys: rows,
        items: vec![AttentionItem {
            queries: whole.clone(),
            keys: vec![whole],
            visibility: Visibility::Chunks(chunk),
        }],
    }
}

/// Fixed queries to each tile.
fn across(tiles: usize, queries: usize, keys: usize) -> AttentionLayout {
    let items = (0..tiles)
        .map(|tile| {
            let rows = tile * keys..(tile + 1) * keys;
            AttentionItem {
                queries: tile * queries..(tile + 1) * queries,
                keys: vec![rows],
                visibility: Visibility::Full,
            }
        })
        .collect();
    AttentionLayout {
        queries: tiles * queries,
        keys: tiles * keys,
        items,
    }
}
