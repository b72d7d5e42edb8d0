use omnireward_core::Preference;
use serde::{Deserialize, Serialize};

use super::{Judged, margin};
use crate::stats::{Scale as AlphaScale, cohen_kappa, kendall_tau_b, krippendorff_alpha, spearman};

/// Agreement between verdicts and labels beyond what chance gives, over scored rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JudgeAgreement {
    /// Rows with a verdict.
    pub rows: u64,
    /// Cohen's kappa over the three preferences.
    pub kappa: Option<f64>,
    /// Krippendorff's alpha, with preferences as names.
    pub alpha_nominal: Option<f64>,
    /// Krippendorff's alpha, with preferences ordered second, tie, first.
    pub alpha_ordinal: Option<f64>,
    /// Spearman's correlation of margins with labels ordered likewise; only with scores.
    pub margin_spearman: Option<f64>,
    /// Kendall's tau-b of margins with labels; only with scores.
    pub margin_kendall: Option<f64>,
}

impl JudgeAgreement {
    pub(crate) fn of(judged: &[Judged<'_>]) -> Self {
        let both: Vec<(Preference, Preference)> = judged
            .iter()
            .filter_map(|j| Some((j.label, j.verdict?)))
            .collect();
        let units: Vec<[f64; 2]> = both.iter().map(|(a, b)| [rank(*a), rank(*b)]).collect();
        let (margins, labels): (Vec<f64>, Vec<f64>) = judged
            .iter()
            .filter_map(|j| Some((margin(j.row)?, rank(j.label))))
            .unzip();
        Self {
            rows: both.len() as u64,
            kappa: cohen_kappa(both),
            alpha_nominal: krippendorff_alpha(&units, AlphaScale::Nominal),
            alpha_ordinal: krippendorff_alpha(&units, AlphaScale::Ordinal),
            margin_spearman: spearman(&margins, &labels),
            margin_kendall: kendall_tau_b(&margins, &labels),
        }
    }
}

/// Preferences in their order from the second response to the first.
fn rank(preference: Preference) -> f64 {
    match preference {
        Preference::Second => -1.0,
        Preference::Tie => 0.0,
        Preference::First => 1.0,
    }
}
