//! What other makers' devices send, as their makers document it, and what it comes to. The payloads are written for
//! this test after the documents that each table names.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use domain::{Profile, Profiles, UtcMillis, status::RejectReason};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use sunshine_ingest::{
    DecodeError, IngestLimits, LineValue, Number, PayloadUnit, Report, line_pieces, lines, read_vendor,
};

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);

fn read<'p>(profile: &Profile, leaf: &'p str, payload: &'p [u8]) -> Result<Report<'p>, DecodeError> {
    read_vendor(profile, leaf, payload, NOW, &IngestLimits::default())
}

/// A report in one line: `behind/metric=value unit@moment`, `behind:online`, `refused N: reason`.
fn told(report: &Result<Report<'_>, DecodeError>) -> String {
    let report = match report {
        Ok(report) => report,
        Err(why) => return format!("{:?}", why.reason()),
    };
    let of = |behind: &Option<_>| match behind {
        Some(name) => format!("{name}/"),
        None => String::new(),
    };
    let mut parts: Vec<String> = report
        .presence
        .iter()
        .map(|(behind, online)| format!("{}{}", of(behind), if *online { "online" } else { "offline" }))
        .collect();
    for entry in &report.values {
        let value = &entry.value;
        let number = match value.number {
            Number::Real(v) => format!("{}", (v * 1e6).round() / 1e6),
            Number::Truth(v) => v.to_string(),
        };
        let unit = match &value.unit {
            PayloadUnit::Unsaid => String::new(),
            PayloadUnit::Known(unit) => format!(" {}", unit.code()),
            PayloadUnit::Unknown(unit) => format!(" ?{unit}"),
        };
        let at = value.at.map_or_else(String::new, |at| format!("@{}", at.0));
        let metric = value.metric.as_deref().unwrap_or("?");
        parts.push(format!("{}{metric}={number}{unit}{at}", of(&entry.behind)));
    }
    if let Some(why) = &report.decoded.first {
        parts.push(format!("refused {}: {:?}", report.decoded.refused, why.reason()));
    }
    parts.join(", ")
}

fn check(profile: &str, rows: &[(&str, &str, &str)]) {
    let profiles = Profiles::built_in();
    let profile = profiles.get(profile).unwrap();
    for (leaf, payload, want) in rows {
        assert_eq!(
            told(&read(profile, leaf, payload.as_bytes())),
            *want,
            "{} {leaf} {payload}",
            profile.id
        );
    }
}

