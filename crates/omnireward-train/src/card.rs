use std::fmt::Write;

use omnireward_models::{HeadKind, checkpoint::Family};

use crate::{
    Recipe, TrainingSet,
    metrics::{Agreement, EvaluationRecord},
    recipe::Part,
};

/// What the `README.md` of a trained checkpoint is made from.
#[derive(Clone, Debug)]
pub struct ModelCard<'a> {
    /// The model's name.
    pub name: &'a str,
    /// How it was trained.
    pub recipe: &'a Recipe,
    /// What it is.
    pub family: Family,
    /// The head that gives its rewards.
    pub head: HeadKind,
    /// The step after which it was written.
    pub step: u64,
    /// The training's steps.
    pub steps: u64,
    /// What it learned from, in the recipe's order.
    pub data: &'a [CardData],
    /// How it does on pairs that are held out.
    pub evaluations: &'a [EvaluationRecord],
    /// The difference of rewards below which a tie is the likeliest outcome; 0 when it never is.
    pub tie_margin: f64,
    /// The terms that it is under.
    pub licence: Option<&'a str>,
    /// Sentences that a user has to know.
    pub notes: &'a [String],
}

/// A set that a model learned from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardData {
    /// Its name.
    pub name: String,
    /// The pairs that were taken of it.
    pub pairs: u64,
}

impl CardData {
    /// Of a set that is going to be trained on.
    pub fn of(set: &TrainingSet) -> Self {
        Self {
            name: set.name.clone(),
            pairs: set.pairs.len() as u64,
        }
    }
}

impl ModelCard<'_> {
    /// The whole `README.md`: metadata that the Hugging Face hub reads, then words for people.
    pub fn to_markdown(&self) -> String {
        let sections = [
            self.metadata(),
            self.introduction(),
            self.notes(),
            self.held_out(),
            self.with_omnireward(),
            self.elsewhere(),
            self.training(),
            self.licence(),
        ];
        let written: Vec<String> = sections
            .into_iter()
            .filter(|section| !section.is_empty())
            .collect();
        written.join("\n")
    }

    fn metadata(&self) -> String {
        let mut text = "---\n".to_owned();
        if let Some(base) = hub_name(&self.recipe.model.path) {
            line(&mut text, format_args!("base_model: {}", quoted(base)));
        }
        let sets: Vec<&str> = (self.recipe.data.iter())
            .filter_map(|data| hub_name(&data.path))
            .collect();
        if !sets.is_empty() {
            text.push_str("datasets:\n");
            for name in sets {
                line(&mut text, format_args!("- {}", quoted(name)));
            }
        }
        text.push_str("tags:\n- reward-model\n- preference\n- omnireward\n---\n");
        text
    }

    fn introduction(&self) -> String {
        let Self { name, recipe, .. } = self;
        let ties = if self.tie_margin > 0.0 {
            format!(
                " Two responses whose rewards differ by less than {:.4} are most likely tied.",
                self.tie_margin
            )
        } else {
            String::new()
        };
        format!(
            "# {name}\n\nA reward model: it gives each of several responses a number, under a criterion stated in words, and the \
             better one the higher number. It was trained from `{}` with omnireward {} and is the checkpoint after step {} of {}. \
             Rewards of one prompt and criterion can be compared with one another; their absolute size means nothing.{ties}\n",
            recipe.model.path,
            env!("CARGO_PKG_VERSION"),
            self.step,
            self.steps,
        )
    }

    fn notes(&self) -> String {
        self.notes
            .iter()
            .fold(String::new(), |text, note| format!("{text}> {note}\n"))
    }

    fn held_out(&self) -> String {
        if self.evaluations.is_empty() {
            return String::new();
        }
        let mut text = "## Accuracy on held-out pairs\n\n\
             In percent, on pairs whose label is not a tie unless it says otherwise, with the 95% interval of independent pairs.\n\n\
             | set | after step | task | accuracy | interval | pairs |\n|---|---:|---|---:|---|---:|\n"
            .to_owned();
        for evaluation in self.evaluations {
            let tasks = evaluation
                .tasks
                .iter()
                .map(|task| (task.task.code(), task.agreement))
                .filter(|(_, agreement)| agreement.pairs > 0);
            let all = [
                ("all", evaluation.overall),
                ("all, with ties", evaluation.with_ties),
            ];
            let all = all
                .into_iter()
                .take(if has_ties(evaluation) { 2 } else { 1 });
            for (task, agreement) in tasks.chain(all) {
                text.push_str(&row(evaluation, task, agreement));
            }
        }
        text
    }

    fn with_omnireward(&self) -> String {
        let flags = self.flags();
        format!(
            "## With omnireward\n\n```sh\n\
             omnireward score --model DIR{flags} --input pairs.jsonl --output scores.jsonl\n\
             omnireward eval --judge DIR{flags} --benchmark BENCHMARK --out runs/model\n\
             ```\n\n`DIR` is this folder.\n"
        )
    }

    /// What the program has to be told so that media become what they were in training.
    fn flags(&self) -> String {
        match (self.family, self.recipe.preprocessing_text().as_str()) {
            (Family::MiniCpmO, text) if text != "reference" => format!(" --preprocessing {text}"),
            _ => String::new(),
        }
    }

    fn elsewhere(&self) -> String {
        let how = match (self.family, self.head) {
            (Family::MiniCpmO, HeadKind::Value) => LLAMA_FACTORY,
            (_, HeadKind::Value) => VALUE_HEAD,
            (_, HeadKind::Score | HeadKind::TwoLayerScore) => CLASSIFICATION,
        };
        let adapters = if self.recipe.train.lora.is_some() {
            ADAPTERS
        } else {
            ""
        };
        format!("## With other software\n\n{how}{adapters}")
    }

    fn training(&self) -> String {
        let train = &self.recipe.train;
        let parts: Vec<&str> = train.parts.iter().map(|part| Part::name(*part)).collect();
        let mut text = format!(
            "## Training\n\nTrained parts: {}; the others are those of the base model.\n\n| data | pairs |\n|---|---:|\n",
            parts.join(", ")
        );
        for data in self.data {
            line(
                &mut text,
                format_args!("| {} | {} |", cell(&data.name), data.pairs),
            );
        }
        line(
            &mut text,
            format_args!(
                "\nThe recipe, with the values that it left to defaults:\n\n````toml\n{}````",
                self.recipe.to_toml()
            ),
        );
        text
    }

    fn licence(&self) -> String {
        let text = self.licence.unwrap_or(
            "None was stated. The terms of the base model and of the data apply to what is made from them.",
        );
        format!("## Licence\n\n{text}\n")
    }
}

