use omnireward_core::Preference;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Counts, Evaluation, Item, Judgement, Likelihood, Objective};

const ALL: [Likelihood; 4] = [
    Likelihood::BradleyTerry,
    Likelihood::Davidson,
    Likelihood::RaoKupper,
    Likelihood::PlackettLuce,
];
const WITH_TIES: [Likelihood; 2] = [Likelihood::Davidson, Likelihood::RaoKupper];

fn plain(likelihood: Likelihood) -> Objective {
    Objective {
        likelihood,
        centring: 0.0,
    }
}

fn item(judgement: Judgement, responses: usize) -> Item {
    Item {
        responses: 0..responses,
        judgement,
        weight: 1.0,
        share: 1.0,
        margin: 0.0,
    }
}

/// The loss of one judgement of `rewards`.
fn loss(likelihood: Likelihood, rewards: &[f64], judgement: Judgement, tie: f64) -> f64 {
    let items = [item(judgement, rewards.len())];
    plain(likelihood).evaluate(rewards, &items, tie).loss
}

fn probability(likelihood: Likelihood, difference: f64, outcome: Preference, tie: f64) -> f64 {
    let judgement = Judgement::Preferred(outcome);
    (-loss(likelihood, &[difference, 0.0], judgement, tie)).exp()
}

fn close(found: f64, expected: f64) {
    let scale = expected.abs().max(1.0);
    assert!(
        (found - expected).abs() <= 1e-12 * scale,
        "{found} is not {expected}"
    );
}

/// Items of every kind over a row of random rewards.
fn random_case(rng: &mut ChaCha8Rng) -> (Vec<f64>, Vec<Item>, f64) {
    let mut rewards = Vec::new();
    let mut items = Vec::new();
    for _ in 0..12 {
        let judgement = random_judgement(rng);
        let responses = match &judgement {
            Judgement::Ranking(ranks) => ranks.len(),
            _ => 2,
        };
        let start = rewards.len();
        rewards.extend((0..responses).map(|_| rng.random_range(-3.0..3.0)));
        items.push(Item {
            responses: start..rewards.len(),
            judgement,
            weight: rng.random_range(0.1..2.0),
            share: 1.0,
            margin: rng.random_range(-0.5..1.0),
        });
    }
    (rewards, items, rng.random_range(-2.0..2.0))
}

fn random_judgement(rng: &mut ChaCha8Rng) -> Judgement {
    match rng.random_range(0..3) {
        0 => Judgement::Preferred(Preference::ALL[rng.random_range(0..3)]),
        1 => Judgement::Probability(rng.random_range(0.0..1.0)),
        _ => {
            let responses = rng.random_range(1..6);
            Judgement::Ranking((0..responses).map(|_| rng.random_range(1..5)).collect())
        }
    }
}

/// Central differences, whose error is about `h²` from the third derivative and `1e-16 / h` from rounding.
fn slope(at: f64, value: impl Fn(f64) -> f64) -> f64 {
    let h = 1e-5;
    (value(at + h) - value(at - h)) / (2.0 * h)
}

#[test]
fn derivatives_are_those_of_finite_differences() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for likelihood in ALL {
        for centring in [0.0, 0.3] {
            let objective = Objective {
                likelihood,
                centring,
            };
            for _ in 0..10 {
                let (rewards, items, tie) = random_case(&mut rng);
                let found = objective.evaluate(&rewards, &items, tie);
                for (place, &by_hand) in found.gradient.iter().enumerate() {
                    let by_difference = slope(rewards[place], |reward| {
                        let mut moved = rewards.clone();
                        moved[place] = reward;
                        objective.evaluate(&moved, &items, tie).loss
                    });
                    assert!(
                        (by_hand - by_difference).abs() < 1e-8,
                        "{likelihood:?}, reward {place}: {by_hand}, by differences {by_difference}"
                    );
                }
                let by_difference =
                    slope(tie, |tie| objective.evaluate(&rewards, &items, tie).loss);
                assert!(
                    (found.tie_gradient - by_difference).abs() < 1e-8,
                    "{likelihood:?}, tie: {}, by differences {by_difference}",
                    found.tie_gradient
                );
            }
        }
    }
}

