//! Intervals, tests, agreement and correlation.
//!
//! Each function names its formula and agrees with SciPy, statsmodels, scikit-learn or
//! `krippendorff` on the fixtures that `tests/oracle/stats.py` writes.

mod agreement;
mod bootstrap;
mod correlation;
mod interval;
mod paired;

pub use agreement::{Scale, cohen_kappa, fleiss_kappa, krippendorff_alpha};
pub use bootstrap::{Resampling, ShareReplicates, mean_interval, percentile_interval};
pub use correlation::{kendall_tau_b, pearson, spearman};
pub use interval::{
    Cluster, Interval, IntervalMethod, cluster_robust, cluster_robust_variance, clustered_wilson,
    critical_value, normal_quantile, wilson,
};
pub use paired::{McNemar, holm, mcnemar, minimal_detectable_gap};
