use half::{bf16, f16};
use proptest::prelude::*;

use super::{
    pack,
    tile::{self, Lane, Pair},
    whole::product_with,
    *,
};

/// Numbers from -1 to 1 that three significant bits hold, so that every type does; different for each seed.
fn numbers(len: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| ((i * 7919 + seed * 104_729) % 257 % 15) as f32 / 8.0 - 0.875;
    (0..len).map(number).collect()
}

/// The same with all their bits in use.
fn rough_numbers(len: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| ((i * 7919 + seed * 104_729) % 65_521) as f32 / 32_760.0 - 1.0;
    (0..len).map(number).collect()
}

fn rounded<T>(numbers: &[f32], round: impl Fn(f32) -> T) -> Vec<T> {
    numbers.iter().copied().map(round).collect()
}

/// The product as its definition says, in `f64`.
fn defined<A: Element, B: Element>(
    a: View<'_, A>,
    b: View<'_, B>,
    bias: Option<&[f32]>,
) -> Vec<f64> {
    let mut out = Vec::new();
    for i in 0..a.rows() {
        for j in 0..b.columns() {
            let terms = (0..a.columns())
                .map(|k| f64::from(a.get(i, k).widen()) * f64::from(b.get(k, j).widen()));
            out.push(terms.sum::<f64>() + bias.map_or(0.0, |bias| f64::from(bias[j])));
        }
    }
    out
}

fn assert_near(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        assert!(
            difference <= tolerance,
            "element {i}: {found}, expected {expected}"
        );
    }
}

fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(work)
}

fn product_f32<A: Pack<f32>, B: Pack<f32>>(a: View<'_, A>, b: View<'_, B>) -> Vec<f32> {
    let mut out = vec![f32::NAN; a.rows() * b.columns()];
    product(a, b, None, &mut out);
    out
}

#[test]
fn a_block_of_packed_panels_is_multiplied() {
    let (a, b) = (numbers(7 * 5, 1), numbers(5 * 19, 2));
    let (a, b) = (View::new(&a, 7, 5), View::new(&b, 5, 19));
    let tile = tile();
    let mut rows = vec![0.0; tile.packed_rows(7, 5)];
    let mut columns = vec![0.0; tile.packed_columns(19, 5)];
    tile.pack_rows(a, &mut rows);
    tile.pack_columns(b, &mut columns);
    let mut data = vec![1.0; 7 * 20];
    let block = Block {
        data: &mut data,
        rows: 7,
        columns: 19,
        row_stride: 20,
    };
    tile.multiply(&rows, &columns, 5, block, true);
    for (row, expected) in data
        .chunks_exact(20)
        .zip(defined(a, b, Some(&[1.0; 19])).chunks_exact(19))
    {
        assert_near(&row[..19], expected, 0.0);
        assert_eq!(row[19].to_bits(), 1.0_f32.to_bits(), "beyond the block");
    }
}

/// A matrix with gaps between its rows, or between its columns.
fn view<T>(data: &[T], rows: usize, columns: usize, gap: usize, transposed: bool) -> View<'_, T> {
    if transposed {
        View::strided(data, columns, rows, rows + gap, 1).transposed()
    } else {
        View::strided(data, rows, columns, columns + gap, 1)
    }
}