#[test]
fn closed_forms() {
    let first = || Judgement::Preferred(Preference::First);
    let second = || Judgement::Preferred(Preference::Second);
    let tied = || Judgement::Preferred(Preference::Tie);
    let two = [2.0_f64.ln(), 0.0];
    // Odds of two to one.
    close(
        loss(Likelihood::BradleyTerry, &two, first(), 0.0),
        1.5_f64.ln(),
    );
    close(
        loss(Likelihood::BradleyTerry, &two, second(), 0.0),
        3.0_f64.ln(),
    );
    // ν = √2, so that the three outcomes weigh 2, 1 and √2·√2.
    let tie = 2.0_f64.ln() / 2.0;
    close(loss(Likelihood::Davidson, &two, first(), tie), 2.5_f64.ln());
    close(
        loss(Likelihood::Davidson, &two, second(), tie),
        5.0_f64.ln(),
    );
    close(loss(Likelihood::Davidson, &two, tied(), tie), 2.5_f64.ln());
    // θ = 3: P(first) = 2/5, P(second) = 1/7, and the rest is 16/35 = (θ²-1)·2/35.
    let tie = 2.0_f64.ln();
    close(
        loss(Likelihood::RaoKupper, &two, first(), tie),
        2.5_f64.ln(),
    );
    close(
        loss(Likelihood::RaoKupper, &two, second(), tie),
        7.0_f64.ln(),
    );
    close(
        loss(Likelihood::RaoKupper, &two, tied(), tie),
        (35.0_f64 / 16.0).ln(),
    );
    // Weights 3, 1, 2 and the order third, first, second: 2/6 · 3/4, two choices.
    let three = [3.0_f64.ln(), 0.0, 2.0_f64.ln()];
    close(
        loss(
            Likelihood::PlackettLuce,
            &three,
            Judgement::Ranking(vec![2, 3, 1]),
            0.0,
        ),
        4.0_f64.ln() / 2.0,
    );
}

#[test]
fn rankings_under_plackett_luce() {
    let likelihood = Likelihood::PlackettLuce;
    let rewards = [3.0_f64.ln(), 0.0, 2.0_f64.ln()];
    let of = |ranks: &[u32]| {
        loss(
            likelihood,
            &rewards,
            Judgement::Ranking(ranks.to_vec()),
            0.0,
        )
    };
    // Two at the top: each is chosen from all three (Breslow).
    close(of(&[1, 2, 1]), 6.0_f64.ln() / 2.0);
    // Two at the bottom: only the best is chosen.
    close(of(&[1, 2, 2]), 2.0_f64.ln());
    // Ranks may leave gaps.
    close(of(&[10, 40, 40]), of(&[1, 2, 2]));
    // The probabilities of all orders add up to one; there are two choices in each.
    let orders: [[u32; 3]; 6] = [
        [1, 2, 3],
        [1, 3, 2],
        [2, 1, 3],
        [2, 3, 1],
        [3, 1, 2],
        [3, 2, 1],
    ];
    close(
        orders.iter().map(|ranks| (-2.0 * of(ranks)).exp()).sum(),
        1.0,
    );
}

#[test]
fn a_ranking_of_pairs_is_the_mean_of_its_comparisons() {
    let rewards = [0.3, -1.2, 2.0];
    let pair = |likelihood, first: usize, second: usize, preference| {
        let two = [rewards[first], rewards[second]];
        loss(likelihood, &two, Judgement::Preferred(preference), 0.4)
    };
    let ranking = Judgement::Ranking(vec![1, 2, 2]);
    for likelihood in WITH_TIES {
        let sum = pair(likelihood, 0, 1, Preference::First)
            + pair(likelihood, 0, 2, Preference::First)
            + pair(likelihood, 1, 2, Preference::Tie);
        close(loss(likelihood, &rewards, ranking.clone(), 0.4), sum / 3.0);
    }
    let likelihood = Likelihood::BradleyTerry;
    let sum = pair(likelihood, 0, 1, Preference::First) + pair(likelihood, 0, 2, Preference::First);
    close(loss(likelihood, &rewards, ranking, 0.4), sum / 2.0);
}

#[test]
fn outcomes_of_a_comparison_add_up_to_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for likelihood in WITH_TIES {
        for _ in 0..100 {
            let (difference, tie) = (rng.random_range(-9.0..9.0), rng.random_range(-9.0..9.0));
            let of = |outcome| probability(likelihood, difference, outcome, tie);
            close(Preference::ALL.into_iter().map(of).sum(), 1.0);
        }
    }
}

