//! Columns, ages and strangers' text in them, as kubectl prints them.

/// Columns as wide as their widest cell, three spaces apart, as docker and kubectl print them.
pub fn table(rows: &[Vec<String>]) -> String {
    Columns::default().text(rows)
}

/// As [`table`], with the last column broken between words so that rows fit into `width` columns; where that leaves it too little room,
/// each last cell is below its row.
pub fn fitting_table(rows: &[Vec<String>], width: Option<usize>) -> String {
    let mut columns = Columns::default();
    let whole = columns.text(rows);
    let Some(width) = width else { return whole };
    let room = width.saturating_sub(columns.0.iter().map(|column| column + 3).sum());
    if room < NARROWEST {
        let indent = columns.0.first().map_or(0, |column| column + 3);
        let parts = rows.iter().filter_map(|row| row.split_last());
        let below = parts.map(|(last, before)| {
            let lines = broken(last, width.saturating_sub(indent).max(NARROWEST));
            let lines: String = lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect();
            columns.text(&[before.to_vec()]) + &lines
        });
        return below.collect();
    }
    let broken = rows.iter().flat_map(|row| {
        let (last, before) = row.split_last().map_or(("", row.as_slice()), |(last, before)| (last.as_str(), before));
        broken(last, room).into_iter().enumerate().map(move |(n, line)| {
            let begin = before.iter().map(move |cell| if n == 0 { cell.clone() } else { String::new() });
            begin.chain([line]).collect()
        })
    });
    columns.text(&broken.collect::<Vec<Vec<String>>>())
}

/// In fewer columns a broken text is hard to read.
const NARROWEST: usize = 24;

/// `text` in lines of at most `room` characters, but for words that are longer.
fn broken(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The widths of a table that is printed in parts: they only grow.
#[derive(Debug, Default)]
pub struct Columns(Vec<usize>);

impl Columns {
    /// More rows, below those before.
    pub fn text(&mut self, rows: &[Vec<String>]) -> String {
        for row in rows {
            // The last cell of a row is not filled up, so its width is nobody's concern.
            for (column, cell) in row.iter().enumerate().take(row.len().saturating_sub(1)) {
                let width = cell.chars().count();
                match self.0.get_mut(column) {
                    Some(known) => *known = width.max(*known),
                    None => self.0.push(width),
                }
            }
        }
        let mut text = String::new();
        for row in rows {
            let cells = row.iter().enumerate();
            let cells: Vec<String> =
                cells.map(|(n, cell)| format!("{cell:<width$}", width = self.0.get(n).copied().unwrap_or(0))).collect();
            text.push_str(cells.join("   ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A row of cells.
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A stranger's text as one line that is harmless on a terminal.
pub fn one_line(text: &str) -> String {
    super::harmless(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// How long a time is, in kubectl's words (apimachinery, `duration.HumanDuration`): `5s`, `3m20s`, `2d4h`.
pub fn lasting(seconds: i64) -> String {
    let two = |first: i64, unit: &str, second: i64, smaller: &str| match second {
        0 => format!("{first}{unit}"),
        _ => format!("{first}{unit}{second}{smaller}"),
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        // Clocks may differ by a second.
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 120 => format!("{}s", seconds.max(0)),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if days < 2 * 365 => format!("{days}d"),
        () if days < 8 * 365 => two(days / 365, "y", days % 365, "d"),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        assert_eq!(table(&[row(["A", "BB"]), row(["aaa", "b"])]), "A     BB\naaa   b\n");
        assert_eq!(table(&[row(["a", ""]), row(["", "b"])]), "a\n    b\n");
        let mut columns = Columns::default();
        assert_eq!(columns.text(&[row(["aaaa", "b"])]), "aaaa   b\n");
        assert_eq!(columns.text(&[row(["a", "a long last cell"])]), "a      a long last cell\n");
        assert_eq!(columns.text(&[row(["a", "b"])]), "a      b\n");
    }

    #[test]
    fn the_last_column_is_broken_where_it_has_room() {
        let rows = [row(["A", "HOW"]), row(["a", "one two three four five six"])];
        assert_eq!(fitting_table(&rows, Some(30)), "A   HOW\na   one two three four five\n    six\n");
        assert_eq!(fitting_table(&rows, Some(20)), "A\n    HOW\na\n    one two three four five\n    six\n");
        assert_eq!(fitting_table(&rows, None), table(&rows));
    }

    #[test]
    fn strangers_keep_to_their_line() {
        assert_eq!(one_line("a\n\tb  \u{1b}[2Jc\r\n"), "a b \u{fffd}[2Jc");
    }

    #[test]
    fn times_last_as_long_as_kubectl_says() {
        for (seconds, text) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (600, "10m"),
            (3 * 3600 - 1, "179m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 61, "3h1m"),
            (8 * 3600, "8h"),
            (47 * 3600, "47h"),
            (48 * 3600, "2d"),
            (53 * 3600, "2d5h"),
            (8 * 86400, "8d"),
            (729 * 86400, "729d"),
            (731 * 86400, "2y1d"),
            (9 * 365 * 86400, "9y"),
        ] {
            assert_eq!(lasting(seconds), text, "{seconds}");
        }
    }
}