/// `llamafactory-cli` with the stage that reads a value head.
const LLAMA_FACTORY: &str = "\
LLaMA-Factory, or the fork that Omni-Reward was trained with, gives the same rewards from this folder \
(`value_head.safetensors` holds the head), with the modelling files of the base model beside the weights:

```yaml
model_name_or_path: DIR
trust_remote_code: true
stage: rm
do_predict: true
finetuning_type: full
template: minicpm_o
video_maxlen: 4
eval_dataset: NAME_IN_DATASET_INFO
output_dir: OUT
```
";

/// A value head over the hidden states of a language model, without further libraries.
const VALUE_HEAD: &str = "\
The head is `v_head.summary` in `value_head.safetensors`, as TRL and LLaMA-Factory name it; it reads the last hidden state of \
the last token:

```python
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(\"DIR\")
model = AutoModel.from_pretrained(\"DIR\", dtype=\"auto\")
head = load_file(\"DIR/value_head.safetensors\")
conversation = [{\"role\": \"user\", \"content\": \"…\"}, {\"role\": \"assistant\", \"content\": \"…\"}]
inputs = tokenizer.apply_chat_template(conversation, return_dict=True, return_tensors=\"pt\")
hidden = model(**inputs).last_hidden_state[0, -1].float()
reward = head[\"v_head.summary.weight\"].float() @ hidden + head[\"v_head.summary.bias\"].float()
```
";