#[test]
fn swapping_the_responses_swaps_the_judgement() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for likelihood in ALL {
        for preference in Preference::ALL {
            let (rewards, tie) = (
                [rng.random_range(-2.0..2.0), 0.5],
                rng.random_range(-2.0..2.0),
            );
            let swapped = [rewards[1], rewards[0]];
            let of = |rewards: &[f64], preference| {
                let items = [item(Judgement::Preferred(preference), 2)];
                plain(likelihood).evaluate(rewards, &items, tie)
            };
            let (one, other) = (of(&rewards, preference), of(&swapped, preference.swapped()));
            assert_eq!((one.loss, one.counts), (other.loss, other.counts));
            assert_eq!(one.gradient[0].to_bits(), other.gradient[1].to_bits());
        }
    }
}

#[test]
fn only_differences_matter_without_centring() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for likelihood in ALL {
        let (rewards, items, tie) = random_case(&mut rng);
        let found = plain(likelihood).evaluate(&rewards, &items, tie);
        for item in &items {
            close(found.gradient[item.responses.clone()].iter().sum(), 0.0);
        }
    }
}

#[test]
fn limits_of_the_tie_parameter() {
    let rewards = [0.7, -0.4];
    for likelihood in WITH_TIES {
        for preference in [Preference::First, Preference::Second] {
            let judgement = || Judgement::Preferred(preference);
            close(
                loss(likelihood, &rewards, judgement(), -80.0),
                loss(Likelihood::BradleyTerry, &rewards, judgement(), 0.0),
            );
        }
        close(probability(likelihood, 1.1, Preference::Tie, 80.0), 1.0);
        let items = [item(Judgement::Preferred(Preference::Tie), 2)];
        let far = plain(likelihood).evaluate(&rewards, &items, -900.0);
        close(far.tie_gradient, -1.0);
        assert!(far.loss > 890.0 && far.loss.is_finite(), "{}", far.loss);
    }
}

#[test]
fn plackett_luce_of_two_is_bradley_terry() {
    let rewards = [0.2, 1.3];
    let of = |likelihood, judgement| {
        let mut item = item(judgement, 2);
        item.margin = 0.7;
        plain(likelihood).evaluate(&rewards, &[item], 0.0)
    };
    let preferred = || Judgement::Preferred(Preference::Second);
    let pair = of(Likelihood::BradleyTerry, preferred());
    let ranking = of(Likelihood::PlackettLuce, Judgement::Ranking(vec![2, 1]));
    close(ranking.loss, pair.loss);
    close(ranking.gradient[0], pair.gradient[0]);
    close(ranking.gradient[1], pair.gradient[1]);
    assert_eq!(of(Likelihood::PlackettLuce, preferred()), pair);
}

#[test]
fn far_apart_rewards_stay_finite() {
    for likelihood in ALL {
        for difference in [-1e4, -800.0, 800.0, 1e4] {
            for tie in [-1e3, 0.0, 1e3] {
                for judgement in [
                    Judgement::Preferred(Preference::First),
                    Judgement::Preferred(Preference::Tie),
                    Judgement::Probability(0.3),
                    Judgement::Ranking(vec![2, 1]),
                ] {
                    let items = [item(judgement, 2)];
                    let found = plain(likelihood).evaluate(&[difference, 0.0], &items, tie);
                    let numbers = [found.loss, found.tie_gradient]
                        .into_iter()
                        .chain(found.gradient.iter().copied());
                    for number in numbers {
                        assert!(
                            number.is_finite(),
                            "{likelihood:?} of {items:?} at {difference}, tie {tie}: {found:?}"
                        );
                    }
                }
            }
        }
    }
    // A sure and right preference costs next to nothing, and exactly that.
    let sure = loss(
        Likelihood::BradleyTerry,
        &[50.0, 0.0],
        Judgement::Preferred(Preference::First),
        0.0,
    );
    close(sure / (-50.0_f64).exp(), 1.0);
    let sure = loss(
        Likelihood::Davidson,
        &[100.0, 0.0],
        Judgement::Preferred(Preference::First),
        0.0,
    );
    close(sure / (-50.0_f64).exp(), 1.0);
}

