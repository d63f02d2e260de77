//! Languages. Message identifiers and their arguments are checked against the Chinese texts when the
//! program is built; a test checks that the English ones are complete.

use std::sync::LazyLock;

use axum::http::{HeaderMap, header};
use i18n_embed::{
    LanguageLoader as _,
    fluent::{FluentLanguageLoader, fluent_language_loader},
};

#[derive(rust_embed::RustEmbed)]
#[folder = "i18n/"]
struct Texts;

/// The texts of one language.
pub(crate) type Loader = &'static FluentLanguageLoader;

static ZH: LazyLock<FluentLanguageLoader> = LazyLock::new(|| load("zh-CN"));
static EN: LazyLock<FluentLanguageLoader> = LazyLock::new(|| load("en"));

fn load(tag: &str) -> FluentLanguageLoader {
    let loader = fluent_language_loader!();
    let language = tag.parse().expect("the tags above are language tags");
    loader.load_languages(&Texts, &[language]).expect("the texts are embedded and tested");
    // The marks would stand around every argument, also in attributes and in copied text.
    loader.set_use_isolating(false);
    loader
}

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lang {
    Zh,
    En,
}

impl Lang {
    /// Every language, in the order of [`Lang::index`].
    pub(crate) const ALL: [Lang; 2] = [Lang::Zh, Lang::En];

    pub(crate) fn loader(self) -> Loader {
        match self {
            Lang::Zh => &ZH,
            Lang::En => &EN,
        }
    }

    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Lang::Zh => "zh-CN",
            Lang::En => "en",
        }
    }

    pub(crate) const fn other(self) -> Lang {
        match self {
            Lang::Zh => Lang::En,
            Lang::En => Lang::Zh,
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Lang::Zh => 0,
            Lang::En => 1,
        }
    }

    /// The one of two texts that is in this language.
    pub(crate) fn pick<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }

    pub(crate) fn parse(tag: &str) -> Option<Lang> {
        let primary = tag.trim().split(['-', '_', ';']).next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "zh" => Some(Lang::Zh),
            "en" => Some(Lang::En),
            _ => None,
        }
    }

    /// The language a request asks for: by its cookie, else by its `Accept-Language` in the order
    /// given there, else Chinese.
    pub(crate) fn of(headers: &HeaderMap) -> Lang {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let cookie = text(header::COOKIE).split(';').find_map(|c| c.trim().strip_prefix("lang="));
        cookie
            .and_then(Lang::parse)
            .or_else(|| text(header::ACCEPT_LANGUAGE).split(',').find_map(Lang::parse))
            .unwrap_or(Lang::Zh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The identifiers of a file: what stands before ` = ` at the beginning of a line.
    fn ids(tag: &str) -> BTreeSet<String> {
        let file = Texts::get(&format!("{tag}/sunshine-dashboard.ftl")).expect("embedded");
        let text = String::from_utf8(file.data.into_owned()).expect("UTF-8");
        text.lines()
            .filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase()))
            .map(|l| l.split('=').next().unwrap_or_default().trim().to_owned())
            .collect()
    }

    #[test]
    fn both_languages_have_the_same_messages() {
        let (zh, en) = (ids("zh-CN"), ids("en"));
        assert!(zh.len() > 100, "only {} messages were found", zh.len());
        let missing: Vec<_> = zh.symmetric_difference(&en).collect();
        assert!(missing.is_empty(), "in one language only: {missing:?}");
    }

    #[test]
    fn the_cookie_wins_over_the_browsers_wish() {
        let cases = [
            ("", "", Lang::Zh),
            ("", "en-GB,zh;q=0.5", Lang::En),
            ("", "fr-FR, en;q=0.8", Lang::En),
            ("", "fr", Lang::Zh),
            ("a=b; lang=zh-CN", "en", Lang::Zh),
            ("lang=en", "zh", Lang::En),
            ("lang=xx", "en", Lang::En),
        ];
        for (cookie, accept, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
            assert_eq!(Lang::of(&headers), want, "{cookie:?} {accept:?}");
        }
    }
}
