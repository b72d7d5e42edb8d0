use std::fs;

use omnireward_core::{MediaRef, MediaSource, Modality, Task};
use serde_json::json;
use tempfile::TempDir;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::*;

/// A template with a system turn, in the style of Qwen's.
const CHATML: &str = "{% for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message['content'].strip() + '<|im_end|>\\n' }}
{%- endfor %}
{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const START: u32 = 256;
const END: u32 = 257;
const PAD: u32 = 258;

/// A checkpoint's directory with a tokenizer of bytes and three special tokens.
fn checkpoint(template: Value, config: Value) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let vocabulary: Map<String, Value> = alphabet
        .iter()
        .enumerate()
        .map(|(id, letter)| (letter.to_string(), id.into()))
        .collect();
    let special = [(START, "<|im_start|>"), (END, "<|im_end|>"), (PAD, "<pad>")];
    let tokenizer = json!({
        "version": "1.0",
        "truncation": { "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 },
        "padding": null,
        "added_tokens": special.map(|(id, content)| json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })),
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
    });
    let tokenizer_config = json!({
        "bos_token": null,
        "eos_token": { "content": "<|im_end|>", "special": true },
        "chat_template": template,
    });
    for (name, value) in [
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", tokenizer_config),
        ("config.json", config),
    ] {
        fs::write(dir.path().join(name), value.to_string()).expect("a file");
    }
    dir
}

fn open(template: &str) -> Result<ChatProcessor> {
    let config = json!({ "vocab_size": 259, "pad_token_id": PAD });
    ChatProcessor::open(checkpoint(template.into(), config).path())
}

fn pair() -> PreferencePair {
    let responses = ["It is 4.", " Four "].map(Response::text);
    PreferencePair::new("p1", Task::T2T, "What is 2+2?", responses)
}

fn texts(processor: &ChatProcessor, pair: &PreferencePair) -> Vec<String> {
    pair.responses
        .iter()
        .map(|response| processor.conversation(pair, response).expect("it renders"))
        .collect()
}

fn tokens(rows: &[Row]) -> Vec<u32> {
    rows.iter().map(|row| row.token).collect()
}

fn message(error: &Error) -> String {
    error.to_string()
}

#[test]
fn a_conversation_is_laid_out_by_the_template() {
    let processor = open(CHATML).expect("it opens");
    assert!(!processor.criterion_in_prompt());
    assert_eq!(
        texts(&processor, &pair().with_criterion("brevity")),
        [
            "<|im_start|>system\nbrevity<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n\
             <|im_start|>assistant\nIt is 4.<|im_end|>\n",
            "<|im_start|>system\nbrevity<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n\
             <|im_start|>assistant\nFour<|im_end|>\n",
        ]
    );
    assert_eq!(
        texts(&processor, &pair())[1],
        "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\nFour<|im_end|>\n"
    );
}

#[test]
fn a_sequence_is_the_text_as_one_string() {
    let processor = open(CHATML).expect("it opens");
    let sequences = processor.sequences(&pair()).expect("words alone");
    assert_eq!(sequences.len(), 2);
    for (sequence, text) in sequences.iter().zip(texts(&processor, &pair())) {
        let tokens = tokens(sequence);
        assert_eq!((tokens[0], tokens[tokens.len() - 2]), (START, END));
        // One token for each byte but the special tokens, which are one each.
        assert_eq!(tokens.len(), text.len() - 2 * (11 + 9));
        assert_eq!(
            processor.tokenizer.decode(&tokens, false).expect("known"),
            text
        );
    }
}

#[test]
fn a_criterion_without_a_system_turn_goes_before_the_prompt() {
    let refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}\
                    {% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";
    let ignoring =
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}";
    for template in [refusing, ignoring] {
        let processor = open(template).expect("it opens");
        assert!(processor.criterion_in_prompt());
        assert_eq!(
            texts(&processor, &pair().with_criterion("brevity"))[0],
            "[user]brevity\n\nWhat is 2+2?[assistant]It is 4."
        );
    }
}

