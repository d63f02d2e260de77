//! What people are told of cases, in their language. Who is told, and when, is [`crate::duty`]'s; how it travels is the
//! channels'.

pub mod channel;

use serde::{Deserialize, Serialize};

use crate::{
    case::{Card, CaseState},
    id::{CaseId, RuleId},
    reading::SeriesKey,
    rule::Severity,
    time::UtcMillis,
};

pub use channel::{ChannelKind, ChannelProblem, ChannelSecrets, ChannelSettings, SmtpTls};

/// A language that messages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Language {
    /// Chinese, as written in the mainland.
    #[default]
    #[serde(rename = "zh-CN")]
    Zh,
    /// English.
    #[serde(rename = "en")]
    En,
}

impl Language {
    /// Its tag.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Language::Zh => "zh-CN",
            Language::En => "en",
        }
    }

    /// Reads [`Language::tag`] back.
    #[must_use]
    pub fn parse(tag: &str) -> Option<Language> {
        [Language::Zh, Language::En].into_iter().find(|l| l.tag() == tag)
    }

    const fn pick<T: Copy>(self, zh: T, en: T) -> T {
        match self {
            Language::Zh => zh,
            Language::En => en,
        }
    }
}

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A case was opened.
    Opened,
    /// Nobody has taken it up yet.
    Reminder,
    /// A deadline has passed; the next step of the ladder hears.
    Overdue,
    /// It carries a card now.
    Card,
    /// Somebody has taken it up.
    Taken,
    /// It is said to be put right; somebody has to look.
    Submitted,
    /// Somebody looked and was not satisfied.
    Rejected,
    /// Somebody says that there is nothing to put right.
    Disputed,
    /// A dispute was decided.
    Decided,
    /// The values are back within the limit.
    Cleared,
    /// It is closed.
    Closed,
    /// The picture that belongs to an earlier notice.
    Picture,
    /// A trial of a channel.
    Test,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [NoticeKind; 13] = [
        NoticeKind::Opened,
        NoticeKind::Reminder,
        NoticeKind::Overdue,
        NoticeKind::Card,
        NoticeKind::Taken,
        NoticeKind::Submitted,
        NoticeKind::Rejected,
        NoticeKind::Disputed,
        NoticeKind::Decided,
        NoticeKind::Cleared,
        NoticeKind::Closed,
        NoticeKind::Picture,
        NoticeKind::Test,
    ];

    /// The name in the record store, the API and webhooks.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            NoticeKind::Opened => "opened",
            NoticeKind::Reminder => "reminder",
            NoticeKind::Overdue => "overdue",
            NoticeKind::Card => "card",
            NoticeKind::Taken => "taken",
            NoticeKind::Submitted => "submitted",
            NoticeKind::Rejected => "rejected",
            NoticeKind::Disputed => "disputed",
            NoticeKind::Decided => "decided",
            NoticeKind::Cleared => "cleared",
            NoticeKind::Closed => "closed",
            NoticeKind::Picture => "picture",
            NoticeKind::Test => "test",
        }
    }

    /// Reads [`NoticeKind::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<NoticeKind> {
        NoticeKind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// What it tells, for people.
    #[must_use]
    pub const fn words(self, language: Language) -> &'static str {
        match self {
            NoticeKind::Opened => language.pick("新隐患", "New case"),
            NoticeKind::Reminder => language.pick("仍未签收", "Not taken up yet"),
            NoticeKind::Overdue => language.pick("已逾期", "Overdue"),
            NoticeKind::Card => language.pick("逾期亮牌", "Card for being overdue"),
            NoticeKind::Taken => language.pick("已签收", "Taken up"),
            NoticeKind::Submitted => language.pick("整改完成，待核验", "Put right, to be verified"),
            NoticeKind::Rejected => language.pick("核验退回，请继续整改", "Not accepted: put it right"),
            NoticeKind::Disputed => language.pick("提出申诉，待裁定", "Disputed, to be decided"),
            NoticeKind::Decided => language.pick("申诉已裁定", "Dispute decided"),
            NoticeKind::Cleared => language.pick("数值已恢复", "Back within the limit"),
            NoticeKind::Closed => language.pick("已关闭", "Closed"),
            NoticeKind::Picture => language.pick("现场画面", "Picture"),
            NoticeKind::Test => language.pick("测试消息", "Test message"),
        }
    }
}

