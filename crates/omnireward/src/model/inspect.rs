//! `omnireward model inspect`: what a checkpoint is.

use anyhow::{Context, Result};
use omnireward_models::checkpoint::{
    self, Inspection,
    inspect::{Format, PartSummary, Sizes, TokenizerSummary},
};

use super::{
    args::InspectArgs,
    local,
    table::{Page, WIDTH, counted, grouped, size, tail},
};
use crate::{Outcome, printer};

pub(super) async fn inspect(args: &InspectArgs, quiet: bool) -> Result<Outcome> {
    let found = local(&args.model, quiet).await?;
    let mut inspection = tokio::task::block_in_place(|| checkpoint::inspect(found.path()))
        .with_context(|| format!("cannot inspect `{}`", args.model))?;
    found.shown().clone_into(&mut inspection.path);
    if args.json {
        let json = serde_json::to_string_pretty(&inspection)?;
        printer::data(&format!("{json}\n"))?;
    } else {
        page(&inspection).print()?;
    }
    Ok(Outcome::Done)
}

fn page(inspection: &Inspection) -> Page {
    let mut page = Page::new();
    title(&mut page, inspection);
    page.line("");
    parts(&mut page, inspection);
    page.line("");
    if let Some(sizes) = &inspection.sizes {
        architecture(&mut page, sizes);
    }
    if let Some(tokenizer) = &inspection.tokenizer {
        tokens(&mut page, tokenizer);
    }
    if let Some(template) = &inspection.template {
        let date = if template.asks_for_date {
            "asks for today's date"
        } else {
            "asks for no date"
        };
        let words = format!(
            "{}, {} characters, {date}",
            template.file,
            grouped(template.characters as u64)
        );
        page.entry("template", &words);
    }
    memory(&mut page, inspection);
    page.line("");
    files(&mut page, inspection);
    if !inspection.notes.is_empty() {
        page.line("");
    }
    for note in &inspection.notes {
        page.paragraph(0, &format!("note: {note}"));
    }
    page
}

fn title(page: &mut Page, inspection: &Inspection) {
    let name = match inspection.family {
        Some(family) => family.to_string(),
        None => format!("{}, which is not known here", inspection.class),
    };
    let head = match inspection.heads.as_slice() {
        [] => "no reward head".to_owned(),
        [head] => head.to_string(),
        [one, other, ..] => format!("two heads: {one}, {other}"),
    };
    let title = page.strong(&format!("{name} · {head}"));
    page.line(&title);
    page.line(&tail(&inspection.path.display().to_string(), WIDTH));
    let format = match inspection.format {
        Format::Safetensors => "safetensors",
        Format::Gguf => "GGUF",
    };
    let types: Vec<&str> = inspection
        .types
        .iter()
        .map(|types| types.stored.as_str())
        .collect();
    page.paragraph(
        0,
        &format!(
            "{format}, {} · {} · {} parameters · {}",
            counted(inspection.files.len(), "file"),
            types.join(", "),
            grouped(inspection.parameters()),
            size(inspection.bytes()),
        ),
    );
}

fn parts(page: &mut Page, inspection: &Inspection) {
    let head = format!(
        "{:<17}{:>8} {:>16} {:>9} {:>6}",
        "part", "tensors", "parameters", "size", "share"
    );
    let head = page.faint(&head);
    page.line(&head);
    let total = inspection.bytes();
    for part in &inspection.parts {
        let name = part
            .part
            .map_or_else(|| "other".to_owned(), |part| part.to_string());
        part_line(page, &name, part, total);
    }
    let all = PartSummary {
        part: None,
        tensors: inspection.parts.iter().map(|part| part.tensors).sum(),
        parameters: inspection.parameters(),
        bytes: total,
    };
    part_line(page, "all", &all, total);
}

fn part_line(page: &mut Page, name: &str, part: &PartSummary, total: u64) {
    const BAR: f64 = 18.0;
    let share = part.bytes as f64 / total.max(1) as f64;
    let bar = "━".repeat((share * BAR).round() as usize);
    page.line(&format!(
        "{name:<17}{:>8} {:>16} {:>9} {:>5.1}%  {bar}",
        grouped(part.tensors as u64),
        grouped(part.parameters),
        size(part.bytes),
        100.0 * share,
    ));
}

fn architecture(page: &mut Page, sizes: &Sizes) {
    page.entry(
        "decoder",
        &format!(
            "{} layers of {}, {} query and {} key-value heads of {}, feed-forward {}",
            sizes.layers,
            grouped(sizes.hidden as u64),
            sizes.heads,
            sizes.kv_heads,
            sizes.head_dim,
            grouped(sizes.intermediate as u64),
        ),
    );
    let output = if sizes.is_tied {
        "shared with the output"
    } else {
        "not shared with the output"
    };
    page.entry(
        "context",
        &format!(
            "{} tokens · vocabulary of {}, {output}",
            grouped(sizes.context as u64),
            grouped(sizes.vocabulary as u64),
        ),
    );
    for (tower, shape) in [("vision", sizes.vision), ("audio", sizes.audio)] {
        if let Some((layers, hidden)) = shape {
            page.entry(
                tower,
                &format!("{layers} layers of {}", grouped(hidden as u64)),
            );
        }
    }
}

fn tokens(page: &mut Page, tokenizer: &TokenizerSummary) {
    page.entry(
        "tokenizer",
        &format!(
            "{} tokens, {} of them added, last id {}",
            grouped(tokenizer.tokens as u64),
            tokenizer.added,
            grouped(u64::from(tokenizer.last_id)),
        ),
    );
    let roles: Vec<String> = tokenizer
        .roles
        .iter()
        .map(|(role, token, id)| {
            let id = id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
            format!("{} {token} ({id})", role.trim_end_matches("_token"))
        })
        .collect();
    if !roles.is_empty() {
        page.entry("", &roles.join(" · "));
    }
}

fn memory(page: &mut Page, inspection: &Inspection) {
    let Some(memory) = inspection.memory else {
        return;
    };
    page.entry(
        "memory",
        &format!(
            "to score, {} of weights, mapped ({} more are read in small part or not at all), and about {} of \
             activations for {} tokens at once in bf16, {} in f32",
            size(memory.weights),
            size(memory.unread),
            size(memory.activations_bf16),
            grouped(memory.rows as u64),
            size(memory.activations_f32),
        ),
    );
}

fn files(page: &mut Page, inspection: &Inspection) {
    const NAME: usize = 53;
    let head = page.faint(&format!("{:<NAME$}{:>10} {:>8}", "file", "size", "tensors"));
    page.line(&head);
    for file in &inspection.files {
        page.line(&format!(
            "{:<NAME$}{:>10} {:>8}",
            tail(&file.name, NAME),
            file.bytes.map_or_else(|| "missing".to_owned(), size),
            grouped(file.tensors as u64),
        ));
    }
}