/// zigbee2mqtt.io: "MQTT topics and messages", and the exposes of Aqara WSDCGQ11LM, MCCGQ11LM, SJCGQ11LM and Heiman
/// HS1SA-E.
#[test]
fn zigbee2mqtt_speaks_for_its_sensors() {
    let rows = [
        ("bridge/state", r#"{"state":"online"}"#, "online"),
        ("bridge/state", "offline", "offline"),
        ("bridge/devices", "[{\"ieee_address\":\"0x0\"}]", ""),
        ("冷库/availability", r#"{"state":"offline"}"#, "冷库/offline"),
        (
            "fridge_1",
            r#"{"battery":97,"humidity":45.3,"last_seen":"2026-11-18T19:06:40+08:00","linkquality":120,"pressure":1013.2,"temperature":4.07,"voltage":3015}"#,
            "fridge_1/battery=97 %@1795000000000, fridge_1/humidity=45.3 %RH@1795000000000, \
             fridge_1/link_quality=120@1795000000000, fridge_1/temperature=4.07 degC@1795000000000",
        ),
        (
            "back-door",
            r#"{"contact":false,"battery":100}"#,
            "back-door/battery=100 %, back-door/door_open=true",
        ),
        (
            "smoke-1",
            r#"{"smoke":true,"battery_low":false}"#,
            "smoke-1/battery_low=false, smoke-1/smoke_alarm=true",
        ),
        (
            "leak-1",
            r#"{"water_leak":true,"temperature":null}"#,
            "leak-1/water_leak=true",
        ),
        // A panic button.
        ("sos-1", r#"{"action":"emergency"}"#, "sos-1/sos=1 bool"),
        ("sos-1", r#"{"action":""}"#, "sos-1/sos=0 bool"),
        ("button", r#"{"action":"single"}"#, ""),
        // `output: attribute`.
        ("fridge_1/temperature", "4.1", "fridge_1/temperature=4.1 degC"),
        ("fridge_1/set", r#"{"state":"ON"}"#, ""),
        ("fridge_1", "", ""),
        (
            "plug",
            r#"{"state":"ON","power":12.5}"#,
            "plug/power=12.5 W, plug/switched_on=1 bool",
        ),
        ("odd", r#"{"pressure":1013}"#, "Shape"),
        ("odd", r#"{"temperature":"warm"}"#, "refused 1: Value"),
        ("odd", r#"{"temperature":"#, "Syntax"),
        ("odd/availability", "maybe", "Shape"),
    ];
    check("zigbee2mqtt", &rows);
}

/// tasmota.github.io: "MQTT" and "Sensor configuration".
#[test]
fn tasmota_names_its_sensors_by_their_type() {
    let rows = [
        ("tele/LWT", "Online", "online"),
        ("tele/LWT", "Offline", "offline"),
        (
            "tele/SENSOR",
            r#"{"Time":"2026-11-18T19:06:40","AM2301":{"Temperature":24.6,"Humidity":58.2,"DewPoint":15.8},"TempUnit":"C"}"#,
            "humidity=58.2 %RH, temperature=24.6 degC",
        ),
        (
            "tele/fridge/SENSOR",
            r#"{"Time":"2026-11-18T19:06:40+08:00","DS18B20":{"Id":"0316A279A4FF","Temperature":39.2},"TempUnit":"F"}"#,
            "fridge/temperature=39.2 degF@1795000000000",
        ),
        (
            "tele/SENSOR",
            r#"{"DS18B20-1":{"Id":"1","Temperature":4},"DS18B20-2":{"Id":"2","Temperature":-18}}"#,
            "temperature=4 degC, refused 1: Shape",
        ),
        (
            "tele/SENSOR",
            r#"{"ENERGY":{"Power":1250,"Voltage":230}}"#,
            "power=1250 W",
        ),
        (
            "tele/STATE",
            r#"{"POWER":"ON","Wifi":{"AP":1,"Signal":-58}}"#,
            "switched_on=1 bool, signal=-58 dBm",
        ),
        (
            "stat/STATUS8",
            r#"{"StatusSNS":{"SI7021":{"Temperature":21.5,"Humidity":40}}}"#,
            "humidity=40 %RH, temperature=21.5 degC",
        ),
        ("stat/POWER", "OFF", "switched_on=0 bool"),
        ("tele/INFO1", r#"{"Info1":{"Module":"Generic"}}"#, ""),
        ("tele/SENSOR", r#"{"Time":"2026-11-18T19:06:40"}"#, "Shape"),
        ("tele/SENSOR", "nan", "Syntax"),
        ("other", "1", "Topic"),
    ];
    check("tasmota", &rows);
}

/// shelly-api-docs.shelly.cloud: Gen2, "MQTT", "Notifications", "Temperature", "Humidity", "DevicePower", "Flood".
#[test]
fn shelly_notifies_of_its_components() {
    let full = r#"{"src":"shellyplusht-08b61fcb7f3c","dst":"x/events","method":"NotifyFullStatus","params":{"ts":1795000000.25,
        "temperature:0":{"id":0,"tC":4.3,"tF":39.7},"humidity:0":{"id":0,"rh":61.2},
        "devicepower:0":{"id":0,"battery":{"V":5.1,"percent":80},"external":{"present":false}},
        "wifi":{"sta_ip":"10.0.0.7","status":"got ip","ssid":"k","rssi":-61}}}"#;
    let rows = [
        (
            "events/rpc",
            full,
            "battery=80 %@1795000000250, humidity=61.2 %RH@1795000000250, temperature=4.3 degC@1795000000250, signal=-61 dBm@1795000000250",
        ),
        (
            "events/rpc",
            r#"{"method":"NotifyStatus","params":{"ts":1795000000.0,"temperature:101":{"id":101,"tC":-18.4}}}"#,
            "temperature101/temperature=-18.4 degC@1795000000000",
        ),
        (
            "events/rpc",
            r#"{"method":"NotifyStatus","params":{"ts":null,"flood:0":{"id":0,"alarm":true,"mute":false}}}"#,
            "water_leak=true",
        ),
        (
            "events/rpc",
            r#"{"method":"NotifyEvent","params":{"ts":1,"events":[]}}"#,
            "",
        ),
        (
            "status/switch:0",
            r#"{"id":0,"output":true,"apower":8.9,"temperature":{"tC":53.3}}"#,
            "power=8.9 W, switched_on=true",
        ),
        (
            "status/temperature:0",
            r#"{"id":0,"tC":null,"errors":["read"]}"#,
            "",
        ),
        ("online", "true", "online"),
        ("online", "false", "offline"),
        ("events/rpc", r#"{"method":"NotifyStatus"}"#, "Shape"),
        ("events/rpc", "{", "Syntax"),
    ];
    check("shelly", &rows);
    // shelly-api-docs.shelly.cloud: Gen1, "Shelly H&T", "Shelly Flood", "Shelly Door/Window 2", "Shelly Gas".
    let rows = [
        (
            "shellies/shellyht-1/sensor/temperature",
            "22.50",
            "temperature=22.5 degC",
        ),
        ("shellies/shellyflood-1/sensor/flood", "true", "water_leak=1 bool"),
        ("shellies/shellydw2-1/sensor/state", "close", "door_open=0 bool"),
        ("shellies/shellygas-1/sensor/gas", "heavy", "gas_alarm=1 bool"),
        ("shellies/shelly1pm-1/relay/0", "on", "switched_on=1 bool"),
        ("shellies/shelly1pm-1/relay/0/power", "12.3", "power=12.3 W"),
        ("shellies/shelly1pm-1/online", "false", "offline"),
        ("shellies/shelly1pm-1/announce", "{}", ""),
        ("shellies/shellydw2-1/sensor/state", "ajar", "refused 1: Value"),
    ];
    check("shelly-gen1", &rows);
}

/// chirpstack.io: "Event types".
#[test]
fn chirpstack_delivers_what_its_codecs_decoded() {
    let up = r#"{"deduplicationId":"3ac7e3c4","time":"2026-11-18T11:06:40.000+00:00","deviceInfo":{"tenantId":"52f1",
        "applicationName":"k","deviceName":"fridge","devEui":"0101010101010101"},"devAddr":"00189440","adr":true,"dr":1,
        "fCnt":4,"fPort":1,"confirmed":false,"data":"qqs=","object":{"temperature":4.5,"humidity":51,"door":"open","tvoc":12,"name":"x"},
        "rxInfo":[{"gatewayId":"a","rssi":-110,"snr":2.2},{"gatewayId":"b","rssi":-48}],"txInfo":{"frequency":868500000}}"#;
    let topic = "application/9/device/0101010101010101/event/up";
    let eui = "0101010101010101";
    let at = "@1795000000000";
    let want = format!(
        "{eui}/door_open=1 bool{at}, {eui}/humidity=51 %RH{at}, {eui}/temperature=4.5 degC{at}, {eui}/tvoc=12{at}, {eui}/signal=-48 dBm{at}"
    );
    let battery = format!("{eui}/battery=76.5 %");
    let status = "application/9/device/0101010101010101/event/status";
    let rows = [
        (topic, up, want.as_str()),
        (topic, r#"{"fPort":1,"data":"qqs="}"#, "Shape"),
        (topic, r#"{"fPort":0,"data":"","object":null}"#, ""),
        (topic, "\u{1}binary", "Syntax"),
        (
            status,
            r#"{"margin":10,"externalPowerSource":false,"batteryLevelUnavailable":false,"batteryLevel":76.5}"#,
            battery.as_str(),
        ),
        (
            status,
            r#"{"margin":10,"externalPowerSource":true,"batteryLevel":0}"#,
            "",
        ),
        ("application/9/device/01/event/join", "{}", ""),
        ("application/9/device/01", "{}", "Topic"),
    ];
    check("chirpstack", &rows);
}

/// docs/INTEGRATOR.md, and member names as CTWing AEP's subscription delivers a device's object model.
#[test]
fn an_operators_platform_pushes_for_many_devices() {
    let rows = [
        (
            "http/push",
            r#"{"imei":"869951042000001","ts":1795000000000,"values":{"smoke_state":1,"battery":98,"signal":-87}}"#,
            "869951042000001/battery=98 %@1795000000000, 869951042000001/signal=-87 dBm@1795000000000, 869951042000001/smoke_alarm=1 bool@1795000000000",
        ),
        (
            "http/push",
            r#"{"upPacketSN":-1,"tenantId":"1","serviceId":1,"messageType":"dataReport","productId":"10","deviceId":"d1","timestamp":1795000000000,"IMEI":"86","payload":{"serviceData":{"smoke":0}}}"#,
            "86/smoke_alarm=0 bool@1795000000000",
        ),
        (
            "up",
            r#"[{"imei":1,"values":{"smoke_alarm":false}},{"imei":2,"ts":1795000000,"values":{"smoke_alarm":true}}]"#,
            "1/smoke_alarm=false, 2/smoke_alarm=true@1795000000000",
        ),
        (
            "http/push",
            r#"{"imei":"1","ts":"yesterday","values":{"smoke":1}}"#,
            "refused 1: Time",
        ),
        ("http/push", r#"{"imei":"1","values":{"colour":3}}"#, "Shape"),
        (
            "http/push",
            r#"{"imei":"1","values":{"smoke":"on fire"}}"#,
            "refused 1: Value",
        ),
        ("http/push", "7", "Shape"),
        ("status", "online", "online"),
        ("elsewhere", "1", "Topic"),
    ];
    check("nbiot-smoke", &rows);
    check(
        "sos-bracelet",
        &[(
            "up",
            r#"{"sn":"B21","data":{"sos":"alarm","battery":71}}"#,
            "B21/battery=71 %, B21/sos=1 bool",
        )],
    );
    // Numbers that no field names keep their own names; what tells device and time is none.
    check(
        "json",
        &[(
            "up",
            r#"{"ts":1795000000000,"device":"a","x":{"y":1.5},"on":true}"#,
            "a/on=true@1795000000000, a/x.y=1.5@1795000000000",
        )],
    );
}

/// docs.influxdata.com: "Line protocol" (elements, special characters), and what Telegraf's `cpu` and `temp` write.
#[test]
fn line_protocol_is_read_as_influxdb_reads_it() {
    let rows = [
        (
            "up",
            "temperature,device=fridge-1 value=4.1 1795000000000000000",
            "fridge-1/temperature=4.1@1795000000000",
        ),
        (
            "http/write/s",
            "temperature value=82i 1795000000",
            "temperature=82@1795000000000",
        ),
        (
            "http/write/ms",
            "m,device=a door_open=t 1795000000001",
            "a/m.door_open=true@1795000000001",
        ),
        ("http/write/us", "m a=1u 1795000000001999", "m.a=1@1795000000001"),
        (
            "up",
            "cpu,cpu=cpu0,host=edge usage_idle=90\ncpu,cpu=cpu1,host=edge usage_idle=80",
            "cpu.cpu0.usage_idle=90, cpu.cpu1.usage_idle=80",
        ),
        ("up", "# a comment\n\n  m f=1 \r\nm g=2\n", "m.f=1, m.g=2"),
        ("up", "m text=\"a, b=c \\\" d\n e\",f=-1.5e3", "m.f=-1500"),
        ("up", "m f=1\nm f=\nm f=1 x\nm", "m.f=1, refused 3: Shape"),
        ("up", "my\\ m,device=a\\ b f=1", "refused 1: Metric"),
        ("up", "m f=nan", "Shape"),
        ("up", "m f=\"open", "Shape"),
        ("up", "", "Shape"),
        ("http/write/h", "m f=1", "Topic"),
        ("status", "offline", "offline"),
    ];
    check("line-protocol", &rows);
    let profiles = Profiles::built_in();
    let profile = profiles.get("line-protocol").unwrap();
    assert_eq!(told(&read(profile, "up", b"m f=\xff")), "Syntax");
}

/// RFC 8428 section 6, the example in CBOR.
const RFC_8428: &str = "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c746167650161\
     5602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cccccccccccda3006763\
     757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00a3006763757272656e74062002fb3ff999999999999aa30067\
     63757272656e74060002fb3ffb333333333333";

#[test]
fn senml_in_cbor_is_read_as_the_rfc_writes_it() {
    let profiles = Profiles::built_in();
    let profile = profiles.get("senml-cbor").unwrap();
    let want = "voltage=120.1 V@1276020076001, current=1.2 ?A@1276020071001, current=1.3 ?A@1276020072001, \
                current=1.4 ?A@1276020073001, current=1.5 ?A@1276020074001, current=1.6 ?A@1276020075001, \
                current=1.7 ?A@1276020076001";
    let payload = hex::decode(RFC_8428.replace(char::is_whitespace, "")).unwrap();
    assert_eq!(told(&read(profile, "up", &payload)), want);
    let rows = [
        // [{n:"temperature", u:"Cel", v:4([-1, 215])}]: a decimal fraction.
        (
            "up",
            "81a3006b74656d70657261747572650163 43656c02c48220 18d7",
            "temperature=21.5 degC",
        ),
        // Lengths that are not told: [_ {_ "v": 4.1 (half), }].
        ("up/temperature", "9fbf6176f94419ffff", "temperature=4.097656"),
        ("up", "9fbf6176f94419ffff", "refused 1: Shape"),
        ("up/door_open", "81a104f5", "door_open=true"),
        // A member that is not known, holding a map: passed over.
        ("up/temperature", "81a20207 18 63a10102", "temperature=7"),
        ("up/temperature", "81a2020761615fff", "temperature=7"),
        ("up/temperature", "81a2020762615f00", "Shape"),
        ("up/temperature", "81a202070208", "Shape"),
        ("up/temperature", "81a10207ff", "Shape"),
        ("up/temperature", "81a102", "Shape"),
        ("up/temperature", "a10207", "Shape"),
        ("up/temperature", "", "Shape"),
        ("else", "81a10207", "Topic"),
    ];
    for (leaf, payload, want) in rows {
        let bytes = hex::decode(payload.replace(' ', "")).unwrap();
        assert_eq!(told(&read(profile, leaf, &bytes)), want, "{leaf} {payload}");
    }
    // Nesting and lengths that only hostile bytes have end at once.
    for hostile in [
        vec![0x81; 100_000],
        [0x81, 0xa1]
            .into_iter()
            .chain([0xc4, 0x82].repeat(50_000))
            .collect(),
        vec![0x9b; 64],
    ] {
        assert_eq!(told(&read(profile, "up", &hostile)), "Shape");
    }
}

#[test]
fn errors_name_cause_and_remedy_and_repeat_little() {
    let profiles = Profiles::built_in();
    let long = "x".repeat(5_000);
    let cases = [
        ("zigbee2mqtt", "a", format!("{{\"{long}\":1}}"), "name its fields"),
        (
            "zigbee2mqtt",
            "a",
            format!("{{\"temperature\":\"{long}\"}}"),
            "words",
        ),
        ("line-protocol", "up", format!("{long} f={long}"), "line 1:"),
        (
            "chirpstack",
            "application/1/device/2/event/up",
            "{}".to_owned(),
            "codec",
        ),
    ];
    for (profile, leaf, payload, word) in &cases {
        let said = match read(profiles.get(profile).unwrap(), leaf, payload.as_bytes()) {
            Ok(report) => report.decoded.first.unwrap().to_string(),
            Err(why) => why.to_string(),
        };
        assert!(said.contains(word) && said.len() < 400, "{said}");
    }
    let limits = IngestLimits {
        payload_bytes: 10,
        payload_values: 2,
        ..IngestLimits::default()
    };
    let line = profiles.get("line-protocol").unwrap();
    let size = |payload: &str, limits: &IngestLimits| {
        read_vendor(line, "up", payload.as_bytes(), NOW, limits)
            .map(|_| ())
            .map_err(|e| e.reason())
    };
    assert_eq!(size("m a=1,b=2,c=3", &limits), Err(RejectReason::Size));
    let limits = IngestLimits {
        payload_bytes: 100,
        ..limits
    };
    assert_eq!(size("m a=1,b=2,c=3", &limits), Err(RejectReason::Size));
    assert_eq!(size("m a=1,b=2", &limits), Ok(()));
}

#[test]
fn many_lines_are_cut_between_lines() {
    let text = "m a=1,b=2\nm c=\"x\ny\"\n\nbroken\nm d=4";
    assert_eq!(line_pieces(text, 1_000, 100).unwrap(), [text]);
    let pieces = line_pieces(text, 1_000, 2).unwrap();
    assert_eq!(pieces.concat(), text);
    assert_eq!(pieces, ["m a=1,b=2\n", "m c=\"x\ny\"\n\nbroken\n", "m d=4"]);
    assert_eq!(line_pieces(text, 1, 100).unwrap().concat(), text);
    assert_eq!(
        line_pieces("broken\n", 1, 1).unwrap_err().reason(),
        RejectReason::Shape
    );
    assert!(line_pieces("\n# nothing\n", 1, 1).is_err());
}

/// A name as line protocol escapes it.
fn escaped(name: &str) -> String {
    name.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ")
}

fn name() -> impl Strategy<Value = String> {
    // A backslash before something that it escapes would mean another name.
    "[a-z,= 温度.#_-]{1,8}".prop_map(|name| format!("n{name}"))
}

proptest! {
    #[test]
    fn a_line_that_is_written_is_read_back(
        measurement in name(), tags in prop::collection::vec((name(), name()), 0..4),
        fields in prop::collection::vec((name(), -1e12_f64..1e12), 1..5), truth: bool, text in "[a-z\"\\\\, =\n]{0,12}",
        timestamp in prop::option::of(any::<i64>()),
    ) {
        let mut line = escaped(&measurement);
        for (name, value) in &tags {
            line += &format!(",{}={}", escaped(name), escaped(value));
        }
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        line += &format!(" truth={truth},text=\"{quoted}\"");
        for (name, value) in &fields {
            line += &format!(",{}={value}", escaped(name));
        }
        if let Some(timestamp) = timestamp {
            line += &format!(" {timestamp}");
        }
        let both = format!("{line}\n{line}");
        let read: Vec<_> = lines(&both).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.len(), 2);
        let line = &read[0];
        prop_assert_eq!(line, &read[1]);
        prop_assert_eq!(&*line.measurement, measurement.as_str());
        let got: Vec<(String, String)> = line.tags.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        prop_assert_eq!(got, tags);
        prop_assert_eq!(&line.fields[0].1, &LineValue::Truth(truth));
        prop_assert_eq!(&line.fields[1].1, &LineValue::Text(text.into()));
        let got: Vec<(String, f64)> = line.fields[2..].iter().map(|(n, v)| match v {
            LineValue::Real(v) => (n.to_string(), *v),
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(got, fields);
        prop_assert_eq!(line.timestamp, timestamp);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        profile in 0..16_usize, leaf in "(up|up/t|tele/SENSOR|events/rpc|status/x:1|http/push|http/write/ns|a|a/b|bridge/state|application/1/device/2/event/up)",
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let profiles = Profiles::built_in();
        let profile = profiles.iter().nth(profile).unwrap();
        let first = read(profile, &leaf, &payload);
        prop_assert_eq!(told(&first), told(&read(profile, &leaf, &payload)));
        if let Ok(report) = first {
            prop_assert!(report.values.len() + report.decoded.refused <= IngestLimits::default().payload_values);
        }
    }
}
