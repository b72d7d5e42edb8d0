"""Writes fixtures/stats.json: what established packages give on small random inputs.

    python3 -m venv $VENV
    $VENV/bin/pip install numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0 \
        scikit-learn==1.9.1 krippendorff==0.9.0
    $VENV/bin/python stats.py > ../fixtures/stats.json
"""

import json
import sys

import krippendorff
import numpy as np
import scipy.stats as ss
import statsmodels.api as sm
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import fleiss_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(20251027)


def wilson():
    out = []
    for n in [1, 2, 10, 117, 3725]:
        for k in sorted({0, 1, n // 3, n // 2, n - 1, n}):
            for confidence in [0.9, 0.95, 0.99]:
                low, high = proportion_confint(k, n, alpha=1 - confidence, method="wilson")
                out.append([k, n, confidence, float(low), float(high)])
    return out


def exact_mcnemar():
    out = []
    for b, c in [(0, 0), (1, 0), (0, 5), (5, 5), (3, 9), (12, 30), (200, 243), (1000, 900), (7, 6)]:
        p = float(mcnemar([[0, b], [c, 0]], exact=True).pvalue) if b + c else 1.0
        binom = float(ss.binomtest(b, b + c).pvalue) if b + c else 1.0
        assert abs(p - binom) < 1e-12
        # Twice the tail beyond the observed count, plus its own probability once.
        k, n = min(b, c), b + c
        mid = min(1.0, float(2 * ss.binom.cdf(k - 1, n, 0.5) + ss.binom.pmf(k, n, 0.5)))
        mid = 1.0 - float(ss.binom.pmf(k, n, 0.5)) if n and b == c else mid
        out.append([b, c, p, mid if n else 1.0])
    return out


def holm():
    out = []
    for n in [1, 2, 5, 20]:
        p = np.round(rng.beta(0.4, 2, n), 4)
        p[-1] = p[0]
        out.append([p.tolist(), multipletests(p, method="holm")[1].tolist()])
    return out


def cohen():
    out = []
    for n, k in [(10, 2), (50, 3), (200, 4)]:
        a = rng.integers(0, k, n)
        b = np.where(rng.random(n) < 0.6, a, rng.integers(0, k, n))
        out.append([a.tolist(), b.tolist(), float(cohen_kappa_score(a, b))])
    return out


def fleiss():
    out = []
    for units, raters, k in [(10, 3, 3), (40, 5, 4), (30, 2, 2)]:
        shares = rng.dirichlet(np.full(k, 0.4), units)
        counts = np.array([rng.multinomial(raters, s) for s in shares])
        out.append([counts.tolist(), float(fleiss_kappa(counts))])
    return out


def alpha():
    out = []
    for raters, units, k in [(2, 20, 3), (4, 30, 5), (5, 12, 2)]:
        truth = rng.integers(0, k, units)
        data = np.where(rng.random((raters, units)) < 0.6, truth, rng.integers(0, k, (raters, units)))
        data = data.astype(float)
        data[rng.random(data.shape) < 0.15] = np.nan
        values = [
            float(krippendorff.alpha(reliability_data=data, level_of_measurement=level))
            for level in ["nominal", "ordinal", "interval"]
        ]
        by_unit = [[v for v in column if not np.isnan(v)] for column in data.T.tolist()]
        out.append([by_unit, *values])
    return out


def correlation():
    out = []
    for n, quantised in [(5, False), (60, False), (60, True), (300, True)]:
        x = rng.normal(size=n)
        y = 0.5 * x + rng.normal(size=n)
        if quantised:
            x, y = np.round(x), np.round(y * 2) / 2
        x, y = np.round(x, 6), np.round(y, 6)
        out.append([
            x.tolist(),
            y.tolist(),
            float(ss.pearsonr(x, y).statistic),
            float(ss.spearmanr(x, y).statistic),
            float(ss.kendalltau(x, y, variant="b").statistic),
        ])
    return out


def clusters():
    """Shares over clusters of unequal size: robust interval and bootstrap percentiles."""
    out = []
    for groups, effect in [(30, 0.3), (150, 0.2)]:
        sizes = rng.integers(1, 9, groups)
        p = np.clip(0.65 + rng.normal(0, effect, groups), 0.02, 0.98)
        hits = rng.binomial(sizes, p)
        ids = np.repeat(np.arange(groups), sizes)
        y = np.concatenate([np.r_[np.ones(h), np.zeros(s - h)] for h, s in zip(hits, sizes)])
        # The mean as a regression on a constant, with a cluster-robust covariance. The small-sample
        # factor of statsmodels, g/(g-1) * (n-1)/(n-k), is g/(g-1) for a constant alone.
        fit = sm.OLS(y, np.ones(len(y))).fit(cov_type="cluster", cov_kwds={"groups": ids})
        low, high = fit.conf_int(alpha=0.05)[0]

        def share(h, s, axis=-1):
            return h.sum(axis=axis) / s.sum(axis=axis)

        boot = ss.bootstrap(
            (hits, sizes), share, paired=True, n_resamples=200_000, batch=2000,
            method="percentile", confidence_level=0.95, rng=np.random.default_rng(1),
        )
        out.append({
            "hits": hits.tolist(),
            "weights": sizes.tolist(),
            "variance": float(fit.bse[0] ** 2),
            "robust": [float(low), float(high)],
            "bootstrap": [float(boot.confidence_interval.low), float(boot.confidence_interval.high)],
            "bootstrap_standard_error": float(boot.standard_error),
        })
    return out


json.dump(
    {
        "wilson": wilson(),
        "mcnemar": exact_mcnemar(),
        "holm": holm(),
        "cohen": cohen(),
        "fleiss": fleiss(),
        "krippendorff": alpha(),
        "correlation": correlation(),
        "clusters": clusters(),
    },
    sys.stdout,
    separators=(",", ":"),
)
sys.stdout.write("\n")