#[test]
fn soft_labels_and_margins() {
    let rewards = [0.8, 0.1];
    let of = |judgement| loss(Likelihood::BradleyTerry, &rewards, judgement, 0.0);
    let (first, second) = (
        of(Judgement::Preferred(Preference::First)),
        of(Judgement::Preferred(Preference::Second)),
    );
    close(of(Judgement::Probability(1.0)), first);
    close(of(Judgement::Probability(0.0)), second);
    close(
        of(Judgement::Probability(0.25)),
        0.25 * first + 0.75 * second,
    );
    let mut with_margin = item(Judgement::Preferred(Preference::Second), 2);
    with_margin.margin = 0.5;
    let found = plain(Likelihood::BradleyTerry).evaluate(&rewards, &[with_margin], 0.0);
    close(found.loss, (1.0 + (0.7_f64 + 0.5).exp()).ln());
}

#[test]
fn centring_adds_the_squared_sum() {
    let rewards = [1.5, -0.5, 2.0];
    let objective = Objective {
        likelihood: Likelihood::BradleyTerry,
        centring: 0.1,
    };
    let pair = [item(Judgement::Preferred(Preference::First), 2)];
    let without = plain(Likelihood::BradleyTerry).evaluate(&rewards, &pair, 0.0);
    let with = objective.evaluate(&rewards, &pair, 0.0);
    close(with.loss, without.loss + 0.1);
    close(with.gradient[0], without.gradient[0] + 0.2);
    let ranking = [item(Judgement::Ranking(vec![1, 2, 3]), 3)];
    let without = plain(Likelihood::BradleyTerry).evaluate(&rewards, &ranking, 0.0);
    let with = objective.evaluate(&rewards, &ranking, 0.0);
    close(
        with.loss,
        without.loss + 0.1 * (1.0 + 3.5 * 3.5 + 1.5 * 1.5) / 3.0,
    );
}

#[test]
fn ties_are_left_out_and_counted_where_there_is_no_word_for_them() {
    let rewards = [1.0, 0.0, 0.0];
    let items = [
        item(Judgement::Preferred(Preference::Tie), 2),
        item(Judgement::Ranking(vec![1, 2, 2]), 3),
        item(Judgement::Probability(0.5), 2),
    ];
    let expected = Counts {
        comparisons: 2,
        correct: 2,
        ties: 3,
        left_out: 2,
        margin: 2.0,
    };
    for likelihood in [Likelihood::BradleyTerry, Likelihood::PlackettLuce] {
        let found = plain(likelihood).evaluate(&rewards, &items, 0.0);
        assert_eq!((found.counts, found.weight), (expected, 2.0));
        let only_tie = plain(likelihood).evaluate(&rewards, &items[..1], 0.0);
        assert_eq!((only_tie.loss, only_tie.weight), (0.0, 0.0));
        assert_eq!(only_tie.gradient, [0.0; 3]);
    }
    for likelihood in WITH_TIES {
        let found = plain(likelihood).evaluate(&rewards, &items, 0.0);
        let all_in = Counts {
            left_out: 0,
            ..expected
        };
        assert_eq!((found.counts, found.weight), (all_in, 3.0));
    }
}

#[test]
fn equal_rewards_are_not_correct_and_margins_follow_the_label() {
    let rewards = [1.0, 1.0, 4.0, 2.5];
    let mut items = vec![item(Judgement::Preferred(Preference::First), 2)];
    items.push(Item {
        responses: 2..4,
        ..item(Judgement::Preferred(Preference::Second), 2)
    });
    let counts = plain(Likelihood::BradleyTerry)
        .evaluate(&rewards, &items, 0.0)
        .counts;
    assert_eq!((counts.comparisons, counts.correct), (2, 0));
    assert_eq!(counts.accuracy(), Some(0.0));
    assert_eq!(counts.mean_margin(), Some(-0.75));
}

#[test]
fn parts_add_up_to_the_whole() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for likelihood in ALL {
        let (rewards, items, tie) = random_case(&mut rng);
        let whole = plain(likelihood).evaluate(&rewards, &items, tie);
        let mut sum = Evaluation {
            gradient: vec![0.0; rewards.len()],
            ..Evaluation::default()
        };
        for part in items.chunks(5) {
            let found = plain(likelihood).evaluate(&rewards, part, tie);
            sum.loss += found.loss;
            sum.weight += found.weight;
            sum.tie_gradient += found.tie_gradient;
            sum.counts += found.counts;
            for (sum, own) in sum.gradient.iter_mut().zip(found.gradient) {
                *sum += own;
            }
        }
        close(sum.loss, whole.loss);
        close(sum.weight, whole.weight);
        close(sum.tie_gradient, whole.tie_gradient);
        assert_eq!(sum.gradient, whole.gradient);
        assert_eq!(sum.counts.comparisons, whole.counts.comparisons);
        close(sum.counts.margin, whole.counts.margin);
    }
}

