#![expect(
    clippy::single_range_in_vec_init,
    reason = "a path may be one range of rows"
)]

use candle_core::{Device, IndexOp};
use proptest::prelude::*;

use super::super::simd::testing::{bits, check, distance, gradients, largest, random, values};
use super::*;

/// A token tree's layout: for each segment its parent and its length.
fn tree(segments: &[(Option<usize>, usize)]) -> AttentionLayout {
    let mut items: Vec<AttentionItem> = Vec::new();
    let mut rows = 0;
    for (parent, len) in segments {
        let mut keys = parent.map_or_else(Vec::new, |parent| items[parent].keys.clone());
        keys.push(rows..rows + len);
        items.push(AttentionItem {
            queries: rows..rows + len,
            keys,
            visibility: Visibility::Causal,
        });
        rows += len;
    }
    AttentionLayout {
        queries: rows,
        keys: rows,
        items,
    }
}

/// The layouts that the models use: a tree with branches, tiles, chunks, another stream, single rows.
fn layouts() -> Vec<AttentionLayout> {
    let chunks = AttentionLayout {
        queries: 130,
        keys: 130,
        items: vec![AttentionItem {
            queries: 0..130,
            keys: vec![0..130],
            visibility: Visibility::Chunks(50),
        }],
    };
    let item = |queries: std::ops::Range<usize>, keys| AttentionItem {
        queries,
        keys,
        visibility: Visibility::Full,
    };
    let across = AttentionLayout {
        queries: 9,
        keys: 230,
        items: vec![item(4..9, vec![30..230]), item(0..4, vec![0..30])],
    };
    let reads = AttentionLayout {
        queries: 3,
        keys: 150,
        items: vec![
            item(0..1, vec![0..100, 100..110]),
            item(1..2, vec![0..100, 110..140]),
            item(2..3, vec![0..77]),
        ],
    };
    vec![
        tree(&[
            (None, 110),
            (Some(0), 20),
            (Some(0), 1),
            (Some(1), 33),
            (None, 3),
        ]),
        AttentionLayout::blocks(&[40, 1, 100]),
        chunks,
        across,
        reads,
    ]
}

/// `(heads, kv_heads, head_dim)`
const HEADS: [(usize, usize, usize); 4] = [(7, 1, 64), (4, 4, 72), (6, 2, 128), (3, 1, 5)];

fn operands(
    layout: &AttentionLayout,
    (heads, kv_heads, dim): (usize, usize, usize),
    dtype: DType,
) -> [Tensor; 3] {
    [
        random((layout.queries, heads, dim), 1),
        random((layout.keys, kv_heads, dim), 2),
        random((layout.keys, kv_heads, dim), 3),
    ]
    .map(|tensor| (tensor * 2.0).unwrap().to_dtype(dtype).unwrap())
}

/// Where our operator and its twin may differ: by rounding in `f32`, by one rounding to `bf16` besides.
fn tolerance(dtype: DType) -> f32 {
    if dtype == DType::F32 { 3e-6 } else { 8e-3 }
}

#[test]
fn equals_its_plain_twin() {
    for layout in layouts().into_iter().map(Arc::new) {
        for heads in HEADS {
            for dtype in [DType::F32, DType::BF16] {
                let [q, k, v] = operands(&layout, heads, dtype);
                let scale = (heads.2 as f64).sqrt().recip();
                let ours = attention(&q, &k, &v, &layout, scale).unwrap();
                let plain = attention_plain(&q, &k, &v, &layout, scale).unwrap();
                assert_eq!(ours.dtype(), dtype);
                let distance = distance(&ours, &plain);
                assert!(
                    distance < tolerance(dtype),
                    "{heads:?} {dtype:?} {distance}"
                );
            }
        }
    }
}

