//! Comma-separated tables with a head line (RFC 4180), each row by the names of its columns.

use anyhow::{Context, Result, bail, ensure};

/// A table.
pub(crate) struct Csv {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'t> {
    columns: &'t [String],
    fields: &'t [String],
}

impl Csv {
    /// Reads a table in which every row has all columns.
    pub(crate) fn parse(text: &str) -> Result<Csv> {
        let mut records = records(text)?.into_iter();
        let columns = records.next().context("it is empty")?;
        let rows: Vec<Vec<String>> = records.collect();
        if let Some(row) = rows.iter().find(|row| row.len() != columns.len()) {
            bail!("the row of `{}` has {} fields, not {}", row.join(","), row.len(), columns.len());
        }
        Ok(Csv { columns, rows })
    }

    /// The rows, in the file's order; each is asked only for columns that are there.
    pub(crate) fn rows(&self, needed: &[&str]) -> Result<impl Iterator<Item = Row<'_>>> {
        for column in needed {
            ensure!(self.columns.iter().any(|name| name == column), "it has no column `{column}`");
        }
        Ok(self.rows.iter().map(|fields| Row { columns: &self.columns, fields }))
    }
}

impl<'t> Row<'t> {
    /// The field of a column; empty without one.
    pub(crate) fn get(&self, column: &str) -> &'t str {
        let index = self.columns.iter().position(|name| name == column);
        index.and_then(|index| self.fields.get(index)).map_or("", |field| field.as_str())
    }
}

fn records(text: &str) -> Result<Vec<Vec<String>>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            _ => field.push(c),
        }
    }
    ensure!(!quoted, "a quotation mark is never closed");
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::Csv;

    #[test]
    fn quoted_fields_keep_commas_quotes_and_line_ends() {
        let csv = Csv::parse("a,b\r\n\"1,\"\"2\"\"\n3\",\n4,5").unwrap();
        let rows: Vec<_> = csv.rows(&["a", "b"]).unwrap().map(|row| (row.get("a"), row.get("b"))).collect();
        assert_eq!(rows, [("1,\"2\"\n3", ""), ("4", "5")]);
    }

    #[test]
    fn a_table_with_a_hole_in_it_is_refused() {
        for wrong in ["", "a,b\n1", "a\n1,2", "a\n\"1"] {
            assert!(Csv::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Csv::parse("a\n1").unwrap().rows(&["b"]).is_err());
    }
}