#[test]
fn a_share_of_the_gradient_leaves_the_loss_alone() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let objective = plain(Likelihood::RaoKupper);
    let (rewards, items, tie) = random_case(&mut rng);
    let whole = objective.evaluate(&rewards, &items, tie);
    let quarter: Vec<Item> = items
        .into_iter()
        .map(|item| Item {
            share: 0.25,
            ..item
        })
        .collect();
    let found = objective.evaluate(&rewards, &quarter, tie);
    assert_eq!((found.loss, found.weight), (whole.loss, whole.weight));
    close(found.tie_gradient, 0.25 * whole.tie_gradient);
    for (found, whole) in found.gradient.into_iter().zip(whole.gradient) {
        close(found, 0.25 * whole);
    }
}

#[test]
fn evaluations_of_further_rewards_are_joined() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let objective = plain(Likelihood::Davidson);
    let (rewards, items, tie) = random_case(&mut rng);
    let cut = items[5].responses.start;
    let moved = items[5..].iter().map(|item| Item {
        responses: item.responses.start - cut..item.responses.end - cut,
        ..item.clone()
    });
    let mut sum = objective.evaluate(&rewards[..cut], &items[..5], tie);
    sum += objective.evaluate(&rewards[cut..], &moved.collect::<Vec<_>>(), tie);
    let whole = objective.evaluate(&rewards, &items, tie);
    close(sum.loss, whole.loss);
    assert_eq!(sum.gradient, whole.gradient);
    assert_eq!(sum.counts.accuracy(), whole.counts.accuracy());
    assert_eq!(Counts::default().accuracy(), None);
    assert_eq!(Counts::default().mean_margin(), None);
}

#[test]
fn inside_the_tie_margin_a_tie_is_likeliest() {
    for likelihood in WITH_TIES {
        for tie in [0.1, 1.0, 3.0] {
            let margin = plain(likelihood).tie_margin(tie);
            assert!(margin > 0.0);
            let of = |difference, outcome| probability(likelihood, difference, outcome, tie);
            let lead =
                |difference| of(difference, Preference::Tie) - of(difference, Preference::First);
            assert!(lead(0.999 * margin) > 0.0 && lead(1.001 * margin) < 0.0);
        }
        for tie in [0.0, -5.0] {
            assert!(plain(likelihood).tie_margin(tie) <= 0.0);
        }
        let close_call = |outcome| probability(likelihood, 0.0, outcome, -0.1);
        assert!(close_call(Preference::First) > close_call(Preference::Tie));
    }
    assert!(plain(Likelihood::BradleyTerry).tie_margin(2.0) <= 0.0);
}

#[test]
fn likelihoods_are_named_in_recipes() {
    for (likelihood, name) in ALL.into_iter().zip([
        "\"bradley-terry\"",
        "\"davidson\"",
        "\"rao-kupper\"",
        "\"plackett-luce\"",
    ]) {
        assert_eq!(serde_json::to_string(&likelihood).unwrap(), name);
        assert_eq!(
            serde_json::from_str::<Likelihood>(name).unwrap(),
            likelihood
        );
    }
}

#[test]
#[should_panic(expected = "a preference is between two responses")]
fn a_preference_among_three_is_a_bug() {
    let items = [item(Judgement::Preferred(Preference::First), 3)];
    plain(Likelihood::BradleyTerry).evaluate(&[0.0; 3], &items, 0.0);
}

#[test]
fn the_best_response_is_the_one_that_none_is_preferred_to() {
    let best = |judgement: Judgement| judgement.best();
    assert_eq!(best(Judgement::Preferred(Preference::First)), Some(0));
    assert_eq!(best(Judgement::Preferred(Preference::Second)), Some(1));
    assert_eq!(best(Judgement::Preferred(Preference::Tie)), None);
    assert_eq!(best(Judgement::Probability(0.7)), Some(0));
    assert_eq!(best(Judgement::Probability(0.2)), Some(1));
    assert_eq!(best(Judgement::Probability(0.5)), None);
    assert_eq!(best(Judgement::Ranking(vec![3, 1, 1, 2])), Some(1));
    assert_eq!(best(Judgement::Ranking(vec![1, 1, 1])), None);
}