#[test]
fn gradients_equal_the_plain_twins() {
    for layout in layouts().into_iter().map(Arc::new) {
        for heads in HEADS {
            for dtype in [DType::F32, DType::BF16] {
                let operands = operands(&layout, heads, dtype);
                let scale = (heads.2 as f64).sqrt().recip();
                let ours = gradients(&operands, |[q, k, v]| attention(q, k, v, &layout, scale));
                let plain = gradients(&operands, |[q, k, v]| {
                    attention_plain(q, k, v, &layout, scale)
                });
                for (ours, plain) in ours.iter().zip(&plain) {
                    let allowed = tolerance(dtype) * largest(plain).max(1.0);
                    let distance = distance(ours, plain);
                    assert!(
                        distance < allowed,
                        "{heads:?} {dtype:?} {distance} > {allowed}"
                    );
                }
            }
        }
    }
}

#[test]
fn gradients_are_the_limits_of_differences() {
    let layout = Arc::new(tree(&[(None, 3), (Some(0), 2), (Some(0), 1)]));
    check(
        &operands(&layout, (4, 2, 3), DType::F32),
        [3e-6, 2e-2],
        |[q, k, v]| attention(q, k, v, &layout, 0.6),
        |[q, k, v]| attention_plain(q, k, v, &layout, 0.6),
    );
}

#[test]
fn threads_change_nothing() {
    let pool = |threads| {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        builder.build().unwrap()
    };
    for layout in layouts().into_iter().map(Arc::new) {
        let operands = operands(&layout, (14, 2, 64), DType::F32);
        let run = || {
            let [q, k, v] = &operands;
            let out = attention(q, k, v, &layout, 0.125).unwrap();
            let [q, k, v] = gradients(&operands, |[q, k, v]| attention(q, k, v, &layout, 0.125));
            [out, q, k, v].map(|tensor| bits(&tensor))
        };
        let one = pool(1).install(run);
        for threads in [2, 5] {
            assert_eq!(pool(threads).install(run), one);
        }
    }
}

#[test]
fn single_rows_equal_rows_of_whole_segments() {
    let whole = tree(&[(None, 130), (Some(0), 40), (Some(0), 7)]);
    let reads = AttentionLayout {
        queries: 3,
        keys: whole.keys,
        items: vec![
            AttentionItem {
                queries: 0..1,
                keys: vec![0..130, 130..170],
                visibility: Visibility::Full,
            },
            AttentionItem {
                queries: 1..2,
                keys: vec![0..130, 170..173],
                visibility: Visibility::Full,
            },
            AttentionItem {
                queries: 2..3,
                keys: vec![0..99],
                visibility: Visibility::Causal,
            },
        ],
    };
    let rows = [169, 172, 98];
    let [q, k, v] = operands(&whole, (14, 2, 64), DType::F32);
    let all = attention(&q, &k, &v, &Arc::new(whole), 0.125).unwrap();
    let q = Tensor::stack(&rows.map(|row| q.i(row).unwrap()), 0).unwrap();
    let read = attention(&q, &k, &v, &Arc::new(reads), 0.125).unwrap();
    for (index, row) in rows.into_iter().enumerate() {
        assert_eq!(bits(&read.i(index).unwrap()), bits(&all.i(row).unwrap()));
    }
}

#[test]
fn operands_may_be_parts_of_a_wider_tensor() {
    let layout = Arc::new(tree(&[(None, 20), (Some(0), 5)]));
    let wide = random((25, 1, 6 * 16), 4).squeeze(1).unwrap();
    let part = |start: usize, heads: usize| {
        let part = wide.narrow(1, start * 16, heads * 16).unwrap();
        part.reshape((25, heads, 16)).unwrap()
    };
    let strided = |start: usize, heads: usize| {
        let wide = wide.reshape((25, 6, 16)).unwrap();
        wide.narrow(1, start, heads).unwrap()
    };
    let copied = attention(&part(0, 4), &part(4, 1), &part(5, 1), &layout, 0.25).unwrap();
    let [q, k, v] = [strided(0, 4), strided(4, 1), strided(5, 1)];
    assert!(!q.is_contiguous());
    let viewed = attention(&q, &k, &v, &layout, 0.25).unwrap();
    assert_eq!(bits(&viewed), bits(&copied));
}

