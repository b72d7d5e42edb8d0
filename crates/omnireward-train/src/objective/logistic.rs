/// `σ(x) = 1 / (1 + e^{-x})`, without overflow, and exact to rounding on both sides.
pub(super) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let odds = x.exp();
        odds / (1.0 + odds)
    }
}

/// `log(1 + e^x) = -log σ(-x)`, without overflow, and without loss where it is small.
pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `log(e^{x₀} + e^{x₁} + …)`, without overflow, and without loss where one is zero and the others are far below.
pub(super) fn log_sum_exp(xs: &[f64]) -> f64 {
    let largest = xs
        .iter()
        .enumerate()
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .expect("there is something to add up");
    let (at, &top) = largest;
    let others = xs.iter().enumerate().filter(|&(place, _)| place != at);
    let sum: f64 = others.map(|(_, x)| (x - top).exp()).sum();
    top + sum.ln_1p()
}
