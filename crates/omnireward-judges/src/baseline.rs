use std::{fmt, str::FromStr};

use omnireward_core::{
    BoxFuture, Identity, Judge, Modality, ModelError, Preference, PreferencePair, Response,
    Setting, Task, UnknownName, Verdict, joined_text,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::order::two_responses;

/// Judges that look at nothing that matters: the floor that every other judge should clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// Prefers the response with more characters; equal lengths are a tie. Its scores are the
    /// lengths. Media have no length that could be compared fairly, so only tasks whose responses
    /// are text are supported.
    Longest,
    /// Prefers what is shown first.
    First,
    /// Prefers either side with equal probability; a tie, where one is offered, with one third.
    /// The draw is a function of the seed, the pair's id, the order and the setting, so it repeats.
    Random {
        /// Tells runs apart.
        seed: u64,
    },
}

impl Judge for Baseline {
    fn identity(&self) -> Identity {
        let settings = match self {
            Self::Random { seed } => json!({ "seed": seed }),
            Self::Longest | Self::First => json!({}),
        };
        Identity::new(format!("baseline:{self}"), settings)
    }

    fn supports(&self, task: Task) -> bool {
        !matches!(self, Self::Longest) || task.response_modality() == Modality::Text
    }

    fn is_order_sensitive(&self) -> bool {
        !matches!(self, Self::Longest)
    }

    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        setting: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
        Box::pin(async move {
            let responses = two_responses(pair)?;
            Ok(match self {
                Self::Longest => Verdict::from_scores(responses.map(length)),
                Self::First => Verdict::preferring(Preference::First),
                Self::Random { seed } => Verdict::preferring(draw(*seed, pair, setting)),
            })
        })
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Longest => f.write_str("longest"),
            Self::First => f.write_str("first"),
            Self::Random { seed } => write!(f, "random:{seed}"),
        }
    }
}

impl FromStr for Baseline {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let unknown = || UnknownName::new("baseline", name, &["longest", "first", "random[:SEED]"]);
        match name.split_once(':') {
            None if name == "longest" => Ok(Self::Longest),
            None if name == "first" => Ok(Self::First),
            None if name == "random" => Ok(Self::Random { seed: 0 }),
            Some(("random", seed)) => match seed.parse() {
                Ok(seed) => Ok(Self::Random { seed }),
                Err(_) => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }
}

/// The number of characters of a response's text.
fn length(response: &Response) -> f64 {
    joined_text(&response.parts).chars().count() as f64
}

fn draw(seed: u64, pair: &PreferencePair, setting: Setting) -> Preference {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(pair.shown_order().name());
    hash.update(setting.name());
    hash.update(&pair.id);
    let mut rng = ChaCha8Rng::from_seed(hash.finalize().into());
    let answers = if setting.offers_tie() { 3 } else { 2 };
    Preference::ALL[rng.random_range(0..answers)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ready;

    fn pair(id: &str, first: &str, second: &str) -> PreferencePair {
        PreferencePair::new(
            id,
            Task::T2T,
            "p",
            [Response::text(first), Response::text(second)],
        )
    }

    fn prefers(judge: Baseline, pair: &PreferencePair, setting: Setting) -> Preference {
        ready(judge.judge(pair, setting))
            .unwrap()
            .preference
            .unwrap()
    }

    #[test]
    fn longest_counts_characters_and_not_bytes() {
        let judge = Baseline::Longest;
        let setting = Setting::WithTies;
        assert_eq!(
            prefers(judge, &pair("a", "ééé", "abcd"), setting),
            Preference::Second
        );
        assert_eq!(
            prefers(judge, &pair("a", "ééé", "abc"), setting),
            Preference::Tie
        );
        let verdict = ready(judge.judge(&pair("a", "x", "abc"), setting)).unwrap();
        assert_eq!(verdict.scores, Some(vec![1.0, 3.0]));
        assert!(judge.supports(Task::TV2T) && !judge.supports(Task::T2I));
        assert!(!judge.is_order_sensitive());
    }

    #[test]
    fn random_repeats_and_is_balanced() {
        let count = |setting, preference| {
            (0..3000)
                .map(|i| pair(&i.to_string(), "x", "y"))
                .filter(|p| prefers(Baseline::Random { seed: 3 }, p, setting) == preference)
                .count()
        };
        let first = count(Setting::WithoutTies, Preference::First);
        assert_eq!(first, count(Setting::WithoutTies, Preference::First));
        assert!((1400..1600).contains(&first), "{first}");
        assert_eq!(count(Setting::WithoutTies, Preference::Tie), 0);
        let ties = count(Setting::WithTies, Preference::Tie);
        assert!((900..1100).contains(&ties), "{ties}");
    }

    #[test]
    fn random_draws_anew_for_another_seed_or_order() {
        let drawn = |seed, swap: bool| -> Vec<Preference> {
            (0..64)
                .map(|i| pair(&i.to_string(), "x", "y"))
                .map(|p| if swap { p.shown_swapped() } else { p })
                .map(|p| prefers(Baseline::Random { seed }, &p, Setting::WithoutTies))
                .collect()
        };
        assert_ne!(drawn(1, false), drawn(2, false));
        assert_ne!(drawn(1, false), drawn(1, true));
    }

    #[test]
    fn names_read_and_print_back() {
        for name in ["longest", "first", "random:0", "random:9"] {
            assert_eq!(name.parse::<Baseline>().unwrap().to_string(), name);
        }
        assert!("random:-1".parse::<Baseline>().is_err());
    }
}
