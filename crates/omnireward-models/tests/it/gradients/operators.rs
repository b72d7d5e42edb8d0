//! Every operator with a backward pass, in every form that a model uses it in.
#![expect(
    clippy::single_range_in_vec_init,
    reason = "a path may be one range of rows"
)]

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use candle_core::{DType, Device, Tensor, Var};
use omnireward_models::{
    ops::{
        AttentionItem, AttentionLayout, Visibility, add, attention, gelu_erf, gelu_tanh,
        layer_norm, linear, rms_norm, rotate, rows, swiglu,
    },
    weights::{Placement, Weight, Weights, write_tensors},
};

use super::differences::{check, random, variable};

#[test]
fn elementwise() {
    let scaled = |seed| variable((random((7, 9), seed) * 3.0).unwrap());
    let (x, y) = (scaled(1), scaled(2));
    check("swiglu", &[("gate", &x), ("up", &y)], || swiglu(&x, &y));
    check("add", &[("x", &x), ("y", &y)], || add(&x, &y)?.sqr());
    check("gelu_tanh", &[("x", &x)], || gelu_tanh(&x));
    check("gelu_erf", &[("x", &x)], || gelu_erf(&x));

    let wide = variable((random((7, 20), 3) * 3.0).unwrap());
    check("swiglu of parts", &[("both", &wide)], || {
        swiglu(&wide.narrow(1, 1, 9)?, &wide.narrow(1, 11, 9)?)
    });
    check("one operand twice", &[("x", &x)], || swiglu(&x, &x));
}

#[test]
fn norms() {
    for width in [5, 16, 37] {
        let x = variable((random((6, width), 1) * 2.0).unwrap());
        let weight = variable((random(width, 2) + 1.5).unwrap());
        let bias = variable(random(width, 3));
        check(
            &format!("rms_norm over {width}"),
            &[("x", &x), ("weight", &weight)],
            || rms_norm(&x, &weight, 1e-6),
        );
        check(
            &format!("layer_norm over {width}"),
            &[("x", &x), ("weight", &weight), ("bias", &bias)],
            || layer_norm(&x, &weight, &bias, 1e-5),
        );
    }
    // Heads are normalised each by itself, and more rows than one task sums.
    let x = variable(random((40, 2, 6), 1));
    let weight = variable((random(6, 2) + 1.5).unwrap());
    check(
        "rms_norm of heads",
        &[("x", &x), ("weight", &weight)],
        || rms_norm(&x, &weight, 1e-6),
    );
    // `eps` as large as the squares.
    check("rms_norm with a large eps", &[("x", &x)], || {
        rms_norm(&x, &weight, 0.3)
    });
}

#[test]
fn rotary() {
    let x = variable(random((5, 3, 8), 1));
    let angles = (random((5, 4), 2) * 3.0).unwrap();
    let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
    check("rotate", &[("x", &x)], || rotate(&x, &cos, &sin));
    let wide = variable(random((5, 6, 8), 1));
    check("rotate of a part", &[("x", &wide)], || {
        rotate(&wide.narrow(1, 2, 3)?, &cos, &sin)
    });
}

#[test]
fn products() {
    let (x, w, b) = (
        variable(random((6, 11), 1)),
        variable(random((7, 11), 2)),
        variable(random(7, 3)),
    );
    let whole = || Weight::Tensor(w.as_tensor().clone());
    check("linear", &[("x", &x), ("weight", &w)], || {
        linear(&x, &whole(), None)?.sqr()
    });
    check(
        "linear with a bias",
        &[("x", &x), ("weight", &w), ("bias", &b)],
        || linear(&x, &whole(), Some(&b))?.sqr(),
    );
    // More rows than go another way, and more columns than one task sums.
    let long = variable(random((40, 11), 4));
    let (tall, wide_bias) = (variable(random((300, 11), 5)), variable(random(300, 6)));
    check(
        "a long linear",
        &[("x", &long), ("weight", &tall), ("bias", &wide_bias)],
        || {
            linear(
                &long,
                &Weight::Tensor(tall.as_tensor().clone()),
                Some(&wide_bias),
            )?
            .sqr()
        },
    );
    // As in the resampler: a matrix that stands on the right, and thirds of a stacked one.
    let square = variable(random((11, 7), 2));
    check("a turned matrix", &[("x", &x), ("weight", &square)], || {
        linear(&x, &Weight::Tensor(square.t()?), None)?.sqr()
    });
    let (stacked, stacked_bias) = (variable(random((21, 11), 2)), variable(random(21, 3)));
    check(
        "parts of a stacked matrix",
        &[("x", &x), ("weight", &stacked), ("bias", &stacked_bias)],
        || {
            let stacked = Weight::Tensor(stacked.as_tensor().clone());
            let third = |index: usize| {
                let bias = stacked_bias.narrow(0, index * 7, 7)?;
                linear(&x, &stacked.part(index * 7..index * 7 + 7)?, Some(&bias))
            };
            (third(0)? * third(1)?)? + third(2)?
        },
    );
    let wide = variable(random((6, 30), 1));
    check("a part of a wider operand", &[("x", &wide)], || {
        linear(&wide.narrow(1, 8, 11)?, &whole(), None)?.sqr()
    });
}

#[test]
fn a_frozen_matrix() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    let (x, b) = (variable(random((6, 11), 1)), variable(random(7, 3)));
    for stored in [DType::F32, DType::BF16, DType::F16] {
        let tensors =
            BTreeMap::from([("w".to_owned(), random((7, 11), 2).to_dtype(stored).unwrap())]);
        write_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
        let placement = Placement {
            device: Device::Cpu,
            dtype: DType::F32,
        };
        let scope = Weights::open(&path).unwrap().scope("", &placement);
        let frozen = scope.weight("w", 7, 11).unwrap();
        assert!(matches!(frozen, Weight::Mapped(_)));
        check("linear, frozen", &[("x", &x)], || {
            linear(&x, &frozen, None)?.sqr()
        });
        check(
            "linear with a bias, frozen",
            &[("x", &x), ("bias", &b)],
            || linear(&x, &frozen, Some(&b))?.sqr(),
        );
    }
}

