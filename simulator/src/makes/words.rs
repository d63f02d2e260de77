//! What each make writes: topics and payloads, as its documentation shows them.

use domain::UtcMillis;

use super::{Make, SimMake, sparkplug::Session};

/// What is published: topic, payload, and whether the broker keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Words {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
}

fn words(topic: String, payload: impl Into<Vec<u8>>, retain: bool) -> Words {
    Words {
        topic,
        payload: payload.into(),
        retain,
    }
}

/// What the broker is to say when the device is gone without a word.
pub(crate) fn will(of: &SimMake, session: &Session) -> Words {
    let root = of.topics();
    match of.make {
        Make::Zigbee2mqtt => words(format!("{root}/bridge/state"), r#"{"state":"offline"}"#, true),
        Make::Tasmota => words(format!("{root}/tele/LWT"), "Offline", true),
        Make::Sparkplug | Make::Telegraf => session.death(of),
    }
}

/// What the device says when it has signed in.
pub(crate) fn greeting(of: &SimMake, session: &mut Session, now: UtcMillis) -> Vec<Words> {
    let root = of.topics();
    match of.make {
        Make::Zigbee2mqtt => {
            let online = r#"{"state":"online"}"#;
            let there = |name: &str| words(format!("{root}/{name}/availability"), online, true);
            let bridge = words(format!("{root}/bridge/state"), online, true);
            let behind = of.measure(now).into_iter().map(|(name, _)| there(name));
            [bridge].into_iter().chain(behind).collect()
        }
        Make::Tasmota => vec![words(format!("{root}/tele/LWT"), "Online", true)],
        Make::Sparkplug | Make::Telegraf => session.birth(of, now),
    }
}

/// The report of the moment `now`.
pub(crate) fn report(of: &SimMake, session: &mut Session, now: UtcMillis) -> Vec<Words> {
    let root = of.topics();
    match of.make {
        Make::Zigbee2mqtt => {
            let state = |(name, value): (&str, f64)| {
                let quality = 90 + now.0.div_euclid(1000) % 60;
                let payload = match name {
                    "yard-door" => format!(
                        r#"{{"contact":{},"battery":87,"linkquality":{quality}}}"#,
                        value < 0.5
                    ),
                    _ => format!(r#"{{"temperature":{value},"battery":93,"linkquality":{quality}}}"#),
                };
                words(format!("{root}/{name}"), payload, false)
            };
            of.measure(now).into_iter().map(state).collect()
        }
        Make::Tasmota => {
            let value = of.measure(now).first().map_or(0.0, |(_, value)| *value);
            let payload =
                format!(r#"{{"DS18B20":{{"Id":"3C01F0957A20","Temperature":{value}}},"TempUnit":"C"}}"#);
            vec![words(format!("{root}/tele/SENSOR"), payload, false)]
        }
        Make::Sparkplug | Make::Telegraf => session.data(of, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::district;

    #[test]
    fn each_make_says_what_its_documentation_shows() {
        let made = district(7, 5).makes;
        let now = UtcMillis(1_795_250_000_000);
        let mut session = Session::default();
        let say = |words: Vec<Words>| {
            let say = |w: Words| format!("{} {}", w.topic, String::from_utf8_lossy(&w.payload));
            words.into_iter().map(say).collect::<Vec<_>>()
        };
        let zigbee = say(report(&made[0], &mut session, now));
        assert!(
            zigbee[0].contains("/zigbee/fruit-fridge {\"temperature\":"),
            "{zigbee:?}"
        );
        assert!(
            zigbee[1].contains("/zigbee/yard-door {\"contact\":true"),
            "{zigbee:?}"
        );
        assert!(
            say(greeting(&made[0], &mut session, now))[0]
                .ends_with("/zigbee/bridge/state {\"state\":\"online\"}")
        );
        let tasmota = say(report(&made[1], &mut session, now));
        assert!(
            tasmota[0]
                .contains("/tasmota-1/tele/SENSOR {\"DS18B20\":{\"Id\":\"3C01F0957A20\",\"Temperature\":-2")
        );
        let gone = will(&made[1], &session);
        assert!(gone.topic.ends_with("/tele/LWT") && gone.payload == b"Offline" && gone.retain);
    }
}
