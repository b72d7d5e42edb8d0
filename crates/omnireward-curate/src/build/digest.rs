//! Hashes of what was asked, so that a row says what it is based on.

use std::fmt::Write;

use omnireward_core::{ChatPart, ChatRequest, Identity, Order, Part, PreferencePair, Setting};
use omnireward_media::Limits;
use sha2::{Digest, Sha256};

use super::verify::TURNS;

/// SHA-256 of pieces, in hexadecimal. Each is written with its length before it, so that no two
/// lists run together into the same bytes.
pub(super) fn sha256_hex(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        let piece = piece.as_ref();
        hash.update((piece.len() as u64).to_le_bytes());
        hash.update(piece);
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}

/// The hash of a request, media and sampling included.
pub(super) fn of_request(request: &ChatRequest) -> String {
    let sampling = serde_json::to_vec(&request.sampling).expect("sampling has only string keys");
    let mut pieces = vec![sampling, request.sample.to_le_bytes().to_vec()];
    for message in &request.messages {
        pieces.push(vec![message.role as u8, message.parts.len() as u8]);
        for part in &message.parts {
            match part {
                ChatPart::Text(text) => pieces.push(text.clone().into_bytes()),
                ChatPart::Image { media_type, bytes }
                | ChatPart::Audio { media_type, bytes }
                | ChatPart::Video { media_type, bytes } => {
                    pieces.push(media_type.as_bytes().to_vec());
                    pieces.push(Sha256::digest(bytes).to_vec());
                }
            }
        }
    }
    sha256_hex(pieces)
}

/// The hashes of a pair's prompt and responses, media by their bytes.
pub(super) struct ContentDigest {
    prompt: String,
    responses: Vec<String>,
}

impl ContentDigest {
    /// Reads the pair's media once. The turns of a conversation are part of its prompt.
    pub(super) fn new(
        pair: &PreferencePair,
        limits: &Limits,
    ) -> Result<Self, omnireward_media::Error> {
        let mut prompt = of_parts(&pair.prompt, limits)?;
        if let Some(turns) = pair.extra.get(TURNS) {
            prompt = sha256_hex([prompt, turns.to_string()]);
        }
        Ok(Self {
            prompt,
            responses: pair
                .responses
                .iter()
                .map(|response| of_parts(&response.parts, limits))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The hash of everything that decides what a verifier is asked: who it is (its prompts'
    /// hash is among its settings), the criterion, the answers offered, and the pair in the order
    /// in which it is shown.
    pub(super) fn of_question(
        &self,
        verifier: &Identity,
        criterion: &str,
        setting: Setting,
        order: Order,
    ) -> String {
        let mut responses: Vec<&str> = self.responses.iter().map(String::as_str).collect();
        if order == Order::Swapped {
            responses.reverse();
        }
        let settings = verifier.settings.to_string();
        let pieces = [
            verifier.name.as_str(),
            settings.as_str(),
            setting.name(),
            criterion,
            self.prompt.as_str(),
        ];
        sha256_hex(pieces.into_iter().chain(responses))
    }
}

fn of_parts(parts: &[Part], limits: &Limits) -> Result<String, omnireward_media::Error> {
    let pieces: Result<Vec<Vec<u8>>, _> = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => Ok(text.clone().into_bytes()),
            Part::Media(media) => {
                let bytes = omnireward_media::read(media, limits)?;
                let digest = sha256_hex([bytes]);
                Ok(format!("{}:{digest}", media.modality).into_bytes())
            }
        })
        .collect();
    Ok(sha256_hex(pieces?))
}

#[cfg(test)]
mod tests {
    use omnireward_core::{Response, Task};

    use super::*;

    #[test]
    fn a_question_is_told_apart_by_all_that_decides_it() {
        let pair = PreferencePair::new("1", Task::T2T, "p", ["x", "y"].map(Response::text));
        let digest = ContentDigest::new(&pair, &Limits::default()).unwrap();
        let judge = |name: &str| Identity::new(name, serde_json::json!({"version": 1}));
        let hashes = [
            digest.of_question(&judge("a"), "c", Setting::WithTies, Order::AsIs),
            digest.of_question(&judge("b"), "c", Setting::WithTies, Order::AsIs),
            digest.of_question(&judge("a"), "d", Setting::WithTies, Order::AsIs),
            digest.of_question(&judge("a"), "c", Setting::WithoutTies, Order::AsIs),
            digest.of_question(&judge("a"), "c", Setting::WithTies, Order::Swapped),
        ];
        let distinct: std::collections::HashSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
        assert_eq!(hashes[0].len(), 64);
    }
}
