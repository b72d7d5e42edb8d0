//! Numbers as the report writes them.

use omnireward_core::{Setting, Task};

use crate::{metrics::FailurePolicy, stats::Interval};

/// `65.4`, or a dash.
pub(super) fn percent(share: Option<f64>) -> String {
    match share.filter(|share| share.is_finite()) {
        Some(share) => format!("{:.1}", share * 100.0),
        None => "–".to_owned(),
    }
}

/// `65.4%`, or a dash.
pub(super) fn percent_sign(share: Option<f64>) -> String {
    let text = percent(share);
    if text == "–" {
        text
    } else {
        format!("{text}%")
    }
}

/// `62.1–68.5`, or nothing.
pub(super) fn interval(interval: Option<Interval>) -> String {
    interval
        .filter(|interval| interval.low.is_finite() && interval.high.is_finite())
        .map_or(String::new(), |interval| {
            format!("{:.1}–{:.1}", interval.low * 100.0, interval.high * 100.0)
        })
}

/// A difference of shares in percentage points, with its sign.
pub(super) fn points(difference: Option<f64>) -> String {
    match difference.filter(|difference| difference.is_finite()) {
        Some(difference) => {
            let size = format!("{:.1}", difference.abs() * 100.0);
            match difference {
                _ if size == "0.0" => size,
                d if d < 0.0 => format!("−{size}"),
                _ => format!("+{size}"),
            }
        }
        None => "–".to_owned(),
    }
}

/// A p-value: three decimals, or `<0.001`.
pub(super) fn p_value(p: Option<f64>) -> String {
    match p.filter(|p| p.is_finite()) {
        Some(p) if p < 0.001 => "<0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
        None => "–".to_owned(),
    }
}

/// `12,345`.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.2 M`, for large numbers that nobody compares.
pub(super) fn about(count: u64) -> String {
    match count as f64 {
        n if n >= 1e9 => format!("{:.1} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.0} k", n / 1e3),
        _ => self::count(count),
    }
}

/// `1 pair`, `2 pairs`.
pub(super) fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

pub(super) const fn setting(setting: Setting) -> &'static str {
    match setting {
        Setting::WithTies => "with ties",
        Setting::WithoutTies => "without ties",
    }
}

/// What a pair without a verdict counts as.
pub(super) const fn policy(policy: FailurePolicy) -> &'static str {
    match policy {
        FailurePolicy::Wrong => "counts as wrong",
        FailurePolicy::Coin => "counts as a blind guess",
        FailurePolicy::LeftOut => "is left out",
    }
}

/// A task in words.
pub(super) const fn task(task: Task) -> &'static str {
    match task {
        Task::T2T => "text",
        Task::TI2T => "image understanding",
        Task::TV2T => "video understanding",
        Task::TA2T => "audio understanding",
        Task::T2I => "image generation",
        Task::T2V => "video generation",
        Task::T2A => "audio generation",
        Task::T23D => "3D generation",
        Task::TI2I => "image editing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(about(1_250_000), "1.2 M");
        assert_eq!(counted(1, "pair"), "1 pair");
        assert_eq!(percent(Some(0.6543)), "65.4");
        assert_eq!(percent_sign(Some(f64::NAN)), "–");
        assert_eq!(points(Some(-0.031)), "−3.1");
        assert_eq!(points(Some(0.0001)), "0.0");
        assert_eq!(p_value(Some(1e-9)), "<0.001");
    }
}