/// Sequence classification.
const CLASSIFICATION: &str = "\
transformers reads it as a model for sequence classification with one label:

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(\"DIR\")
model = AutoModelForSequenceClassification.from_pretrained(\"DIR\", dtype=\"auto\")
conversation = [{\"role\": \"user\", \"content\": \"…\"}, {\"role\": \"assistant\", \"content\": \"…\"}]
inputs = tokenizer.apply_chat_template(conversation, return_dict=True, return_tensors=\"pt\")
reward = model(**inputs).logits[0, 0]
```
";

/// Where the low-rank adapters went.
const ADAPTERS: &str = "
The low-rank adapters are merged into the weights.
";

/// Whether a set has pairs labelled as ties.
const fn has_ties(evaluation: &EvaluationRecord) -> bool {
    evaluation.with_ties.pairs > evaluation.overall.pairs
}

fn row(evaluation: &EvaluationRecord, task: &str, agreement: Agreement) -> String {
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    let accuracy = agreement.accuracy.map_or("–".to_owned(), percent);
    let interval = agreement.interval().map_or(String::new(), |(low, high)| {
        format!("{}–{}", percent(low), percent(high))
    });
    format!(
        "| {} | {} | {task} | {accuracy} | {interval} | {} |\n",
        cell(&evaluation.name),
        evaluation.step,
        agreement.pairs
    )
}

/// The repository's name, of what is on the hub.
fn hub_name(path: &str) -> Option<&str> {
    let name = path.strip_prefix("hf:")?;
    Some(name.split_once('@').map_or(name, |(name, _)| name))
}

/// A text in the quotes of JSON, which are those of YAML too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn line(text: &mut String, written: std::fmt::Arguments<'_>) {
    writeln!(text, "{written}").expect("writing to a string succeeds");
}

#[cfg(test)]
mod tests {
    use omnireward_core::Task;

    use super::*;
    use crate::metrics::TaskAgreement;

    const RECIPE: &str = r#"
        [model]
        path = "hf:openbmb/MiniCPM-o-2_6@main"
        preprocessing = "clean"
        [train]
        learning_rate = 2e-6
        steps = 10
        [objective]
        likelihood = "davidson"
        [[data]]
        path = "hf:owner/pairs"
        [[data]]
        path = "here.jsonl"
    "#;

    fn recipe(overrides: &[&str]) -> Recipe {
        let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
        Recipe::parse(RECIPE, "r.toml".as_ref(), &overrides).unwrap()
    }

    fn evaluation() -> EvaluationRecord {
        EvaluationRecord {
            step: 8,
            name: "te|st".into(),
            loss: 0.5,
            overall: Agreement::new(86, 100),
            tasks: vec![
                TaskAgreement {
                    task: Task::T2I,
                    agreement: Agreement::new(3, 4),
                },
                TaskAgreement {
                    task: Task::T2T,
                    agreement: Agreement::new(0, 0),
                },
            ],
            with_ties: Agreement::new(90, 120),
        }
    }

    fn card(recipe: &Recipe, family: Family, head: HeadKind) -> String {
        ModelCard {
            name: "mini",
            recipe,
            family,
            head,
            step: 8,
            steps: 10,
            data: &[CardData {
                name: "pairs".into(),
                pairs: 1234,
            }],
            evaluations: &[evaluation()],
            tie_margin: 0.25,
            licence: Some("CC BY-NC 4.0, as the data."),
            notes: &["Labels follow from a rule.".to_owned()],
        }
        .to_markdown()
    }

    #[test]
    fn a_card_names_what_the_model_was_made_from() {
        let recipe = recipe(&[]);
        let text = card(&recipe, Family::MiniCpmO, HeadKind::Value);
        for expected in [
            "---\nbase_model: \"openbmb/MiniCPM-o-2_6\"\ndatasets:\n- \"owner/pairs\"\ntags:\n",
            "# mini\n",
            "after step 8 of 10",
            "less than 0.2500",
            "> Labels follow from a rule.",
            "| te\\|st | T2I | 75.0 | 30.1–95.4 | 4 |",
            "| te\\|st | all | 86.0 | 77.9–91.5 | 100 |",
            "| te\\|st | all, with ties | 75.0 |",
            "omnireward score --model DIR --preprocessing clean --input",
            "template: minicpm_o",
            "| pairs | 1234 |",
            "Trained parts: decoder, head;",
            "likelihood = \"davidson\"",
            "CC BY-NC 4.0, as the data.",
        ] {
            assert!(text.contains(expected), "`{expected}` is not in\n{text}");
        }
        assert!(!text.contains("| T2T |"), "a task without pairs has no row");
        let written = text.split("````toml\n").nth(1).unwrap();
        let written = written.split("````").next().unwrap();
        assert_eq!(
            Recipe::parse(written, "card".as_ref(), &[]).unwrap(),
            recipe
        );
    }

    #[test]
    fn a_card_says_how_each_head_is_loaded() {
        let text = |family, head| card(&recipe(&[]), family, head);
        assert!(text(Family::Qwen2, HeadKind::Value).contains("load_file(\"DIR/value_head"));
        let classifier = text(Family::Llama, HeadKind::Score);
        assert!(classifier.contains("AutoModelForSequenceClassification"));
        assert!(!classifier.contains("--preprocessing") && !classifier.contains("adapters"));
        let adapted = recipe(&["train.lora={ rank = 4, alpha = 8 }", "model.path=base"]);
        let adapted = card(&adapted, Family::Llama, HeadKind::Score);
        assert!(adapted.contains("adapters are merged") && !adapted.contains("base_model"));
    }
}
