//! On whose authority a rule judges, in the visitor's language.
//!
//! Rule packs cite in the language of what they cite, which is often English. The Chinese wording stands here beside
//! the exact text that it translates: when a pack's text changes, it is shown as written until somebody has translated
//! it again, so that a translation never says something else than the rule does.

use domain::{Confidence, Rule};
use i18n_embed_fl::fl;

use crate::{format::Locale, i18n::Lang};

/// On whose authority a rule judges.
pub(crate) struct Authority {
    pub(crate) clause: String,
    pub(crate) edition: String,
    pub(crate) source: String,
}

impl Authority {
    pub(crate) fn of(locale: &Locale, rule: &Rule) -> Authority {
        let own = rule.confidence == Confidence::Engineering;
        let say = |text: &str| match locale.lang {
            Lang::Zh => in_chinese(text).unwrap_or(text).to_owned(),
            Lang::En => text.to_owned(),
        };
        Authority {
            // A pack's "engineering" and "good practice" are no clauses.
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

fn in_chinese(text: &str) -> Option<&'static str> {
    CHINESE
        .iter()
        .find(|(original, _)| *original == text)
        .map(|(_, zh)| *zh)
}

/// What packs say, and the same in Chinese.
const CHINESE: [(&str, &str); 42] = [
    ("engineering", "工程经验"),
    ("good practice", "良好操作规范"),
    ("2026-11 (own judgement)", "2026-11（本系统自定）"),
    ("not checked, as of 2026-11", "版本未核对（截至 2026-11）"),
    ("none: own judgement", "无公开出处：本系统判断"),
    ("none: known from memory", "无公开出处：凭记忆，须核对"),
    ("same", "出处同该标准的上一级限值"),
    (
        "GB 15322.1-2019 (industrial/commercial point type, NOT 15322.2 household) low set-point within 5-25 %LEL",
        "GB 15322.1-2019（工业及商业用点型，非家用的 15322.2）低限报警设定值 5～25 %LEL",
    ),
    (
        "wangblog.cn: scope of 15322.1-2019; range from memory",
        "wangblog.cn：15322.1-2019 的适用范围；数值凭记忆",
    ),
    ("GB/T 50493 level 1 <=25 %LEL", "GB/T 50493 一级报警 ≤ 25 %LEL"),
    ("high alarm 50 %LEL", "高限报警 50 %LEL"),
    (
        "EN 50291: 50 ppm alarms in 60-90 min",
        "EN 50291（欧洲标准）：50 ppm 在 60～90 分钟内报警",
    ),
    (
        "EN 50291: 100 ppm in 10-40 min",
        "EN 50291（欧洲标准）：100 ppm 在 10～40 分钟内报警",
    ),
    (
        "EN 50291: 300 ppm < 3 min",
        "EN 50291（欧洲标准）：300 ppm 在 3 分钟内报警",
    ),
    (
        "nano-sense.com; co-gassafety.co.uk (agree)",
        "nano-sense.com、co-gassafety.co.uk（两处一致）",
    ),
    (
        "GB 20517-2025 (with GB/T 45839-2025 networking)",
        "GB 20517-2025（联网要求见 GB/T 45839-2025）",
    ),
    (
        "69890747.com announcement; detector manual",
        "69890747.com 公告；探测器说明书",
    ),
    (
        "GB 20517-2025 5.11.1: battery checked at least every 24 h; mute (7+-1) h",
        "GB 20517-2025 第 5.11.1 条：至少每 24 小时检查电池；静音（7±1）小时",
    ),
    ("gf.cabr-fire.com 5.11", "gf.cabr-fire.com 第 5.11 条"),
    ("derived from 24 h battery check", "由 24 小时电池检查推得"),
    (
        "heat detector class A1 54-65 C (EN 54-5 / GB 4716)",
        "A1 级感温探测器 54～65 °C（EN 54-5 / GB 4716）",
    ),
    (
        "electrical fire monitoring, 45-140 C range (GB 14287.3)",
        "电气火灾监控，45～140 °C（GB 14287.3）",
    ),
    (
        "ThingsBoard #8614, #319, #12771; ComplianceMate 'Inactive' alert",
        "同类系统的做法：ThingsBoard #8614、#319、#12771；ComplianceMate 的失联提醒",
    ),
    (
        "none: a pressed emergency button needs no clause",
        "无须出处：有人按下紧急按钮",
    ),
    (
        "GB/T 18883-2022 CO2 0.10 % (1 h) for living rooms",
        "GB/T 18883-2022 室内二氧化碳 0.10 %（1 小时均值）",
    ),
    (
        "GB/T 18883-2022 PM2.5 0.05 mg/m3 24 h",
        "GB/T 18883-2022 PM2.5 0.05 mg/m³（24 小时均值）",
    ),
    (
        "ThingsBoard #1092 asks for it",
        "同类系统的用户需求：ThingsBoard #1092",
    ),
    ("close special-room doors in time", "专间门须及时关闭"),
    ("cardozapub canteen spec VI", "cardozapub 转载的食堂规范第六部分"),
    (
        "pest control; Hubei class 1 = rodent, immediate",
        "有害生物防制；湖北一级风险：鼠患，立即处置",
    ),
    (
        "kylebellfilms.com copy of China Consumer News 2025-06",
        "中国消费者报 2025-06（kylebellfilms.com 转载）",
    ),
    (
        "2018 (SAMR announcement No. 12 of 2018)",
        "2018（市场监管总局公告 2018 年第 12 号）",
    ),
    (
        "Hangzhou Daily 2023-06-07 (sample fridge 0-8 alarm); search hit of 2011 edition says 0-10",
        "杭州日报 2023-06-07（留样柜 0～8 °C 报警）；2011 版的检索结果为 0～10 °C",
    ),
    ("as CN-TMP-01", "同 CN-TMP-01 的出处"),
    (
        "none; older editions found: -20..-1 and -18..-1",
        "无公开出处；旧版为 -20～-1 °C 与 -18～-1 °C",
    ),
    (
        "GB/T 24616 / good practice -18 C",
        "GB/T 24616 / 良好操作规范 -18 °C",
    ),
    (
        "notice of 2025-07; edition of GB/T 24616 not checked",
        "2025-07 通知；GB/T 24616 版本未核对",
    ),
    (
        "food-storage notice 2025-07 (freezer <= -18)",
        "2025-07 食品贮存通知（冷冻 ≤ -18 °C）",
    ),
    ("practice of 2023-06 (Zhejiang)", "2023-06 的做法（浙江）"),
    (
        "Hangzhou Daily 2023-06-07: 0-8 C, warning on excess (Zhejiang elder-care sunshine kitchen)",
        "杭州日报 2023-06-07：0～8 °C，超出预警（浙江养老机构阳光厨房）",
    ),
    (
        "China Cuisine Assoc. drink std news 2019 (>60 or <8 same day, 8-60 max 2 h)",
        "中国烹饪协会 2019 年标准报道（> 60 °C 或 < 8 °C 当日用完，8～60 °C 至多 2 小时）",
    ),
    (
        "readke.com, t1958.com, taowenge doc, cardozapub (canteen spec) all say <=25",
        "readke.com、t1958.com、taowenge、cardozapub（食堂规范）均为 ≤ 25 °C",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use domain::pack;

    /// Whether there is nothing to translate: Chinese, or only a year, a number, an address.
    fn speaks_for_itself(text: &str) -> bool {
        let chinese = text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        chinese || !text.chars().any(char::is_alphabetic)
    }

    #[test]
    fn what_the_demo_judges_by_is_said_in_chinese() {
        let rules = pack::active(&pack::DEFAULT_PACKS).expect("the default packs are built in");
        assert!(rules.len() > 10, "only {} rules", rules.len());
        for rule in &rules {
            for text in [&rule.clause, &rule.edition, &rule.source] {
                let said = in_chinese(text).unwrap_or(text);
                assert!(
                    said.is_empty() || speaks_for_itself(said),
                    "{}: {text:?} has no Chinese wording",
                    rule.id
                );
            }
        }
    }

    #[test]
    fn every_wording_belongs_to_a_rule() {
        let rules = pack::built_in();
        for (original, zh) in CHINESE {
            let used = |r: &Rule| [&r.clause, &r.edition, &r.source].contains(&&original.to_owned());
            assert!(rules.iter().any(used), "no rule says {original:?} any more");
            assert!(speaks_for_itself(zh), "{zh:?}");
        }
    }
}