#[test]
fn a_kept_conversation_is_laid_out_turn_by_turn() {
    let mut pair = pair();
    pair.prompt = vec!["System: Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: 2+2?".into()];
    pair.extra.insert(
        "turns".to_owned(),
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": [{"type": "text", "text": "2+2?"}]},
        ]),
    );
    let turns = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n\
                 <|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\nIt is 4.<|im_end|>\n";
    let processor = open(CHATML).expect("it opens");
    let system = |text: &str| format!("<|im_start|>system\n{text}<|im_end|>\n{turns}");
    assert_eq!(texts(&processor, &pair)[0], system("Be brief."));
    let judged = pair.clone().with_criterion("brevity");
    assert_eq!(texts(&processor, &judged)[0], system("brevity"));

    let ignoring =
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}";
    assert_eq!(
        texts(&open(ignoring).expect("it opens"), &pair)[0],
        "[user]Be brief.\n\nHi[assistant]Hello[user]2+2?[assistant]It is 4."
    );
    // Messages that do not take turns are no conversation; the prompt as written out is used.
    pair.extra.insert(
        "turns".to_owned(),
        json!([{"role": "assistant", "content": "Hello"}]),
    );
    assert!(texts(&processor, &pair)[0].contains("Assistant: Hello\n\nUser: 2+2?"));
}

#[test]
fn the_reward_is_read_at_the_last_token_that_is_not_padding() {
    let template = format!("{CHATML}<pad>{{{{ eos_token }}}}<pad><pad>");
    for (pad, last) in [(json!(PAD), END), (json!(null), PAD), (json!(-1), PAD)] {
        let config = json!({ "vocab_size": 259, "pad_token_id": pad });
        let dir = checkpoint(template.as_str().into(), config);
        let processor = ChatProcessor::open(dir.path()).expect("it opens");
        let sequences = processor.sequences(&pair()).expect("words alone");
        assert_eq!(sequences[0].last(), Some(&Row::token(last)), "{pad}");
    }
    assert_eq!(read_at(&[7, 7, 7], Some(7)), 0);
    assert_eq!(read_at(&[7, 8, 7], Some(7)), 1);
    assert_eq!(read_at(&[7, 8, 7], None), 2);
}

#[test]
fn templates_are_read_as_transformers_reads_them() {
    // Expected texts are those of `apply_chat_template` in transformers 4.57.6.
    let cases = [
        (
            "{%- set ns = namespace(last='') %}\n{%- for m in messages[::-1] %}\n    {%- if m.role == 'user' and ns.last == '' %}\n        {%- set ns.last = m.content.split(' ')[-1] %}\n    {%- endif %}\n{%- endfor %}\n{{- ns.last }}|{% for m in messages %}{{ loop.index0 }}{% if loop.last %}!{% endif %}{{ m.content }}{% endfor %}\n",
            "2+2?|0What is 2+2?1!It is 4.",
        ),
        (
            "{% for m in messages %}\r\n{{ m.content }}\r\n{% endfor %}\rend",
            "What is 2+2?\nIt is 4.\nend",
        ),
        (
            "{% for m in messages %}\n  {% generation %}\n  {{ m | tojson }}\n  {%- endgeneration %}\n  {% if m.content.startswith('What') %}{% continue %}{% endif %}\n{{ m.content | trim | upper }}\n{% endfor %}{{ bos_token }}{{ eos_token }}",
            "  {\"role\": \"user\", \"content\": \"What is 2+2?\"}  {\"role\": \"assistant\", \"content\": \"It is 4.\"}IT IS 4.\n<|im_end|>",
        ),
    ];
    for (template, expected) in cases {
        let processor = open(template).expect("it opens");
        assert_eq!(texts(&processor, &pair())[0], expected);
    }
}

