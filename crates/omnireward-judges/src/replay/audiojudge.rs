use omnireward_core::Order;

use super::{
    Recording,
    detect::{Asked, Source},
    index::{Content, Index, Recorded},
    table::Table,
};
use crate::{Answers, Error, error::RecordError};

/// Reads verdicts on pairs of clips. A prediction is in the order presented; the ground truth
/// beside it never was turned, so the published `correct_column` of swapped rows is not used.
pub(super) fn read_pairs(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    asked.choose_nothing()?;
    let mut index = Index::default();
    for file in files {
        let stem = file.stem();
        Table::open(file)?.for_each(|row| {
            let id = format!(
                "{stem}/{}/{}",
                row.get("item")?,
                row.get("transcript_given")?
            );
            let order = match row.get("orders_swapped")? {
                "0" => Order::AsIs,
                "1" => Order::Swapped,
                other => return Err(RecordError::field("orders_swapped", other, "`0` or `1`")),
            };
            let prediction = Content::Preference(row.winner("prediction_as_presented")?);
            let reasons = row.get("reasoning").ok().map(str::to_owned);
            index.add(
                Some(id),
                Recorded::new(prediction)
                    .in_order(order)
                    .with_rationale(reasons),
            );
            Ok(())
        })?;
    }
    Ok(recording(index))
}

/// Reads verdicts on spoken chat answers, one order each.
pub(super) fn read_chat(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    asked.choose_nothing()?;
    let mut index = Index::default();
    for file in files {
        let stem = file.stem();
        Table::open(file)?.for_each(|row| {
            let id = format!("{stem}/{}", row.get("index")?);
            let prediction = Content::Preference(row.winner("prediction")?);
            index.add(Some(id), Recorded::new(prediction));
            Ok(())
        })?;
    }
    Ok(recording(index))
}

fn recording(index: Index) -> Recording {
    Recording {
        kind: "audiojudge",
        index,
        answers: Answers::letters(),
    }
}
