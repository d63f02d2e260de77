//! What people sign an act with: their name and their words, as a form or a body brings them.

use crate::{
    failure::Failure,
    view::case::{MAX_COMMENT, MAX_NAME},
    visitor::Visitor,
};

/// The name under which something is done: of whoever has signed in, else the one that was given, without the blanks
/// around it.
///
/// # Errors
/// When the name that was given is empty, longer than [`MAX_NAME`] or holds a control character.
pub(crate) fn name<'n>(visitor: &'n Visitor, by: &'n str) -> Result<&'n str, Failure> {
    if let Some(principal) = &visitor.principal {
        return Ok(&principal.name);
    }
    given("by", by)
}

/// A name that was given in this field, without the blanks around it.
///
/// # Errors
/// When it is empty, longer than [`MAX_NAME`] or holds a control character.
pub(crate) fn given<'n>(field: &str, by: &'n str) -> Result<&'n str, Failure> {
    let by = by.trim();
    if by.is_empty() || by.chars().count() > MAX_NAME || by.chars().any(char::is_control) {
        return Err(Failure::bad_parameter(
            field,
            &format!("a name of 1 to {MAX_NAME} characters"),
        ));
    }
    Ok(by)
}

/// A comment, without the blanks around it and with one kind of line end.
///
/// # Errors
/// When it is longer than [`MAX_COMMENT`].
pub(crate) fn comment(text: &str) -> Result<String, Failure> {
    let comment = text.trim().replace("\r\n", "\n");
    if comment.chars().count() > MAX_COMMENT {
        return Err(Failure::bad_parameter(
            "comment",
            &format!("at most {MAX_COMMENT} characters"),
        ));
    }
    Ok(comment)
}