#[test]
fn lookups() {
    let table = variable(random((9, 5), 1));
    check("rows", &[("table", &table)], || {
        rows(&table, &[3, 0, 3, 8, 3])?.sqr()
    });
    let placement = Device::Cpu;
    check("embeddings", &[("table", &table)], || {
        let weight = Weight::Tensor(table.as_tensor().clone());
        weight.rows(&[1, 1, 7], &placement, DType::F32)?.sqr()
    });
}

fn item(queries: Range<usize>, keys: &[Range<usize>], visibility: Visibility) -> AttentionItem {
    AttentionItem {
        queries,
        keys: keys.to_vec(),
        visibility,
    }
}

/// `(name, queries, keys, items)`, one for each way in which the models attend.
fn layouts() -> Vec<(&'static str, AttentionLayout)> {
    use Visibility::{Causal, Chunks, Full};
    let layout = |queries, keys, items| AttentionLayout {
        queries,
        keys,
        items,
    };
    vec![
        (
            "one segment",
            layout(6, 6, vec![item(0..6, &[0..6], Causal)]),
        ),
        (
            "a tree",
            layout(
                9,
                9,
                vec![
                    item(0..3, &[0..3], Causal),
                    item(3..5, &[0..3, 3..5], Causal),
                    item(5..6, &[0..3, 3..5, 5..6], Causal),
                    item(6..9, &[0..3, 6..9], Causal),
                ],
            ),
        ),
        (
            "tiles",
            layout(
                7,
                7,
                vec![item(0..4, &[0..4], Full), item(4..7, &[4..7], Full)],
            ),
        ),
        ("chunks", layout(7, 7, vec![item(0..7, &[0..7], Chunks(3))])),
        (
            "another stream",
            layout(
                4,
                9,
                vec![item(0..2, &[0..5], Full), item(2..4, &[5..9], Full)],
            ),
        ),
        (
            "reads",
            layout(
                2,
                8,
                vec![
                    item(0..1, &[0..3, 3..6], Full),
                    item(1..2, &[0..3, 6..8], Full),
                ],
            ),
        ),
        (
            "a tree longer than a block",
            layout(
                150,
                150,
                vec![
                    item(0..110, &[0..110], Causal),
                    item(110..140, &[0..110, 110..140], Causal),
                    item(140..150, &[0..110, 140..150], Causal),
                ],
            ),
        ),
    ]
}

#[test]
fn attentions() {
    for (name, layout) in layouts() {
        let layout = Arc::new(layout);
        for (heads, kv_heads, dim) in [(1, 1, 4), (3, 3, 5), (4, 2, 3), (6, 1, 2)] {
            let operand = |rows, heads, seed| -> Var {
                variable((random((rows, heads, dim), seed) * 2.0).unwrap())
            };
            let q = operand(layout.queries, heads, 1);
            let k = operand(layout.keys, kv_heads, 2);
            let v = operand(layout.keys, kv_heads, 3);
            check(
                &format!("attention of {heads} heads to {kv_heads} over {name}"),
                &[("q", &q), ("k", &k), ("v", &v)],
                || attention(&q, &k, &v, &layout, 0.6),
            );
        }
    }
}

#[test]
fn what_is_frozen_gets_no_gradient() {
    let x = variable(random((4, 1, 6), 1));
    let frozen = |shape: &[usize], seed| random(shape, seed);
    let flat = x.reshape((4, 6)).unwrap();
    let (scale, bias, other) = (frozen(&[6], 2), frozen(&[6], 3), frozen(&[4, 6], 4));
    let (k, v) = (frozen(&[4, 1, 6], 5), frozen(&[4, 1, 6], 6));
    let layout = Arc::new(AttentionLayout::blocks(&[4]));
    let outs = [
        rms_norm(&flat, &scale, 1e-6),
        layer_norm(&flat, &scale, &bias, 1e-6),
        swiglu(&flat, &other),
        swiglu(&other, &flat),
        add(&flat, &other),
        linear(
            &flat,
            &Weight::Tensor(other.clone()),
            Some(&frozen(&[4], 7)),
        ),
        attention(&x, &k, &v, &layout, 1.0),
        attention(&k, &x, &v, &layout, 1.0),
        attention(&k, &v, &x, &layout, 1.0),
    ];
    for (index, out) in outs.into_iter().enumerate() {
        let store = out.unwrap().sum_all().unwrap().backward().unwrap();
        assert!(store.get(&x).is_some(), "operator {index}");
        for frozen in [&scale, &bias, &other, &k, &v] {
            assert!(store.get(frozen).is_none(), "operator {index}");
        }
    }
}

/// A sum is the only operator whose gradient is its operand's: it must not be shared in a way that lets one be
/// changed with the other.
#[test]
fn both_sides_of_a_sum_get_their_own_gradient() {
    let (x, y) = (variable(random((3, 4), 1)), variable(random((3, 4), 2)));
    let twice = (add(&x, &y).unwrap() + x.as_tensor()).unwrap();
    let store = twice.sum_all().unwrap().backward().unwrap();
    let sum = |variable: &Var| -> f32 {
        let gradient: &Tensor = store.get(variable).unwrap();
        gradient.sum_all().unwrap().to_scalar().unwrap()
    };
    assert_eq!((sum(&x), sum(&y)), (24.0, 12.0));
}
