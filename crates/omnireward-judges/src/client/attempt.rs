//! One request, and what became of it.

use std::{error::Error as StdError, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};

use super::{
    error::{ClientError, Failure},
    openai::{Answer, Completion, ServerError},
    retry::requested_wait,
    secret::Secret,
};

/// How an attempt ended when it brought no answer.
#[derive(Debug)]
pub(super) enum Ended {
    /// Asking again would change nothing.
    Final(ClientError),
    /// It may pass.
    MayPass(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::MayPass(failure)
    }
}

/// What bounds an attempt, and what its errors must not show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) timeout: Duration,
    pub(super) reply_bytes: usize,
    pub(super) longest_wait: Duration,
    pub(super) key: Option<&'a Secret>,
}

/// Sends a body, which is gone from memory once it is sent, and reads the answer.
pub(super) async fn attempt(
    request: reqwest::RequestBuilder,
    body: Bytes,
    terms: Terms<'_>,
) -> Result<Answer, Ended> {
    let response = request
        .header(CONTENT_TYPE, "application/json")
        .timeout(terms.timeout)
        // Plain bytes would be kept for a redirect, until the reply is there.
        .body(reqwest::Body::wrap(Full::new(body)))
        .send()
        .await
        .map_err(|error| failure(error, terms))?;
    let status = response.status();
    let headers = response.headers().clone();
    let body = read_bounded(response, terms).await?;
    if status.is_success() {
        Ok(read_success(&headers, &body, terms.key)?)
    } else {
        read_error(status, &headers, &body, terms)
    }
}

async fn read_bounded(mut response: Response, terms: Terms<'_>) -> Result<Vec<u8>, Failure> {
    let too_large = || Failure::TooLarge {
        limit: terms.reply_bytes,
    };
    let announced = response.content_length().unwrap_or(0);
    if announced > terms.reply_bytes as u64 {
        return Err(too_large());
    }
    let mut body = Vec::with_capacity(announced as usize);
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| failure(error, terms))?
    {
        if body.len() + chunk.len() > terms.reply_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn read_success(headers: &HeaderMap, body: &[u8], key: Option<&Secret>) -> Result<Answer, Failure> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Failure::Empty);
    }
    // Judged by the body first: some servers send JSON under another name.
    let completion: Completion =
        serde_json::from_slice(body).map_err(|error| unreadable(headers, body, &error))?;
    if let Some(error) = completion.error.as_ref().filter(|error| !error.is_null()) {
        return Err(Failure::ErrorInside {
            message: ServerError::from_value(error, key).message,
        });
    }
    completion.into_answer().ok_or(Failure::NoChoice)
}

/// Says what is wrong with a body without repeating any of it.
fn unreadable(headers: &HeaderMap, body: &[u8], error: &serde_json::Error) -> Failure {
    match headers.get(CONTENT_TYPE).map(|value| value.to_str()) {
        Some(Ok(content_type)) if !content_type.contains("json") => Failure::ContentType {
            content_type: content_type.chars().take(80).collect(),
        },
        _ if error.is_eof() => Failure::HalfJson { bytes: body.len() },
        _ => Failure::Malformed {
            line: error.line(),
            column: error.column(),
        },
    }
}

fn read_error(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    terms: Terms<'_>,
) -> Result<Answer, Ended> {
    let error = ServerError::read(body, terms.key);
    let code = status.as_u16();
    match code {
        401 | 403 => Err(Ended::Final(ClientError::Unauthorized {
            status: code,
            message: error.message,
        })),
        408 | 409 | 425 | 429 | 500.. if !error.is_out_of_credit() => {
            Err(passing(code, error.message, requested_wait(headers), terms).into())
        }
        400 if error.is_refusal() => Ok(error.into_refusal()),
        // Redirects are not followed, so that a key is sent to one server only.
        _ => Err(Ended::Final(ClientError::Rejected {
            status: code,
            message: error.message,
        })),
    }
}

fn passing(status: u16, message: String, wait: Option<Duration>, terms: Terms<'_>) -> Failure {
    match wait {
        Some(asked) if asked > terms.longest_wait => Failure::WaitTooLong {
            status,
            asked_s: asked.as_secs_f64(),
            most_s: terms.longest_wait.as_secs_f64(),
        },
        wait => Failure::Status {
            status,
            message,
            wait,
        },
    }
}

fn failure(error: reqwest::Error, terms: Terms<'_>) -> Failure {
    if error.is_connect() {
        Failure::Unreachable {
            reason: innermost(&error),
        }
    } else if error.is_timeout() {
        Failure::Timeout {
            seconds: terms.timeout.as_secs_f64(),
        }
    } else {
        Failure::Broken {
            reason: innermost(&error),
        }
    }
}

/// The message of the innermost cause: the outer ones name the URL and say nothing more.
fn innermost(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::oneshot,
    };

    use super::{super::OpenAiConfig, *};

    /// The bytes of a body, whose freeing can be seen.
    struct Watched(
        Vec<u8>,
        #[expect(dead_code, reason = "dropped with the bytes")] Arc<()>,
    );

    impl AsRef<[u8]> for Watched {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    #[tokio::test]
    async fn a_sent_body_is_freed_before_the_reply() {
        let length = 3_000_000;
        let held = Arc::new(());
        let watch = Arc::downgrade(&held);
        let body = Bytes::from_owner(Watched(vec![b' '; length], held));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, told) = oneshot::channel();
        let server = tokio::spawn(serve_once(listener, length, watch, tell));
        let client = super::super::http_client(&OpenAiConfig::new(&url, "m")).unwrap();
        let terms = Terms {
            timeout: Duration::from_secs(20),
            reply_bytes: 1 << 20,
            longest_wait: Duration::ZERO,
            key: None,
        };
        let answer = attempt(client.post(url), body, terms).await.unwrap();
        assert_eq!(answer.reply.text, "hi");
        server.await.unwrap();
        let (head, freed) = told.await.unwrap();
        assert!(freed, "the body was still there when the reply was awaited");
        assert!(
            head.contains(&format!("content-length: {length}")),
            "{head}"
        );
    }

    /// Reads one request, and tells its head and whether the sender's copy of it is gone before
    /// anything is answered.
    async fn serve_once(
        listener: TcpListener,
        length: usize,
        watch: Weak<()>,
        tell: oneshot::Sender<(String, bool)>,
    ) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        let head = loop {
            stream.read_buf(&mut received).await.unwrap();
            let end = received.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end.map(|start| start + 4)
                && received.len() >= end + length
            {
                break String::from_utf8_lossy(&received[..end]).to_lowercase();
            }
        };
        // The sender may need a moment to notice that it is done.
        for _ in 0..100 {
            if watch.strong_count() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tell.send((head, watch.strong_count() == 0)).unwrap();
        let reply = r#"{"choices": [{"message": {"content": "hi"}}]}"#;
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{reply}",
            reply.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
    }
}