#[test]
fn a_template_is_found_wherever_it_is() {
    let named =
        json!([{ "name": "tool_use", "template": "" }, { "name": "default", "template": CHATML }]);
    let config = json!({ "vocab_size": 259 });
    let dir = checkpoint(named, config.clone());
    let expected = texts(&open(CHATML).expect("it opens"), &pair());
    let texts_of = |dir: &TempDir| {
        let processor = ChatProcessor::open(dir.path()).expect("it opens");
        texts(&processor, &pair())
    };
    assert_eq!(texts_of(&dir), expected);

    let dir = checkpoint(Value::Null, config);
    let error = ChatProcessor::open(dir.path()).expect_err("there is none");
    assert!(message(&error).contains("looked for"), "{error}");
    let json = json!({ "chat_template": CHATML }).to_string();
    fs::write(dir.path().join("chat_template.json"), json).expect("a file");
    assert_eq!(texts_of(&dir), expected);
    fs::write(
        dir.path().join("chat_template.jinja"),
        "{% for m in messages %}{{ m.content }}{% endfor %}",
    )
    .expect("a file");
    assert_eq!(texts_of(&dir)[0], "What is 2+2?It is 4.");
}

#[test]
fn a_template_that_prints_todays_date_is_refused() {
    let template = "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}\
                    {{ date_string }}{% for m in messages %}|{{ m.content }}{% endfor %}";
    let config = json!({ "vocab_size": 259 });
    let dir = checkpoint(template.into(), config);
    let error = ChatProcessor::open(dir.path()).expect_err("the date changes");
    assert!(
        matches!(&error, Error::Template { reason, .. } if reason.contains("today's date")),
        "{error}"
    );
    let fixed = |date: &str| {
        let mut options = ChatOptions::default();
        options
            .variables
            .insert("date_string".to_owned(), date.into());
        ChatProcessor::open_with(dir.path(), &options).expect("the date is fixed")
    };
    assert_eq!(
        texts(&fixed("26 Jul 2024"), &pair())[0],
        "26 Jul 2024|What is 2+2?|It is 4."
    );
    assert_ne!(
        fixed("26 Jul 2024").fingerprint(),
        fixed("27 Jul 2024").fingerprint()
    );
    assert_eq!(
        fixed("26 Jul 2024").fingerprint(),
        fixed("26 Jul 2024").fingerprint()
    );
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let processor = open(CHATML).expect("it opens");
    let mut with_medium = pair();
    with_medium.responses[1] = Response::media(MediaRef {
        modality: Modality::Image,
        source: MediaSource::Absent {
            name: "cat.png".to_owned(),
        },
    });
    let error = processor.sequences(&with_medium).expect_err("a picture");
    assert_eq!(
        message(&error),
        "pair `p1`: medium `cat.png` is of modality image, and this model reads text alone"
    );

    let short = "{% for m in messages %}{% if m.content | length > 20 %}{{ raise_exception('too long') }}{% endif %}{{ m.content }}{% endfor %}";
    let mut long = pair();
    long.responses[0] = Response::text("x".repeat(21));
    let error = open(short)
        .and_then(|processor| processor.sequences(&long))
        .expect_err("the template says so");
    assert!(
        message(&error).starts_with("pair `p1`: the chat template refuses it: ")
            && message(&error).contains("too long"),
        "{error}"
    );

    for template in ["{% for m in messages %}", "{{ messages[0].content }}"] {
        assert!(
            matches!(open(template), Err(Error::Template { .. })),
            "{template}"
        );
    }
    let dir = checkpoint(CHATML.into(), json!({ "vocab_size": 258 }));
    let error = ChatProcessor::open(dir.path()).expect_err("a token too many");
    assert!(message(&error).contains("token `<pad>` is `258`, and the model has `258` tokens"));
    fs::remove_file(dir.path().join("tokenizer.json")).expect("it was there");
    assert!(matches!(
        ChatProcessor::open(dir.path()),
        Err(Error::Io { .. })
    ));
}
