use omnireward_core::Preference;

use super::detect::Source;
use crate::{Error, error::RecordError};

/// The rows of a CSV file with a header, by column name.
pub(super) struct Table<'a> {
    source: &'a Source,
    columns: csv::StringRecord,
    rows: csv::StringRecordsIntoIter<&'a [u8]>,
}

/// One row of a [`Table`].
pub(super) struct Row<'t> {
    columns: &'t csv::StringRecord,
    cells: csv::StringRecord,
}

impl<'a> Table<'a> {
    pub(super) fn open(source: &'a Source) -> Result<Self, Error> {
        let mut reader = csv::Reader::from_reader(source.bytes.as_slice());
        let columns = reader
            .headers()
            .map_err(|error| RecordError::from(error).at(&source.path, 1))?;
        Ok(Self {
            source,
            columns: columns.clone(),
            rows: reader.into_records(),
        })
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter()
    }

    /// Calls `each` with every row; what it fails with is given the row's line.
    pub(super) fn for_each(
        self,
        mut each: impl FnMut(&Row<'_>) -> Result<(), RecordError>,
    ) -> Result<(), Error> {
        let path = &self.source.path;
        let mut line = 1;
        for cells in self.rows {
            let cells = cells.map_err(|error| {
                let line = error.position().map_or(line + 1, csv::Position::line);
                RecordError::from(error).at(path, line)
            })?;
            line = cells.position().map_or(line + 1, csv::Position::line);
            let row = Row {
                columns: &self.columns,
                cells,
            };
            each(&row).map_err(|error| error.at(path, line))?;
        }
        Ok(())
    }
}

impl Row<'_> {
    /// The cell of a column.
    pub(super) fn get(&self, column: &str) -> Result<&str, RecordError> {
        let position = self.columns.iter().position(|name| name == column);
        position
            .and_then(|position| self.cells.get(position))
            .ok_or_else(|| RecordError::Missing(column.to_owned()))
    }

    /// A cell that says `1`, `2` or `tie`, or nothing when no verdict could be read.
    pub(super) fn winner(&self, column: &str) -> Result<Option<Preference>, RecordError> {
        match self.get(column)? {
            "" => Ok(None),
            "1" => Ok(Some(Preference::First)),
            "2" => Ok(Some(Preference::Second)),
            "tie" => Ok(Some(Preference::Tie)),
            other => Err(RecordError::field(
                column,
                other,
                "`1`, `2`, `tie` or nothing",
            )),
        }
    }
}