/// A notice as it was true when it was written: later changes of the case change nothing in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// What it tells.
    pub kind: NoticeKind,
    /// The case.
    pub case: CaseId,
    /// The case's version at that time.
    pub version: i64,
    /// How bad.
    pub severity: Severity,
    /// Where the case stood.
    pub state: CaseState,
    /// The rule that raised it.
    pub rule: RuleId,
    /// The point it is about.
    pub point: SeriesKey,
    /// When the condition began.
    pub since: UtcMillis,
    /// When the case was raised.
    pub raised_at: UtcMillis,
    /// The value that raised it, in the metric's canonical unit.
    pub value: Option<f64>,
    /// The limit it broke.
    pub limit: Option<f64>,
    /// By when the next act is due.
    pub due_at: Option<UtcMillis>,
    /// The last step of the ladder that hears.
    pub level: u8,
    /// The card it carries.
    pub card: Card,
    /// Who did what is told; empty when the machine did.
    pub by: String,
    /// With what words.
    pub words: String,
}

/// What a notice's words are made of, in one language.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// What is wrong.
    pub title: String,
    /// What to do.
    pub action: String,
    /// The facility.
    pub facility: String,
    /// The place in it.
    pub place: String,
    /// When it began.
    pub since: String,
    /// By when the next act is due; empty when nothing is.
    pub due: String,
    /// The address that opens the case; empty where none is known.
    pub link: String,
}

/// A message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub title: String,
    /// Further lines, without the link.
    pub body: String,
    /// The address that opens it; may be empty.
    pub link: String,
}

impl Text {
    /// Title, lines and link as one text, of at most `max` bytes: what is too long is cut off with an ellipsis, and the
    /// link stays.
    #[must_use]
    pub fn plain(&self, max: usize) -> String {
        let link = match self.link.as_str() {
            "" => String::new(),
            link => format!("\n{link}"),
        };
        let room = max.saturating_sub(link.len());
        let mut text = bounded(&format!("{}\n{}", self.title, self.body), room);
        text.push_str(&link);
        bounded(&text, max)
    }
}

/// The text itself, or as much of it as fits into `max` bytes with an ellipsis.
#[must_use]
pub fn bounded(text: &str, max: usize) -> String {
    const ELLIPSIS: char = '…';
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub(ELLIPSIS.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut cut = text[..end].to_owned();
    if max >= ELLIPSIS.len_utf8() {
        cut.push(ELLIPSIS);
    }
    cut
}

/// How bad a case is, for people.
#[must_use]
pub const fn severity_words(severity: Severity, language: Language) -> &'static str {
    match severity {
        Severity::P0 => language.pick("危险", "Danger"),
        Severity::P1 => language.pick("紧急", "Urgent"),
        Severity::P2 => language.pick("违规", "Breach"),
        Severity::P3 => language.pick("缺陷", "Defect"),
        Severity::P4 => language.pick("提示", "Advice"),
    }
}

/// One notice in words.
#[must_use]
pub fn text(said: &Said, names: &Names, language: Language) -> Text {
    let severity = severity_words(said.severity, language);
    let mut lines = vec![format!("{} · {}", names.facility, names.place)];
    if let Some(value) = said.value {
        lines.push(value_line(said, value, language));
    }
    lines.push(format!("{}{}", language.pick("开始：", "Since: "), names.since));
    if !said.by.is_empty() {
        let words = if said.words.is_empty() {
            said.by.clone()
        } else {
            format!("{}{}{}", said.by, language.pick("：", ": "), said.words)
        };
        lines.push(words);
    }
    match said.card {
        Card::None => {}
        Card::Yellow => lines.push(language.pick("黄牌", "Yellow card").to_owned()),
        Card::Red => lines.push(language.pick("红牌", "Red card").to_owned()),
    }
    let asks = matches!(
        said.kind,
        NoticeKind::Opened | NoticeKind::Reminder | NoticeKind::Overdue | NoticeKind::Rejected
    );
    if asks && !names.action.is_empty() {
        lines.push(format!(
            "{}{}",
            language.pick("请处理：", "To do: "),
            names.action
        ));
    }
    if !names.due.is_empty() && said.kind != NoticeKind::Cleared {
        lines.push(format!("{}{}", language.pick("期限：", "Due: "), names.due));
    }
    let (open, close) = language.pick(("【", "】"), ("[", "] "));
    Text {
        title: format!(
            "{open}{severity}{close}{} · {}",
            said.kind.words(language),
            names.title
        ),
        body: lines.join("\n"),
        link: names.link.clone(),
    }
}