#[test]
fn a_row_that_is_not_a_number_spoils_its_own_branch_only() {
    let layout = tree(&[(None, 30), (Some(0), 10), (Some(0), 10)]);
    let [q, k, v] = operands(&layout, (2, 1, 8), DType::F32);
    let clean = attention(&q, &k, &v, &Arc::new(layout.clone()), 0.3).unwrap();
    let mut keys = values(&k);
    keys[33 * 8] = f32::NAN;
    let k = Tensor::from_vec(keys, k.shape(), &Device::Cpu).unwrap();
    let spoilt = attention(&q, &k, &v, &Arc::new(layout), 0.3).unwrap();
    for row in 0..50 {
        let (clean, spoilt) = (clean.i(row).unwrap(), spoilt.i(row).unwrap());
        if (33..40).contains(&row) {
            assert!(largest(&spoilt).is_nan() || bits(&spoilt) != bits(&clean));
        } else {
            assert_eq!(bits(&spoilt), bits(&clean), "row {row}");
        }
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let good = tree(&[(None, 4), (Some(0), 2)]);
    let [q, k, v] = operands(&good, (4, 2, 8), DType::F32);
    let tried = |change: &dyn Fn(&mut AttentionLayout)| {
        let mut layout = good.clone();
        change(&mut layout);
        attention(&q, &k, &v, &Arc::new(layout), 1.0).is_err()
    };
    assert!(!tried(&|_| {}));
    assert!(tried(&|layout| layout.items.truncate(1)));
    assert!(tried(&|layout| layout.items[1].queries.start = 3));
    assert!(tried(&|layout| layout.items[1].keys[0].end = 7));
    assert!(tried(&|layout| layout.items[1].keys.truncate(0)));
    assert!(tried(
        &|layout| layout.items[1].visibility = Visibility::Chunks(0)
    ));
    assert!(tried(&|layout| layout.keys = 7));
    let layout = Arc::new(good.clone());
    let three = random((6, 3, 8), 1);
    assert!(attention(&three, &k, &v, &layout, 1.0).is_err());
}

type Segments = Vec<(Option<usize>, usize)>;

/// Segments with parents before children, and heads.
fn trees() -> impl Strategy<Value = (Segments, (usize, usize, usize))> {
    let segment = (any::<prop::sample::Index>(), 1..130_usize);
    let heads = (1..4_usize, 1..5_usize, 1..24_usize);
    (prop::collection::vec(segment, 1..7), heads).prop_map(|(segments, (kv_heads, group, dim))| {
        let segments = segments
            .into_iter()
            .enumerate()
            .map(|(at, (parent, len))| (parent.index(at + 1).checked_sub(1), len))
            .collect();
        (segments, (kv_heads * group, kv_heads, dim))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every sequence from a root to a leaf gets what it would get alone: bit for bit by our operator, and within
    /// rounding by the plain twin.
    #[test]
    fn a_tree_equals_its_sequences((segments, heads) in trees(), half in any::<bool>()) {
        let layout = tree(&segments);
        let dtype = if half { DType::BF16 } else { DType::F32 };
        let [q, k, v] = operands(&layout, heads, dtype);
        let scale = (heads.2 as f64).sqrt().recip();
        let packed = attention(&q, &k, &v, &Arc::new(layout.clone()), scale).unwrap();
        let plain = attention_plain(&q, &k, &v, &layout, scale).unwrap();
        for item in &layout.items {
            let rows: Vec<u32> = item.keys.iter().cloned().flatten().map(|row| row as u32).collect();
            let length = rows.len();
            let rows = Tensor::from_vec(rows, length, &Device::Cpu).unwrap();
            let pick = |tensor: &Tensor| tensor.index_select(&rows, 0).unwrap();
            let alone = Arc::new(tree(&[(None, length)]));
            let ours = attention(&pick(&q), &pick(&k), &pick(&v), &alone, scale).unwrap();
            prop_assert_eq!(bits(&ours), bits(&pick(&packed)));
            let twin = attention_plain(&pick(&q), &pick(&k), &pick(&v), &alone, scale).unwrap();
            let allowed = if half { 8e-3 } else { 1e-6 };
            prop_assert!(distance(&twin, &pick(&plain)) <= allowed * largest(&v).max(1.0));
        }
    }
}
