//! Secrets that an operator keeps in files: the first line, without its end.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use anyhow::Context;

/// The most bytes that are read.
const MAX_BYTES: u64 = 4_096;

/// The first line of the file. Blanks count; the line's end does not.
///
/// # Errors
/// When the file cannot be read or its first line is empty or no text.
pub(crate) fn first_line(path: &Path) -> anyhow::Result<String> {
    let what = || format!("cannot read {}; its first line is the secret", path.display());
    let file = std::fs::File::open(path).with_context(what)?;
    let mut line = String::new();
    BufReader::new(file.take(MAX_BYTES))
        .read_line(&mut line)
        .with_context(what)?;
    let line = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(
        !line.is_empty(),
        "{}: the first line is empty; write the secret there",
        path.display()
    );
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_secret_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for (text, want) in [
            ("a secret", Some("a secret")),
            ("first \r\nsecond\n", Some("first ")),
            ("", None),
            ("\nsecond", None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(first_line(&path).ok().as_deref(), want, "{text:?}");
        }
        let missing = first_line(&dir.path().join("nothing")).unwrap_err();
        assert!(format!("{missing:#}").contains("its first line is the secret"));
    }
}
