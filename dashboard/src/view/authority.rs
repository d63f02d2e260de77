//! On whose authority a rule judges, in the visitor's language.

use domain::{Confidence, Rule};
use i18n_embed_fl::fl;

use crate::{format::Locale, i18n::Lang};

/// What stands between a text's Chinese and its English in the rule packs.
const BETWEEN: &str = " / ";

/// On whose authority a rule judges.
pub(crate) struct Authority {
    pub(crate) clause: String,
    pub(crate) edition: String,
    pub(crate) source: String,
}

impl Authority {
    pub(crate) fn of(locale: &Locale, rule: &Rule) -> Authority {
        let own = rule.confidence == Confidence::Engineering;
        let say = |text: &str| in_language(text, locale.lang).to_owned();
        Authority {
            // What a pack says of our own judgement is no clause.
            clause: if own {
                fl!(locale.l, "clause-none")
            } else {
                say(&rule.clause)
            },
            edition: say(&rule.edition),
            source: say(&rule.source),
        }
    }
}

/// The part of `text` that is in this language; the whole where it has one wording only, as a year has.
fn in_language(text: &str, lang: Lang) -> &str {
    match (text.split_once(BETWEEN), lang) {
        (Some((zh, _)), Lang::Zh) => zh,
        (Some((_, en)), Lang::En) => en,
        (None, _) => text,
    }
}

#[cfg(test)]
mod tests {
    use domain::pack;

    use super::*;

    fn is_chinese(text: &str) -> bool {
        text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
    }

    fn cited(rules: &[Rule]) -> impl Iterator<Item = (&Rule, &String)> {
        rules
            .iter()
            .flat_map(|rule| [&rule.clause, &rule.edition, &rule.source].map(|text| (rule, text)))
    }

    #[test]
    fn the_usual_packs_cite_their_authority_in_chinese() {
        let rules = pack::active(&pack::DEFAULT_PACKS).expect("the default packs are built in");
        assert!(rules.len() > 10, "only {} rules", rules.len());
        for (rule, text) in cited(&rules) {
            let zh = in_language(text, Lang::Zh);
            // A year needs no translation.
            let neutral = !text.chars().any(char::is_alphabetic);
            assert!(neutral || is_chinese(zh), "{}: {text:?}", rule.id);
        }
    }

    #[test]
    fn every_pack_cites_its_authority_in_english() {
        for (rule, text) in cited(&pack::built_in()) {
            assert!(!is_chinese(in_language(text, Lang::En)), "{}: {text:?}", rule.id);
        }
    }
}
