//! Columns that line up.

use super::views::printable;

/// Rows under a head, two spaces between columns, none at the end of a line.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let head = head.map(str::to_owned);
    let cells: Vec<[String; N]> =
        std::iter::once(head).chain(rows).map(|row| row.map(|cell| printable(&cell))).collect();
    let mut widths = [0; N];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &cells {
        let line: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Names and values, a line each.
pub(super) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:width$}  {}\n", printable(value));
    pairs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["lämp", "1"], ["a", "12345"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["ID", "N"], rows), "ID    N\nlämp  1\na     12345\n");
        assert_eq!(table(["ID", "N"], []), "ID  N\n");
        assert_eq!(pairs([("a", "1".to_owned()), ("long", "x\u{1b}[2J".to_owned())]), "a     1\nlong  x\\u{1b}[2J\n");
    }
}