/// Compares the product in `f32` and in `bf16` with its definition.
fn assert_defined<A: Pack<f32>, B: Pack<f32>>(
    a: View<'_, A>,
    b: View<'_, B>,
    bias: Option<&[f32]>,
) {
    let mut out = vec![f32::NAN; a.rows() * b.columns()];
    product(a, b, bias, &mut out);
    let expected = defined(a, b, bias);
    assert_near(&out, &expected, 0.0);
    let mut out = vec![bf16::NAN; a.rows() * b.columns()];
    product(a, b, bias, &mut out);
    let expected: Vec<bf16> = expected.iter().map(|x| bf16::from_f64(*x)).collect();
    assert_eq!(out, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Sums of multiples of 1/64 below 2¹⁸ are exact in `f32`, so products are equal whatever the order of summation.
    #[test]
    fn any_strides_and_types_give_the_defined_product(
        (rows, depth, columns) in (1_usize..40, 0_usize..600, 1_usize..70),
        (a_transposed, b_transposed) in any::<(bool, bool)>(),
        (a_gap, b_gap) in (0_usize..3, 0_usize..3),
        types in (0..2, 0..3),
        with_bias in any::<bool>(),
    ) {
        let (a_numbers, b_numbers) = (numbers(40 * 700 * 3, 1), numbers(70 * 700 * 3, 2));
        let bias = numbers(columns, 3);
        let bias = with_bias.then_some(bias.as_slice());
        let a_narrow = rounded(&a_numbers, bf16::from_f32);
        let a = view(&a_numbers, rows, depth, a_gap, a_transposed);
        let a_narrow = view(&a_narrow, rows, depth, a_gap, a_transposed);
        let (b_brain, b_half) = (rounded(&b_numbers, bf16::from_f32), rounded(&b_numbers, f16::from_f32));
        let b = view(&b_numbers, depth, columns, b_gap, b_transposed);
        let b_brain = view(&b_brain, depth, columns, b_gap, b_transposed);
        let b_half = view(&b_half, depth, columns, b_gap, b_transposed);
        match types {
            (0, 0) => assert_defined(a, b, bias),
            (0, 1) => assert_defined(a, b_brain, bias),
            (0, _) => assert_defined(a, b_half, bias),
            (_, 0) => assert_defined(a_narrow, b, bias),
            (_, 1) => assert_defined(a_narrow, b_brain, bias),
            _ => assert_defined(a_narrow, b_half, bias),
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_other_rows(
        rows in prop::collection::vec(0_usize..80, 1..30),
        (depth, columns) in (1_usize..900, 1_usize..300),
    ) {
        let (a, w) = (rough_numbers(80 * depth, 1), rough_numbers(columns * depth, 2));
        let w = View::new(&w, columns, depth).transposed();
        let all = product_f32(View::new(&a, 80, depth), w);
        let some: Vec<f32> = rows.iter().flat_map(|row| &a[row * depth..][..depth]).copied().collect();
        let some = product_f32(View::new(&some, rows.len(), depth), w);
        for (row, found) in rows.iter().zip(some.chunks_exact(columns)) {
            assert_eq!(found, &all[row * columns..][..columns]);
        }
    }

    #[test]
    fn a_column_does_not_depend_on_the_other_columns(
        columns in prop::collection::vec(0_usize..90, 1..40),
        (depth, rows) in (1_usize..900, 1_usize..50),
    ) {
        let (a, w) = (rough_numbers(rows * depth, 1), rough_numbers(90 * depth, 2));
        let a = View::new(&a, rows, depth);
        let all = product_f32(a, View::new(&w, 90, depth).transposed());
        let some: Vec<f32> = columns.iter().flat_map(|row| &w[row * depth..][..depth]).copied().collect();
        let some = product_f32(a, View::new(&some, columns.len(), depth).transposed());
        for (all, some) in all.chunks_exact(90).zip(some.chunks_exact(columns.len())) {
            let expected: Vec<f32> = columns.iter().map(|column| all[*column]).collect();
            assert_eq!(some, expected);
        }
    }

    #[test]
    fn the_number_of_threads_does_not_matter(
        (rows, depth, columns) in (1_usize..1200, 1_usize..700, 1_usize..400),
        threads in 2_usize..17,
    ) {
        let (a, w) = (rough_numbers(rows * depth, 1), rough_numbers(columns * depth, 2));
        let (a, w) = (View::new(&a, rows, depth), View::new(&w, columns, depth).transposed());
        assert!(on_threads(1, || product_f32(a, w)) == on_threads(threads, || product_f32(a, w)));
    }
}

#[test]
fn long_sums_are_close_to_exact_ones() {
    let (rows, depth, columns) = (9, 5000, 33);
    let (a, w) = (
        rough_numbers(rows * depth, 1),
        rough_numbers(columns * depth, 2),
    );
    let (a, w) = (
        View::new(&a, rows, depth),
        View::new(&w, columns, depth).transposed(),
    );
    // The sums reach 1700, whose last place is 1e-4; so this allows some roundings of the total, and not thousands.
    assert_near(&product_f32(a, w), &defined(a, w, None), 1e-3);
}

#[test]
fn an_invalid_number_stays_in_its_row() {
    let (rows, depth, columns) = (13, 300, 40);
    let (mut a, w) = (
        rough_numbers(rows * depth, 1),
        rough_numbers(columns * depth, 2),
    );
    a[5 * depth + 7] = f32::NAN;
    a[6 * depth + 8] = f32::INFINITY;
    let w = View::new(&w, columns, depth).transposed();
    let out = product_f32(View::new(&a, rows, depth), w);
    for (i, row) in out.chunks_exact(columns).enumerate() {
        assert_eq!(
            row.iter().all(|x| x.is_finite()),
            i != 5 && i != 6,
            "row {i}"
        );
    }
}

#[test]
fn nothing_to_sum_is_the_bias() {
    let mut out = vec![f32::NAN; 6];
    let (a, b) = (View::<f32>::new(&[], 2, 0), View::<f32>::new(&[], 0, 3));
    product(a, b, Some(&[1.0, 2.0, 3.0]), &mut out);
    assert_eq!(out, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
}

/// Every step but the kernel is the same for all tiles, so tiles of every size are tried with a kernel in plain code.
#[test]
fn tiles_of_every_size_give_the_same_product() {
    let (rows, depth, columns) = (45, 531, 83);
    let (a, w) = (numbers(rows * depth, 1), numbers(columns * depth, 2));
    let expected = defined(
        View::new(&a, rows, depth),
        View::new(&w, columns, depth).transposed(),
        None,
    );
    let (a_narrow, w_narrow) = (rounded(&a, bf16::from_f32), rounded(&w, bf16::from_f32));
    let (a, w) = (
        View::new(&a, rows, depth),
        View::new(&w, columns, depth).transposed(),
    );
    for tile in [
        portable::sized::<f32, 4, 8>(),
        portable::sized::<f32, 6, 16>(),
        portable::sized::<f32, 12, 32>(),
    ] {
        let mut out = vec![f32::NAN; rows * columns];
        product_with(&tile, a, w, None, &mut out);
        assert_near(&out, &expected, 0.0);
    }
    let tile = portable::sized::<Pair, 12, 32>();
    let a = View::new(&a_narrow, rows, depth);
    let w = View::new(&w_narrow, columns, depth).transposed();
    let mut out = vec![f32::NAN; rows * columns];
    product_with(&tile, a, w, None, &mut out);
    assert_near(&out, &expected, 0.0);
    // The same numbers lying the other way round, as in a backward pass.
    let turned: Vec<bf16> = (0..depth)
        .flat_map(|k| (0..rows).map(move |i| a.get(i, k)))
        .collect();
    let turned_w: Vec<bf16> = (0..depth)
        .flat_map(|k| (0..columns).map(move |j| w.get(k, j)))
        .collect();
    let mut out = vec![f32::NAN; rows * columns];
    let turned = View::new(&turned, depth, rows).transposed();
    product_with(
        &tile,
        turned,
        View::new(&turned_w, depth, columns),
        None,
        &mut out,
    );
    assert_near(&out, &expected, 0.0);
}

#[test]
fn kernels_of_this_processor_agree_with_plain_code() {
    let names: Vec<&str> = tile::candidates()
        .map(|tile| tile.name)
        .chain(tile::pair_candidates().map(|tile| tile.name))
        .collect();
    for known in ["avx512bf16", "avx512", "avx2"] {
        if !names.contains(&known) {
            eprintln!("SKIPPED: the `{known}` kernel, which this processor cannot run");
        }
    }
    for candidate in tile::candidates() {
        assert!(
            tile::best(std::iter::once(candidate)).is_some(),
            "{candidate:?}"
        );
    }
    for candidate in tile::pair_candidates() {
        assert!(
            tile::best(std::iter::once(candidate)).is_some(),
            "{candidate:?}"
        );
    }
    assert!(tile::best(std::iter::once(portable::tile())).is_some());
    assert!(tile::best(std::iter::once(portable::sized::<Pair, 12, 32>())).is_some());
}

#[test]
fn a_kernel_that_computes_wrong_sums_is_not_used() {
    fn forgetful(steps: usize, a: &[f32], b: &[f32], sums: &mut [f32], add: bool) {
        (portable::sized::<f32, 6, 16>().kernel)(steps.min(36), a, b, sums, add);
    }
    let wrong = Tile {
        name: "forgetful",
        kernel: forgetful,
        ..portable::sized::<f32, 6, 16>()
    };
    let chosen = tile::best([wrong, portable::tile()].into_iter());
    assert_eq!(chosen.map(|tile| tile.name), Some("portable"));
}

#[test]
fn packing_does_not_depend_on_how_it_is_done() {
    fn check<L: Lane + PartialEq, T: Pack<L>>(data: &[T]) {
        for width in [4, 6, 8, 12, 16, 32] {
            for rows in [1, width / 2, width - 1, width] {
                for columns in [1, 7, 8, 15, 16, 17, 31, 32, 100, 257] {
                    let matrix = View::strided(data, rows, columns, columns + 3, 1);
                    let steps = columns.div_ceil(L::DEPTH);
                    let mut expected = vec![L::sample(9.0); steps * width];
                    pack::plain(matrix, width, &mut expected, 0);
                    let mut found = vec![L::sample(9.0); steps * width + 1];
                    pack::panel(matrix, width, &mut found[..steps * width]);
                    assert!(
                        found[..steps * width] == expected,
                        "{width} {rows} {columns}"
                    );
                    assert!(found[steps * width] == L::sample(9.0), "beyond the panel");
                    let turned: Vec<T> = (0..columns)
                        .flat_map(|k| (0..rows).map(move |i| matrix.get(i, k)))
                        .collect();
                    let matrix = View::new(&turned, columns, rows).transposed();
                    pack::panel(matrix, width, &mut found[..steps * width]);
                    assert!(
                        found[..steps * width] == expected,
                        "turned {width} {rows} {columns}"
                    );
                }
            }
        }
    }
    let data = rough_numbers(32 * 260, 1);
    check::<f32, f32>(&data);
    check::<f32, bf16>(&rounded(&data, bf16::from_f32));
    check::<f32, f16>(&rounded(&data, f16::from_f32));
    check::<Pair, bf16>(&rounded(&data, bf16::from_f32));
}
