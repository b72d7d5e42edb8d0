use super::{
    Recording,
    detect::{Asked, Source},
    index::{Content, Index, Recorded},
    table::Table,
};
use crate::{Answers, Error};

/// Reads vote tables: a column for each judge, holding what its reply said between brackets. The
/// two kinds of tie read as one; the token itself stays in the raw reply.
pub(super) fn read(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    let mut judges = Vec::new();
    for file in files {
        judges.extend(judges_of(&Table::open(file)?));
    }
    let judge = asked.choose(judges)?;
    let mut index = Index::default();
    for file in files {
        let subset = file.stem();
        let table = Table::open(file)?;
        if !table.columns().any(|column| column == judge) {
            continue;
        }
        table.for_each(|row| {
            let id = format!("{subset}/{}", row.get("idx")?);
            let reply = Content::Reply(row.get(&judge)?.to_owned());
            index.add(Some(id), Recorded::new(reply));
            Ok(())
        })?;
    }
    Ok(Recording {
        kind: "genai-bench",
        index,
        answers: Answers::genai_bench(),
    })
}

/// The columns that are judges: all but the row's number, the human vote and `<judge>:correct`.
fn judges_of(table: &Table<'_>) -> Vec<String> {
    let is_judge =
        |column: &&str| !matches!(*column, "idx" | "human_vote") && !column.contains(':');
    table
        .columns()
        .filter(is_judge)
        .map(str::to_owned)
        .collect()
}
