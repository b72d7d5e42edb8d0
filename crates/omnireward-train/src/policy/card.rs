use std::fmt::Write;

use crate::grpo::VerdictsRecord;

/// What the `README.md` of a checkpoint that writes is made from.
pub(crate) struct WriterCard<'a> {
    /// The model's name.
    pub(crate) name: &'a str,
    /// The checkpoint that it was trained from.
    pub(crate) base: &'a str,
    /// By what: a word for people.
    pub(crate) method: &'a str,
    /// The step, or round, after which it was written, and all of them.
    pub(crate) step: u64,
    pub(crate) steps: u64,
    /// The whole recipe.
    pub(crate) recipe: &'a str,
    /// How its verdicts are on pairs that are held out.
    pub(crate) verdicts: &'a [VerdictsRecord],
}

impl WriterCard<'_> {
    /// The whole `README.md`.
    pub(crate) fn to_markdown(&self) -> String {
        let Self {
            name,
            base,
            method,
            step,
            steps,
            recipe,
            ..
        } = self;
        let version = env!("CARGO_PKG_VERSION");
        let verdicts = self.verdicts();
        format!(
            "---\ntags:\n- judge\n- preference\n- omnireward\n---\n# {name}\n\nA judge that writes: it reads a criterion, a \
             prompt and two responses, gives reasons and says which response is better. It was trained from `{base}` by \
             {method} with omnireward {version} and is the checkpoint after step {step} of {steps}.\n\n{verdicts}## \
             With omnireward\n\n    omnireward eval --judge DIR --benchmark BENCHMARK --out RUN\n\n## Training\n\n\
             ````toml\n{recipe}````\n"
        )
    }

    fn verdicts(&self) -> String {
        if self.verdicts.is_empty() {
            return String::new();
        }
        let mut text = "## Verdicts on held-out pairs\n\nIn percent; each pair is asked about in both orders, and a reply that \
             cannot be read is wrong.\n\n| set | after step | task | right | replies |\n|---|---:|---|---:|---:|\n"
            .to_owned();
        for record in self.verdicts {
            let VerdictsRecord { step, name, .. } = record;
            let tasks = record.tasks.iter();
            let rows = tasks.map(|task| (task.task.code(), task.agreement));
            for (what, agreement) in rows.chain([("all", record.overall)]) {
                let share = 100.0 * agreement.accuracy.unwrap_or(f64::NAN);
                let pairs = agreement.pairs;
                row(
                    &mut text,
                    format_args!("| {name} | {step} | {what} | {share:.1} | {pairs} |"),
                );
            }
            let orders = 100.0 * record.orders.accuracy.unwrap_or(f64::NAN);
            row(
                &mut text,
                format_args!("| {name} | {step} | the same in both orders | {orders:.1} | |"),
            );
        }
        text.push('\n');
        text
    }
}

fn row(text: &mut String, row: std::fmt::Arguments<'_>) {
    writeln!(text, "{row}").expect("a string can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Agreement;

    #[test]
    fn a_card_says_how_it_was_made_and_how_it_does() {
        let verdicts = [VerdictsRecord {
            step: 3,
            name: "test".to_owned(),
            overall: Agreement::new(3, 4),
            tasks: Vec::new(),
            orders: Agreement::new(1, 2),
            unread: 1,
            cut: 0,
            tokens: 9.0,
        }];
        let card = WriterCard {
            name: "mini",
            base: "base",
            method: "GRPO",
            step: 3,
            steps: 8,
            recipe: "a = 1\n",
            verdicts: &verdicts,
        };
        let text = card.to_markdown();
        for expected in [
            "# mini\n",
            "from `base` by GRPO",
            "after step 3 of 8",
            "| test | 3 | all | 75.0 | 4 |",
            "| test | 3 | the same in both orders | 50.0 | |",
            "````toml\na = 1\n````",
        ] {
            assert!(text.contains(expected), "`{expected}` is not in\n{text}");
        }
    }
}
