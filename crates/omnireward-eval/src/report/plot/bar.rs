use super::{
    Estimate,
    scale::Scale,
    svg::{Anchor, Svg},
};

/// A bar for a table's cell: a share from 0 to 1, its interval, and a tick at `reference`.
pub(crate) fn bar(estimate: Option<Estimate>, reference: f64, series: usize) -> String {
    const WIDTH: f64 = 132.0;
    const HEIGHT: f64 = 14.0;
    let scale = Scale::new((0.0, 1.0), (1.0, WIDTH - 1.0));
    let middle = HEIGHT / 2.0;
    let Some(estimate) = estimate else {
        return Svg::new(WIDTH, HEIGHT, "no value").finish();
    };
    let mut svg = Svg::new(
        WIDTH,
        HEIGHT,
        &format!("{:.1} percent", estimate.value * 100.0),
    );
    svg.rect((1.0, 3.0), (WIDTH - 2.0, HEIGHT - 6.0), "track", 2.0);
    svg.rect(
        (1.0, 3.0),
        (scale.at(estimate.value) - 1.0, HEIGHT - 6.0),
        &format!("fill s{series}"),
        2.0,
    );
    let x = scale.at(reference);
    svg.line((x, 1.0), (x, HEIGHT - 1.0), "barreference");
    if let Some((low, high)) = estimate.interval {
        svg.line(
            (scale.at(low), middle),
            (scale.at(high), middle),
            "barwhisker",
        );
        for end in [low, high] {
            let x = scale.at(end);
            svg.line((x, middle - 2.5), (x, middle + 2.5), "barwhisker");
        }
    }
    svg.finish()
}

/// One horizontal bar split into a share and the rest, with the share written beside it.
pub(crate) fn spark(share: f64, series: usize) -> String {
    const WIDTH: f64 = 92.0;
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let percent = format!("{:.0}%", share * 100.0);
    let mut svg = Svg::new(WIDTH, 14.0, &percent);
    svg.rect((0.0, 4.0), (52.0, 6.0), "track", 2.0);
    svg.rect(
        (0.0, 4.0),
        (52.0 * share, 6.0),
        &format!("fill s{series}"),
        2.0,
    );
    svg.text((WIDTH, 11.0), Anchor::End, "value", &percent);
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_inside_their_track() {
        let svg = bar(Estimate::new(1.4, Some((-0.2, 1.9))), 0.5, 0);
        assert!(!svg.contains("width=\"18"), "{svg}");
        assert!(bar(None, 0.5, 0).contains("no value"));
        assert!(!spark(f64::NAN, 1).contains("NaN"));
    }
}
