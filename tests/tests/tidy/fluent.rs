//! The two languages: the same messages in both, none of them empty.

use std::collections::BTreeMap;

use crate::repository::{File, Finding, Repository};

const FOLDER: &str = "dashboard/i18n/";
const LANGUAGES: [&str; 2] = ["en", "zh-CN"];

/// A message, a term or an attribute of one, and where it is.
struct Message {
    path: String,
    line: usize,
    is_empty: bool,
}

/// Both languages have the same messages, each once and none empty.
pub(crate) fn catalogues(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    let [en, zh] = LANGUAGES.map(|language| catalogue(repository, language, &mut findings));
    for (language, here, there) in [(LANGUAGES[0], &zh, &en), (LANGUAGES[1], &en, &zh)] {
        for (id, message) in here.iter().filter(|(id, _)| !there.contains_key(*id)) {
            let what = format!("`{id}` is missing in {FOLDER}{language}");
            let remedy = "say it in both languages, or in neither";
            findings.push(Finding {
                path: message.path.clone(),
                line: message.line,
                what,
                remedy,
            });
        }
    }
    for (id, message) in en.iter().chain(&zh).filter(|(_, message)| message.is_empty) {
        let what = format!("`{id}` says nothing");
        findings.push(Finding {
            path: message.path.clone(),
            line: message.line,
            what,
            remedy: "write the text",
        });
    }
    findings
}

fn catalogue(
    repository: &Repository,
    language: &str,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, Message> {
    let folder = format!("{FOLDER}{language}/");
    let mut all: BTreeMap<String, Message> = BTreeMap::new();
    for file in repository
        .files
        .iter()
        .filter(|f| f.path.starts_with(&folder) && f.path.ends_with(".ftl"))
    {
        for (id, message) in messages(file) {
            if let Some(first) = all.get(&id) {
                let what = format!("`{id}` is said already at {}:{}", first.path, first.line);
                let remedy = "keep one of the two";
                findings.push(Finding {
                    path: message.path,
                    line: message.line,
                    what,
                    remedy,
                });
            } else {
                all.insert(id, message);
            }
        }
    }
    if all.is_empty() {
        let what = "there are no messages".into();
        findings.push(Finding {
            path: folder,
            line: 1,
            what,
            remedy: "add the Fluent catalogue of this language",
        });
    }
    all
}

/// The messages of one file. Text may go on in indented lines; attributes are messages of their own.
fn messages(file: &File) -> Vec<(String, Message)> {
    let mut found: Vec<(String, Message)> = Vec::new();
    let mut parent = String::new();
    for (n, line) in file.text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || line.starts_with('#') {
            continue;
        }
        let is_indented = line.starts_with([' ', '\t']);
        let named = trimmed.split_once('=').filter(|(id, _)| is_identifier(id.trim()));
        let id = match named {
            Some((id, _)) if !is_indented => {
                parent = id.trim().to_owned();
                parent.clone()
            }
            Some((id, _)) if trimmed.starts_with('.') => format!("{parent}{}", id.trim()),
            _ => {
                // The text goes on.
                if let Some((_, message)) = found.last_mut() {
                    message.is_empty = false;
                }
                continue;
            }
        };
        let is_empty = named.is_none_or(|(_, text)| text.trim().is_empty());
        // A message may consist of its attributes alone.
        if let Some(last) = found.last()
            && trimmed.starts_with('.')
            && last.0 == parent
            && last.1.is_empty
        {
            found.pop();
        }
        found.push((
            id,
            Message {
                path: file.path.clone(),
                line: n + 1,
                is_empty,
            },
        ));
    }
    found
}

fn is_identifier(text: &str) -> bool {
    let text = text.strip_prefix(['-', '.']).unwrap_or(text);
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(en: &str, zh: &str) -> Vec<String> {
        let files = [
            ("dashboard/i18n/en/a.ftl", en),
            ("dashboard/i18n/zh-CN/a.ftl", zh),
        ];
        catalogues(&Repository::example(&files))
            .iter()
            .map(|f| format!("{}:{} {}", f.path, f.line, f.what))
            .collect()
    }

    #[test]
    fn catalogues_that_agree_pass() {
        let en = "# Comment = x\na = A\nb =\n    two\n    lines = here\n-brand = Kitchen\nc\n    = odd\nd =\n    .title = D\n";
        let zh =
            "a = 甲\nb = 乙 { $n ->\n    [one] 一\n   *[other] 多\n }\n-brand = 厨房\nd =\n    .title = 丁\n";
        assert_eq!(check(en, zh), Vec::<String>::new());
    }

    #[test]
    fn a_message_of_one_language_only_is_found_either_way() {
        assert_eq!(
            check("a = A\nb = B", "a = 甲"),
            ["dashboard/i18n/en/a.ftl:2 `b` is missing in dashboard/i18n/zh-CN"]
        );
        assert_eq!(
            check("a = A", "a = 甲\n\nb = 乙"),
            ["dashboard/i18n/zh-CN/a.ftl:3 `b` is missing in dashboard/i18n/en"]
        );
        assert_eq!(check("a = A\n    .title = T", "a = 甲").len(), 1);
    }

    #[test]
    fn empty_and_doubled_messages_and_missing_catalogues_are_found() {
        assert_eq!(
            check("a =\nb = B", "a = 甲\nb = 乙"),
            ["dashboard/i18n/en/a.ftl:1 `a` says nothing"]
        );
        assert_eq!(
            check("a = A", "a = 甲\na = 乙"),
            ["dashboard/i18n/zh-CN/a.ftl:2 `a` is said already at dashboard/i18n/zh-CN/a.ftl:1"]
        );
        assert_eq!(catalogues(&Repository::example(&[])).len(), 2);
    }
}
