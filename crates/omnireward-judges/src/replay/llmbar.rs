use omnireward_core::{Order, Preference};

use super::{
    Recording,
    detect::{Asked, Source},
    index::{Content, Index, Recorded},
    table::Table,
};
use crate::{Answers, Error};

/// Reads verdict tables: for each row and evaluator a winner in either order, both already in the
/// dataset's order of responses.
pub(super) fn read(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    let evaluator = asked.choose(evaluators(files)?)?;
    let mut index = Index::default();
    for file in files {
        let subset = file.stem();
        Table::open(file)?.for_each(|row| {
            if row.get("evaluator")? != evaluator {
                return Ok(());
            }
            let id = format!("{subset}/{}", row.get("row")?);
            let shown = row.winner("winner_order1")?;
            let turned = row.winner("winner_order2")?.map(Preference::swapped);
            index.add(Some(id.clone()), Recorded::new(Content::Preference(shown)));
            let turned = Recorded::new(Content::Preference(turned)).in_order(Order::Swapped);
            index.add(Some(id), turned);
            Ok(())
        })?;
    }
    Ok(Recording {
        kind: "llmbar",
        index,
        answers: Answers::llmbar(),
    })
}

fn evaluators(files: &[Source]) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = Vec::new();
    for file in files {
        Table::open(file)?.for_each(|row| {
            let name = row.get("evaluator")?;
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
    }
    Ok(names)
}
