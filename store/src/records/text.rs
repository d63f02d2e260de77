//! Bounds on what people may write into a record.

use super::error::{Problem, RecordError};

/// A name or title: one line, not blank, at most `max` characters.
pub(super) fn check_line(field: &'static str, text: &str, max: usize) -> Result<(), RecordError> {
    refuse(field, problem_of_line(text, max))
}

/// Free words, perhaps none: at most `max` characters; line breaks and tabs are allowed.
pub(super) fn check_free(field: &'static str, text: &str, max: usize) -> Result<(), RecordError> {
    refuse(field, problem_of_words(text, max))
}

/// What is wrong with a name or title, if anything.
pub(crate) fn problem_of_line(text: &str, max: usize) -> Option<Problem> {
    if text.trim().is_empty() {
        return Some(Problem::Empty);
    }
    let broken = text.contains(['\n', '\t']).then_some(Problem::ControlCharacter);
    problem_of_words(text, max).or(broken)
}

fn problem_of_words(text: &str, max: usize) -> Option<Problem> {
    // Counting stops at the bound: the text may be hostile and long.
    if text.chars().nth(max).is_some() {
        return Some(Problem::TooLong { max });
    }
    let controls = text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    controls.then_some(Problem::ControlCharacter)
}

fn refuse(field: &'static str, problem: Option<Problem>) -> Result<(), RecordError> {
    match problem {
        None => Ok(()),
        Some(problem) => Err(RecordError::Invalid { field, problem }),
    }
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
