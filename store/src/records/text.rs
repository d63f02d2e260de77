//! Bounds on what people may write into a record.

use super::error::{Problem, RecordError};

/// A name or title: one line, not blank, at most `max` characters.
pub(super) fn check_line(field: &'static str, text: &str, max: usize) -> Result<(), RecordError> {
    if text.trim().is_empty() {
        return Err(RecordError::Invalid {
            field,
            problem: Problem::Empty,
        });
    }
    check_free(field, text, max)?;
    if text.contains(['\n', '\t']) {
        return Err(RecordError::Invalid {
            field,
            problem: Problem::ControlCharacter,
        });
    }
    Ok(())
}

/// Free words, perhaps none: at most `max` characters; line breaks and tabs are allowed.
pub(super) fn check_free(field: &'static str, text: &str, max: usize) -> Result<(), RecordError> {
    // Counting stops at the bound: the text may be hostile and long.
    if text.chars().nth(max).is_some() {
        return Err(RecordError::Invalid {
            field,
            problem: Problem::TooLong { max },
        });
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(RecordError::Invalid {
            field,
            problem: Problem::ControlCharacter,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_free_words_are_bounded() {
        let problem = |result: Result<(), RecordError>| match result {
            Err(RecordError::Invalid { problem, .. }) => Some(problem),
            _ => None,
        };
        let cases = [
            ("王芳", None, None),
            ("", Some(Problem::Empty), None),
            (" \t", Some(Problem::Empty), None),
            ("a\nb", Some(Problem::ControlCharacter), None),
            (
                "a\rb",
                Some(Problem::ControlCharacter),
                Some(Problem::ControlCharacter),
            ),
            (
                "a\u{1b}b",
                Some(Problem::ControlCharacter),
                Some(Problem::ControlCharacter),
            ),
            ("一二三四五", None, None),
            (
                "一二三四五六",
                Some(Problem::TooLong { max: 5 }),
                Some(Problem::TooLong { max: 5 }),
            ),
        ];
        for (text, line, free) in cases {
            assert_eq!(problem(check_line("x", text, 5)), line, "{text:?}");
            assert_eq!(problem(check_free("x", text, 5)), free, "{text:?}");
        }
    }
}
