//! Metrics and statistics against values that `tests/oracle/*.py` wrote.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use omnireward_core::Preference;
use omnireward_eval::{
    metrics::{Scored, ties},
    stats::{
        Cluster, Resampling, Scale, ShareReplicates, cluster_robust, cluster_robust_variance,
        cohen_kappa, fleiss_kappa, holm, kendall_tau_b, krippendorff_alpha, mcnemar, pearson,
        spearman, wilson,
    },
};
use serde::Deserialize;

#[derive(Deserialize)]
struct TieFixture {
    walk_above_optimum: usize,
    walk_below_optimum: usize,
    cases: Vec<TieCase>,
}

/// Margins in quarters, labels, and the hits of the walk, of the optimum and of the sign.
type TieCase = (Vec<i32>, Vec<i32>, u64, u64, u64);

#[test]
fn the_walk_and_the_optimum_equal_the_oracle_on_1000_inputs() {
    let fixture: TieFixture = read(include_str!("fixtures/tie_walk.json"));
    assert_eq!(fixture.cases.len(), 1000);
    let (mut above, mut below) = (0, 0);
    for (index, (quarters, labels, walk, optimum, sign)) in fixture.cases.iter().enumerate() {
        let scored: Vec<Scored> = quarters
            .iter()
            .zip(labels)
            .map(|(quarter, label)| Scored {
                margin: f64::from(*quarter) / 4.0,
                label: Preference::from_higher(*label, 0),
            })
            .collect();
        let ours = ties::walk(&scored);
        assert_eq!(
            (ours.hits, ours.total),
            (*walk, scored.len() as u64),
            "case {index}"
        );
        assert_eq!(ours.accuracy, Some(*walk as f64 / scored.len() as f64));
        let exact = ties::fit(&scored).unwrap();
        assert_eq!(exact.counts.hits(), *optimum, "case {index}");
        assert_eq!(ties::sign_accuracy(&scored).0, *sign, "case {index}");
        above += usize::from(walk > optimum);
        below += usize::from(walk < optimum);
    }
    println!("the reference's walk: {above} of 1000 above the optimum, {below} below");
    assert_eq!(
        (above, below),
        (fixture.walk_above_optimum, fixture.walk_below_optimum)
    );
    assert!(above > 0 && below > 0, "the inputs must tell the two apart");
}

#[derive(Deserialize)]
struct StatsFixture {
    wilson: Vec<(f64, f64, f64, f64, f64)>,
    mcnemar: Vec<(u64, u64, f64, f64)>,
    holm: Vec<(Vec<f64>, Vec<f64>)>,
    cohen: Vec<(Vec<u8>, Vec<u8>, f64)>,
    fleiss: Vec<(Vec<Vec<u64>>, f64)>,
    krippendorff: Vec<(Vec<Vec<f64>>, f64, f64, f64)>,
    correlation: Vec<Correlated>,
    clusters: Vec<Clusters>,
}

/// Two lists, and Pearson's, Spearman's and Kendall's coefficients.
type Correlated = (Vec<f64>, Vec<f64>, f64, f64, f64);

#[derive(Deserialize)]
struct Clusters {
    hits: Vec<f64>,
    weights: Vec<f64>,
    variance: f64,
    robust: [f64; 2],
    bootstrap: [f64; 2],
    bootstrap_standard_error: f64,
}

fn stats() -> StatsFixture {
    read(include_str!("fixtures/stats.json"))
}

#[test]
fn wilson_equals_statsmodels() {
    for (hits, trials, confidence, low, high) in stats().wilson {
        let ours = wilson(hits, trials, confidence).unwrap();
        close(ours.low, low, 1e-9);
        close(ours.high, high, 1e-9);
    }
}

#[test]
fn mcnemar_equals_statsmodels_and_scipy() {
    for (first, second, p, mid_p) in stats().mcnemar {
        let ours = mcnemar(first, second);
        close(ours.p, p, 1e-9);
        close(ours.mid_p, mid_p, 1e-9);
    }
}

#[test]
fn holm_equals_statsmodels() {
    for (p_values, adjusted) in stats().holm {
        for (ours, theirs) in holm(&p_values).into_iter().zip(adjusted) {
            close(ours, theirs, 1e-12);
        }
    }
}

#[test]
fn kappas_and_alpha_equal_scikit_learn_statsmodels_and_krippendorff() {
    let fixture = stats();
    for (a, b, kappa) in fixture.cohen {
        close(cohen_kappa(a.into_iter().zip(b)).unwrap(), kappa, 1e-12);
    }
    for (counts, kappa) in fixture.fleiss {
        close(fleiss_kappa(&counts).unwrap(), kappa, 1e-12);
    }
    for (units, nominal, ordinal, interval) in fixture.krippendorff {
        let alpha = |scale| krippendorff_alpha(&units, scale).unwrap();
        close(alpha(Scale::Nominal), nominal, 1e-10);
        close(alpha(Scale::Ordinal), ordinal, 1e-10);
        close(alpha(Scale::Interval), interval, 1e-10);
    }
}

#[test]
fn correlations_equal_scipy() {
    for (xs, ys, r, rho, tau) in stats().correlation {
        close(pearson(&xs, &ys).unwrap(), r, 1e-12);
        close(spearman(&xs, &ys).unwrap(), rho, 1e-12);
        close(kendall_tau_b(&xs, &ys).unwrap(), tau, 1e-12);
    }
}

#[test]
fn clustered_intervals_equal_statsmodels_and_scipy() {
    for fixture in stats().clusters {
        let clusters: Vec<Cluster> = fixture
            .hits
            .iter()
            .zip(&fixture.weights)
            .map(|(hits, weight)| Cluster {
                hits: *hits,
                weight: *weight,
            })
            .collect();
        close(
            cluster_robust_variance(&clusters).unwrap(),
            fixture.variance,
            1e-12,
        );
        let robust = cluster_robust(&clusters, 0.95).unwrap();
        close(robust.low, fixture.robust[0], 1e-9);
        close(robust.high, fixture.robust[1], 1e-9);
        let how = Resampling {
            resamples: 100_000,
            seed: 5,
            stream: 0,
        };
        let bootstrap = ShareReplicates::draw(&clusters, how)
            .interval(0.95)
            .unwrap();
        // The 2.5% quantile of n normal draws has a standard error of about 2.67 σ/√n; the two
        // sides have 100,000 and 200,000 draws. Five such errors.
        let tolerance =
            5.0 * 2.67 * fixture.bootstrap_standard_error * (1.0_f64 / 1e5 + 1.0 / 2e5).sqrt();
        close(bootstrap.low, fixture.bootstrap[0], tolerance);
        close(bootstrap.high, fixture.bootstrap[1], tolerance);
        println!(
            "bootstrap {bootstrap:?}, SciPy {:?} ± {tolerance:.5}",
            fixture.bootstrap
        );
    }
}

fn close(ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance, "{ours} is not {theirs}");
}

fn read<T: for<'a> Deserialize<'a>>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}
