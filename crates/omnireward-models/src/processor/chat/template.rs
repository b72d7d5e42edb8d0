use std::path::{Path, PathBuf};

use minijinja::{
    AutoEscape, Environment, ErrorKind, Value,
    syntax::SyntaxConfig,
    value::{Kwargs, Serde},
};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::{Map, ser::Formatter};

use crate::{Error, Result, processor::chat::files::Files};

const NAME: &str = "chat_template";

/// A checkpoint's chat template, with what Hugging Face transformers gives such templates.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
    path: PathBuf,
    source: String,
    /// Special tokens, then the caller's variables.
    variables: Map<String, serde_json::Value>,
}

/// A turn of a conversation.
#[derive(Debug, Serialize)]
pub(crate) struct Message {
    role: &'static str,
    content: Content,
}

/// What is said in a turn.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    /// Words alone, as templates of text models expect them.
    Words(String),
    /// Words and places of media, as templates of models with towers expect them.
    Parts(Vec<ContentPart>),
}

/// Words, or the place of a medium.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ContentPart {
    Text { text: String },
    Image,
    Video,
    Audio,
}

impl From<String> for Content {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

impl From<Vec<ContentPart>> for Content {
    fn from(parts: Vec<ContentPart>) -> Self {
        Self::Parts(parts)
    }
}

impl Message {
    pub(crate) fn system(content: impl Into<Content>) -> Self {
        Self {
            role: "system",
            content: content.into(),
        }
    }

    pub(crate) fn user(content: impl Into<Content>) -> Self {
        Self {
            role: "user",
            content: content.into(),
        }
    }

    pub(crate) fn assistant(content: impl Into<Content>) -> Self {
        Self {
            role: "assistant",
            content: content.into(),
        }
    }
}

impl Template {
    pub(crate) fn new(files: &Files, variables: Map<String, serde_json::Value>) -> Result<Self> {
        let mut all = files.special_tokens.clone();
        all.extend(variables);
        Ok(Self {
            environment: environment(&files.template, &files.template_path)?,
            path: files.template_path.clone(),
            source: files.template.clone(),
            variables: all,
        })
    }

    /// The conversation as text, without the beginning of a further turn; what went wrong otherwise.
    pub(crate) fn render(&self, messages: &[Message]) -> Result<String, String> {
        self.text(messages, false)
    }

    /// The conversation as text, with the beginning of the turn that is to be written; what went wrong otherwise.
    pub(crate) fn render_prompt(&self, messages: &[Message]) -> Result<String, String> {
        self.text(messages, true)
    }

    /// Refuses a template that does not begin the turn that is to be written.
    pub(crate) fn check_prompt(&self) -> Result<()> {
        let messages = [Message::user("probe-prompt".to_owned())];
        let texts = [self.render(&messages), self.render_prompt(&messages)];
        let [finished, begun] = texts.map(|text| text.map_err(|reason| self.error(reason)));
        if finished? == begun? {
            return Err(self.error(
                "it has no generation prompt: it does not begin the turn that the model is to write"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn text(&self, messages: &[Message], is_prompt: bool) -> Result<String, String> {
        let mut context = Map::new();
        context.insert("tools".to_owned(), serde_json::Value::Null);
        context.insert("documents".to_owned(), serde_json::Value::Null);
        context.extend(self.variables.clone());
        context.insert("add_generation_prompt".to_owned(), is_prompt.into());
        let messages = serde_json::to_value(messages).map_err(|error| error.to_string())?;
        context.insert("messages".to_owned(), messages);
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(Serde(context)))
            .map_err(|error| error.to_string())
    }

    /// An error about this template.
    pub(crate) fn error(&self, reason: String) -> Error {
        error(&self.path, reason)
    }

    /// All that a conversation's text depends on but the conversation.
    pub(crate) fn identity(&self) -> String {
        format!(
            "{}\n{}",
            self.source,
            serde_json::Value::Object(self.variables.clone())
        )
    }
}

fn error(path: &Path, reason: String) -> Error {
    Error::Template {
        path: path.to_owned(),
        reason,
    }
}

fn environment(source: &str, path: &Path) -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .map_err(|cause| error(path, cause.to_string()))?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", tojson);
    environment
        .add_template_owned(NAME, without_generation_marks(&with_plain_newlines(source)))
        .map_err(|cause| error(path, cause.to_string()))?;
    Ok(environment)
}

fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    Err(refusal(message))
}

fn strftime_now(_format: String) -> Result<Value, minijinja::Error> {
    Err(refusal(
        "it asks for today's date, on which a reward must not depend; give it the date as a variable \
         (`date_string` in Llama's templates)",
    ))
}

fn refusal(message: impl Into<String>) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, message.into())
}

/// JSON as Python writes it, which does not escape for HTML as Jinja's own filter does.
fn tojson(value: &Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(refusal("`tojson` with `ensure_ascii` is not supported"));
    }
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let written = match indent {
        Some(width) => {
            let indent = " ".repeat(width);
            let pretty = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(
                &mut bytes, pretty,
            ))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(
            &mut bytes, PythonJson,
        )),
    };
    written.map_err(|error| refusal(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| refusal(error.to_string()))
}

/// A blank after commas and colons.
struct PythonJson;

impl Formatter for PythonJson {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The template with each line ended by a newline alone, as Jinja reads it.
fn with_plain_newlines(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

/// The template without `generation` blocks, by which Hugging Face transformers marks what the assistant said. They
/// change no text, so each becomes a condition that holds.
fn without_generation_marks(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        let Some(end) = tag.find("%}") else { break };
        let (tag, after) = tag.split_at(end + 2);
        result.push_str(before);
        let word =
            tag[2..tag.len() - 2].trim_matches(|c: char| "+-".contains(c) || c.is_whitespace());
        match word {
            "generation" => result.push_str(&tag.replace(word, "if true")),
            "endgeneration" => result.push_str(&tag.replace(word, "endif")),
            _ => result.push_str(tag),
        }
        rest = after;
    }
    result.push_str(rest);
    result
}
