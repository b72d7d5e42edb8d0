//! What a chat request holds, taken apart for checks.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// One part of a request, with media decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentPart {
    /// Words, and who says them.
    Text {
        /// `system`, `user` or `assistant`.
        role: String,
        /// The words.
        text: String,
    },
    /// A picture.
    Image {
        /// As the data URI names it.
        media_type: String,
        /// The encoded file.
        bytes: Vec<u8>,
    },
    /// A whole video.
    Video {
        /// As the data URI names it.
        media_type: String,
        /// The encoded file.
        bytes: Vec<u8>,
    },
    /// A sound.
    Audio {
        /// Such as `wav`.
        format: String,
        /// The encoded file.
        bytes: Vec<u8>,
    },
}

/// All parts of all messages, in order.
///
/// # Panics
///
/// When the request is not one that [`ChatServer`](super::ChatServer) would accept, or its media
/// were replaced by digests.
pub fn parts(body: &Value) -> Vec<SentPart> {
    read(body).expect("the request is well formed and holds its media")
}

/// The words of all messages, joined by line breaks.
pub fn all_text(body: &Value) -> String {
    texts(body, |_| true)
}

/// The words of the system messages, joined by line breaks.
pub fn system_text(body: &Value) -> String {
    texts(body, |role| role == "system")
}

/// Refuses what a real server would refuse.
pub(super) fn check(body: &Value) -> Result<(), String> {
    if !body["model"].is_string() {
        return Err("`model` is missing".to_owned());
    }
    let parts = read(body)?;
    if parts.is_empty() {
        return Err("the messages are empty".to_owned());
    }
    Ok(())
}

/// The body with each medium replaced by its size and digest.
pub(super) fn with_digests(body: &Value) -> Value {
    let mut body = body.clone();
    for part in body["messages"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(|message| message.get_mut("content")?.as_array_mut())
        .flatten()
    {
        if let Ok(Some(digest)) = digest_of(part) {
            let kind = part["type"].as_str().unwrap_or_default().to_owned();
            part[kind] = digest;
        }
    }
    body
}

fn digest_of(part: &Value) -> Result<Option<Value>, String> {
    Ok(match read_part("", part)? {
        SentPart::Text { .. } => None,
        SentPart::Image { media_type, bytes } | SentPart::Video { media_type, bytes } => {
            Some(json!({"media_type": media_type, "bytes": bytes.len(), "sha256": sha256(&bytes)}))
        }
        SentPart::Audio { format, bytes } => {
            Some(json!({"format": format, "bytes": bytes.len(), "sha256": sha256(&bytes)}))
        }
    })
}

fn texts(body: &Value, wanted: impl Fn(&str) -> bool) -> String {
    let mut lines = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        if !wanted(message["role"].as_str().unwrap_or_default()) {
            continue;
        }
        match &message["content"] {
            Value::String(text) => lines.push(text.as_str()),
            Value::Array(parts) => {
                lines.extend(parts.iter().filter_map(|part| part["text"].as_str()));
            }
            _ => {}
        }
    }
    lines.join("\n")
}

fn read(body: &Value) -> Result<Vec<SentPart>, String> {
    let messages = body["messages"]
        .as_array()
        .ok_or("`messages` is not a list")?;
    let mut parts = Vec::new();
    for message in messages {
        let role = message["role"].as_str().ok_or("a message has no `role`")?;
        match &message["content"] {
            Value::String(text) => parts.push(SentPart::Text {
                role: role.to_owned(),
                text: text.clone(),
            }),
            Value::Array(list) => {
                for part in list {
                    parts.push(read_part(role, part)?);
                }
            }
            _ => return Err("a message has no `content`".to_owned()),
        }
    }
    Ok(parts)
}

fn read_part(role: &str, part: &Value) -> Result<SentPart, String> {
    match part["type"].as_str() {
        Some("text") => Ok(SentPart::Text {
            role: role.to_owned(),
            text: field(part, "text")?.to_owned(),
        }),
        Some("image_url") => {
            let (media_type, bytes) = data_uri(field(&part["image_url"], "url")?)?;
            Ok(SentPart::Image { media_type, bytes })
        }
        Some("video_url") => {
            let (media_type, bytes) = data_uri(field(&part["video_url"], "url")?)?;
            Ok(SentPart::Video { media_type, bytes })
        }
        Some("input_audio") => Ok(SentPart::Audio {
            format: field(&part["input_audio"], "format")?.to_owned(),
            bytes: decode(field(&part["input_audio"], "data")?)?,
        }),
        other => Err(format!("unknown part type {other:?}")),
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    value[name]
        .as_str()
        .ok_or_else(|| format!("`{name}` is missing"))
}

fn data_uri(uri: &str) -> Result<(String, Vec<u8>), String> {
    let (media_type, data) = uri
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
        .ok_or("a url is not a base64 data uri")?;
    Ok((media_type.to_owned(), decode(data)?))
}

fn decode(data: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(data)
        .map_err(|error| format!("bad base64: {error}"))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Value {
        json!({"model": "m", "messages": [
            {"role": "system", "content": "judge"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,YWJj"}},
                {"type": "input_audio", "input_audio": {"data": "YWJj", "format": "wav"}},
            ]},
        ]})
    }

    #[test]
    fn a_request_is_taken_apart_in_order() {
        let text = |role: &str, text: &str| SentPart::Text {
            role: role.into(),
            text: text.into(),
        };
        assert_eq!(
            parts(&body()),
            [
                text("system", "judge"),
                text("user", "look"),
                SentPart::Image {
                    media_type: "image/png".into(),
                    bytes: b"abc".to_vec()
                },
                SentPart::Audio {
                    format: "wav".into(),
                    bytes: b"abc".to_vec()
                },
            ]
        );
        assert_eq!(all_text(&body()), "judge\nlook");
        assert_eq!(system_text(&body()), "judge");
    }

    #[test]
    fn digests_stand_in_for_media() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let short = with_digests(&body());
        let sent = &short["messages"][1]["content"];
        assert_eq!(
            sent[1]["image_url"],
            json!({"media_type": "image/png", "bytes": 3, "sha256": digest})
        );
        assert_eq!(sent[2]["input_audio"]["sha256"], digest);
        assert_eq!(sent[0], body()["messages"][1]["content"][0]);
    }

    #[test]
    fn what_a_server_would_refuse_is_refused() {
        assert_eq!(check(&body()), Ok(()));
        let mut bad = body();
        bad["messages"][1]["content"][1]["image_url"]["url"] = json!("data:image/png;base64,?");
        assert!(check(&bad).unwrap_err().contains("base64"));
        bad["messages"][1]["content"][1] = json!({"type": "hologram"});
        assert!(check(&bad).unwrap_err().contains("hologram"));
        assert!(check(&json!({"messages": []})).is_err());
        assert!(check(&json!({"model": "m", "messages": []})).is_err());
    }
}