fn value_line(said: &Said, value: f64, language: Language) -> String {
    let metric = &said.point.metric;
    let info = metric.info();
    let name = info.map_or(metric.as_str(), |i| language.pick(i.zh, i.en));
    let unit = metric.unit();
    if unit == crate::metric::Unit::Bool {
        return name.to_owned();
    }
    let digits = info.map_or(2, |i| usize::from(i.decimals));
    let mut line = format!("{name} {value:.digits$} {}", unit.sign());
    if let Some(limit) = said.limit {
        let word = language.pick("限值", "limit");
        line.push_str(&format!(" ({word} {limit:.digits$} {})", unit.sign()));
    }
    line
}

/// Several notices as one message: one line each, the newest last; at most `MAX_LINES` of them, and how many more.
#[must_use]
pub fn gathered(texts: &[Text], link: &str, language: Language) -> Text {
    const MAX_LINES: usize = 50;
    let count = texts.len();
    let mut lines: Vec<String> = texts
        .iter()
        .take(MAX_LINES)
        .map(|text| {
            let place = text.body.lines().next().unwrap_or_default();
            format!("{} · {place}", text.title)
        })
        .collect();
    if count > MAX_LINES {
        let more = count - MAX_LINES;
        lines.push(match language {
            Language::Zh => format!("……另有 {more} 条"),
            Language::En => format!("… and {more} more"),
        });
    }
    Text {
        title: match language {
            Language::Zh => format!("{count} 条消息"),
            Language::En => format!("{count} messages"),
        },
        body: lines.join("\n"),
        link: link.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;
    use crate::id::{DeviceId, FacilityId, Metric};

    fn said(kind: NoticeKind) -> Said {
        Said {
            kind,
            case: CaseId(7),
            version: 1,
            severity: Severity::P1,
            state: CaseState::Open,
            rule: RuleId::new("CN-TMP-01").unwrap(),
            point: SeriesKey {
                facility: FacilityId::new("f").unwrap(),
                device: DeviceId::new("fridge-1").unwrap(),
                metric: Metric::new("temperature").unwrap(),
            },
            since: UtcMillis(0),
            raised_at: UtcMillis(0),
            value: Some(9.26),
            limit: Some(8.0),
            due_at: None,
            level: 0,
            card: Card::None,
            by: String::new(),
            words: String::new(),
        }
    }

    fn names() -> Names {
        Names {
            title: "冷藏温度过高".into(),
            action: "检查柜门".into(),
            facility: "滨河颐养院".into(),
            place: "1 号冷藏柜".into(),
            since: "11-21 14:40".into(),
            due: "11-21 14:50".into(),
            link: "https://k.example/cases/7".into(),
        }
    }

    #[test]
    fn a_notice_says_what_is_wrong_where_since_when_and_what_to_do() {
        let text = text(&said(NoticeKind::Opened), &names(), Language::Zh);
        assert_eq!(text.title, "【紧急】新隐患 · 冷藏温度过高");
        assert_eq!(
            text.body,
            "滨河颐养院 · 1 号冷藏柜\n温度 9.3 °C (限值 8.0 °C)\n开始：11-21 14:40\n请处理：检查柜门\n期限：11-21 14:50"
        );
        assert!(text.plain(2_048).ends_with("\nhttps://k.example/cases/7"));
    }

    #[test]
    fn every_kind_has_words_in_both_languages() {
        for kind in NoticeKind::ALL {
            assert_eq!(NoticeKind::parse(kind.code()), Some(kind));
            assert_ne!(kind.words(Language::Zh), kind.words(Language::En));
            let written = text(&said(kind), &names(), Language::En);
            assert!(written.title.contains(kind.words(Language::En)), "{written:?}");
        }
    }

    #[test]
    fn many_become_one_that_names_each() {
        let one = text(&said(NoticeKind::Opened), &names(), Language::En);
        let all = gathered(&vec![one; 60], "https://k.example/cases", Language::En);
        assert_eq!(all.title, "60 messages");
        assert_eq!(all.body.lines().count(), 51);
        assert!(all.body.ends_with("… and 10 more"), "{}", all.body);
    }

    proptest! {
        #[test]
        fn a_bounded_text_keeps_its_bound_and_its_link(words in "\\PC{0,400}", max in 40_usize..300) {
            let text = Text { title: words.clone(), body: words, link: "https://k/1".into() };
            let plain = text.plain(max);
            prop_assert!(plain.len() <= max);
            prop_assert!(plain.ends_with("https://k/1"));
        }
    }
}
