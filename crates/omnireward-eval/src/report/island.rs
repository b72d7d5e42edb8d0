use std::collections::HashMap;

use omnireward_core::{Modality, Order, Preference, Setting, Status};
use serde::Serialize;

use super::{
    escape::json_island,
    gallery::{MediaContent, MediaView},
    pairs::{PairView, PairViews, PartView, VerdictView},
};

/// The pairs as the report's script reads them, with names of one letter and every text once.
#[derive(Serialize)]
struct Island<'a> {
    runs: &'a [String],
    statuses: [&'static str; Status::ALL.len()],
    strings: Vec<&'a str>,
    media: Vec<IslandMedium<'a>>,
    pairs: Vec<IslandPair<'a>>,
}

#[derive(Default, Serialize)]
struct IslandMedium<'a> {
    /// A picture's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    u: Option<&'a str>,
    /// A sound's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<&'a str>,
    /// Why nothing, or not everything, is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<&'static str>,
}

#[derive(Serialize)]
struct IslandPair<'a> {
    i: &'a str,
    t: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    g: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<Vec<IslandPart<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    r: Vec<IslandResponse<'a>>,
    v: Vec<IslandVerdict>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum IslandPart<'a> {
    Text(usize),
    Medium {
        m: usize,
        k: &'static str,
        n: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        e: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct IslandResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<usize>,
    p: Vec<IslandPart<'a>>,
}

#[derive(Serialize)]
struct IslandVerdict {
    n: usize,
    s: u8,
    o: u8,
    st: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sc: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ra: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<usize>,
}

/// Each distinct text and its place.
#[derive(Default)]
struct Strings<'a> {
    texts: Vec<&'a str>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Strings<'a> {
    fn place(&mut self, text: &'a str) -> usize {
        *self.places.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() - 1
        })
    }

    fn place_of(&mut self, text: Option<&'a String>) -> Option<usize> {
        text.map(|text| self.place(text))
    }
}

/// The views as JSON that is safe inside a `script` element.
pub(super) fn island(views: &PairViews) -> String {
    let mut strings = Strings::default();
    let pairs = views
        .pairs
        .iter()
        .map(|pair| island_pair(pair, views, &mut strings))
        .collect();
    let island = Island {
        runs: &views.runs,
        statuses: Status::ALL.map(Status::name),
        strings: strings.texts,
        media: views
            .media
            .iter()
            .map(|medium| island_medium(medium))
            .collect(),
        pairs,
    };
    let json = serde_json::to_string(&island).expect("strings and finite numbers become JSON");
    json_island(&json)
}

fn island_medium(medium: &MediaView) -> IslandMedium<'_> {
    match &medium.content {
        MediaContent::LeftOut => IslandMedium {
            x: Some("left out to keep the file small"),
            ..IslandMedium::default()
        },
        MediaContent::Broken(_) => IslandMedium::default(),
        MediaContent::Shown { picture, audio } => IslandMedium {
            u: picture.as_deref(),
            a: audio.as_deref(),
            x: (medium.modality == Modality::Audio && audio.is_none())
                .then_some("too large to be played here, waveform only"),
        },
    }
}

fn island_pair<'a>(
    pair: &'a PairView,
    views: &'a PairViews,
    strings: &mut Strings<'a>,
) -> IslandPair<'a> {
    let parts = |parts: &'a [PartView], strings: &mut Strings<'a>| -> Vec<IslandPart<'a>> {
        parts
            .iter()
            .map(|part| island_part(part, views, strings))
            .collect()
    };
    IslandPair {
        i: &pair.id,
        t: pair.task.code(),
        s: strings.place_of(pair.source.as_ref()),
        g: strings.place_of(pair.group.as_ref()),
        c: strings.place_of(pair.criterion.as_ref()),
        l: pair.label.map(preference_code),
        p: pair.prompt.as_deref().map(|prompt| parts(prompt, strings)),
        r: pair
            .responses
            .iter()
            .map(|response| IslandResponse {
                m: strings.place_of(response.model.as_ref()),
                p: parts(&response.parts, strings),
            })
            .collect(),
        v: pair
            .verdicts
            .iter()
            .map(|verdict| island_verdict(verdict, strings))
            .collect(),
    }
}

fn island_part<'a>(
    part: &'a PartView,
    views: &'a PairViews,
    strings: &mut Strings<'a>,
) -> IslandPart<'a> {
    match part {
        PartView::Text(text) => IslandPart::Text(strings.place(text)),
        PartView::Medium(place) => {
            let medium = &views.media[*place];
            IslandPart::Medium {
                m: *place,
                k: medium.modality.name(),
                n: &medium.name,
                e: medium.error(),
            }
        }
    }
}

fn island_verdict<'a>(verdict: &'a VerdictView, strings: &mut Strings<'a>) -> IslandVerdict {
    IslandVerdict {
        n: verdict.run,
        s: match verdict.setting {
            Setting::WithTies => 0,
            Setting::WithoutTies => 1,
        },
        o: match verdict.order {
            Order::AsIs => 0,
            Order::Swapped => 1,
        },
        st: Status::ALL
            .iter()
            .position(|status| *status == verdict.status)
            .expect("ALL holds every status") as u8,
        p: verdict.preference.map(preference_code),
        sc: verdict.scores,
        ra: strings.place_of(verdict.rationale.as_ref()),
        raw: strings.place_of(verdict.raw.as_ref()),
        d: strings.place_of(verdict.detail.as_ref()),
    }
}

const fn preference_code(preference: Preference) -> u8 {
    match preference {
        Preference::First => 0,
        Preference::Second => 1,
        Preference::Tie => 2,
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::Task;

    use super::*;

    #[test]
    fn a_hostile_pair_stays_inside_the_island_and_texts_are_kept_once() {
        let hostile = "</script><img src=x onerror=alert(1)>\u{2028}\u{2029}<!--".to_owned();
        let pair = PairView {
            id: hostile.clone(),
            task: Task::T2T,
            source: Some(hostile.clone()),
            group: None,
            criterion: Some(hostile.clone()),
            label: Some(Preference::Tie),
            prompt: Some(vec![PartView::Text(hostile.clone())]),
            responses: vec![],
            verdicts: vec![VerdictView {
                run: 0,
                setting: Setting::WithoutTies,
                order: Order::Swapped,
                status: Status::Refused,
                preference: None,
                scores: None,
                rationale: None,
                raw: Some(hostile.clone()),
                detail: None,
            }],
        };
        let views = PairViews {
            runs: vec!["run".into()],
            pairs: vec![pair],
            ..PairViews::default()
        };
        let text = island(&views);
        assert!(
            !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["strings"].as_array().unwrap().len(), 1);
        assert_eq!(json["strings"][0], hostile.as_str());
        assert_eq!(json["pairs"][0]["v"][0]["st"], 2);
        assert_eq!(json["pairs"][0]["l"], 2);
    }
}
