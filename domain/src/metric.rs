//! Measured quantities and their units. Readings are stored in one canonical unit per metric, whatever
//! the device sent.

use serde::{Deserialize, Serialize};

use crate::id::Metric;

/// A unit that a device may send or a metric may be stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unit {
    /// Degrees Celsius.
    #[serde(rename = "degC")]
    Celsius,
    /// Degrees Fahrenheit.
    #[serde(rename = "degF")]
    Fahrenheit,
    /// Kelvin.
    #[serde(rename = "K")]
    Kelvin,
    /// Per cent of the lower explosive limit of the gas (爆炸下限).
    #[serde(rename = "%LEL")]
    PercentLel,
    /// Parts per million by volume.
    #[serde(rename = "ppm")]
    Ppm,
    /// Relative humidity in per cent.
    #[serde(rename = "%RH")]
    PercentRh,
    /// Per cent of whatever the metric is a share of.
    #[serde(rename = "%")]
    Percent,
    /// A ratio from 0 to 1.
    #[serde(rename = "ratio")]
    Ratio,
    /// 0 for no, 1 for yes.
    #[serde(rename = "bool")]
    Bool,
    /// Watts.
    #[serde(rename = "W")]
    Watt,
    /// Kilowatts.
    #[serde(rename = "kW")]
    Kilowatt,
    /// Grams.
    #[serde(rename = "g")]
    Gram,
    /// Kilograms.
    #[serde(rename = "kg")]
    Kilogram,
    /// Micrograms per cubic metre.
    #[serde(rename = "ug/m3")]
    MicrogramPerCubicMetre,
    /// Milligrams per litre.
    #[serde(rename = "mg/L")]
    MilligramPerLitre,
    /// Decibel-milliwatts (radio signal strength).
    #[serde(rename = "dBm")]
    DecibelMilliwatt,
    /// Volts.
    #[serde(rename = "V")]
    Volt,
    /// Seconds.
    #[serde(rename = "s")]
    Second,
    /// Hours.
    #[serde(rename = "h")]
    Hour,
    /// Days.
    #[serde(rename = "d")]
    Day,
    /// Microwatts per square centimetre (ultraviolet light).
    #[serde(rename = "uW/cm2")]
    MicrowattPerSquareCentimetre,
    /// A number of things.
    #[serde(rename = "count")]
    Count,
    /// A number without a unit, or with one that the product does not know.
    #[serde(rename = "1")]
    One,
}

impl Unit {
    /// Every unit, for tables and tests.
    pub const ALL: [Unit; 23] = [
        Unit::Celsius,
        Unit::Fahrenheit,
        Unit::Kelvin,
        Unit::PercentLel,
        Unit::Ppm,
        Unit::PercentRh,
        Unit::Percent,
        Unit::Ratio,
        Unit::Bool,
        Unit::Watt,
        Unit::Kilowatt,
        Unit::Gram,
        Unit::Kilogram,
        Unit::MicrogramPerCubicMetre,
        Unit::MilligramPerLitre,
        Unit::DecibelMilliwatt,
        Unit::Volt,
        Unit::Second,
        Unit::Hour,
        Unit::Day,
        Unit::MicrowattPerSquareCentimetre,
        Unit::Count,
        Unit::One,
    ];

    /// The name used in configuration, payloads and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Unit::Celsius => "degC",
            Unit::Fahrenheit => "degF",
            Unit::Kelvin => "K",
            Unit::PercentLel => "%LEL",
            Unit::Ppm => "ppm",
            Unit::PercentRh => "%RH",
            Unit::Percent => "%",
            Unit::Ratio => "ratio",
            Unit::Bool => "bool",
            Unit::Watt => "W",
            Unit::Kilowatt => "kW",
            Unit::Gram => "g",
            Unit::Kilogram => "kg",
            Unit::MicrogramPerCubicMetre => "ug/m3",
            Unit::MilligramPerLitre => "mg/L",
            Unit::DecibelMilliwatt => "dBm",
            Unit::Volt => "V",
            Unit::Second => "s",
            Unit::Hour => "h",
            Unit::Day => "d",
            Unit::MicrowattPerSquareCentimetre => "uW/cm2",
            Unit::Count => "count",
            Unit::One => "1",
        }
    }

    /// The sign shown to people. `°C` is two characters on purpose: some Chinese fonts lack `℃`.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Unit::Celsius => "°C",
            Unit::Fahrenheit => "°F",
            Unit::PercentLel => "%LEL",
            Unit::PercentRh => "%RH",
            Unit::MicrogramPerCubicMetre => "µg/m³",
            Unit::MicrowattPerSquareCentimetre => "µW/cm²",
            Unit::Ratio | Unit::Bool | Unit::Count | Unit::One => "",
            other => other.code(),
        }
    }

    /// The unit of this name: our own code, or SenML's (RFC 8428 section 12.1) where it differs.
    #[must_use]
    pub fn parse(code: &str) -> Option<Unit> {
        let senml = match code {
            "Cel" | "C" | "°C" | "℃" => Unit::Celsius,
            "F" | "°F" => Unit::Fahrenheit,
            "%" => Unit::Percent,
            "/" => Unit::Ratio,
            "µg/m3" | "µg/m³" => Unit::MicrogramPerCubicMetre,
            _ => return Unit::ALL.into_iter().find(|u| u.code() == code),
        };
        Some(senml)
    }

    /// `value` in this unit as a value in `to`; `None` when the two do not measure the same thing.
    #[must_use]
    pub fn convert(self, value: f64, to: Unit) -> Option<f64> {
        if self == to {
            return Some(value);
        }
        let converted = match (self, to) {
            (Unit::Fahrenheit, Unit::Celsius) => (value - 32.0) / 1.8,
            (Unit::Celsius, Unit::Fahrenheit) => value * 1.8 + 32.0,
            (Unit::Kelvin, Unit::Celsius) => value - 273.15,
            (Unit::Celsius, Unit::Kelvin) => value + 273.15,
            (Unit::Kilowatt, Unit::Watt) | (Unit::Kilogram, Unit::Gram) => value * 1000.0,
            (Unit::Watt, Unit::Kilowatt) | (Unit::Gram, Unit::Kilogram) => value / 1000.0,
            (Unit::Hour, Unit::Second) => value * 3600.0,
            (Unit::Second, Unit::Hour) => value / 3600.0,
            (Unit::Day, Unit::Hour) => value * 24.0,
            (Unit::Hour, Unit::Day) => value / 24.0,
            (Unit::Ratio, Unit::Percent | Unit::PercentRh | Unit::PercentLel) => value * 100.0,
            (Unit::Percent, Unit::PercentRh | Unit::PercentLel) => value,
            (Unit::Percent | Unit::PercentRh | Unit::PercentLel, Unit::Ratio) => value / 100.0,
            // A device that knows no unit is believed to speak the canonical one.
            (Unit::One, _) => value,
            _ => return None,
        };
        Some(converted)
    }
}

/// What is known of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricInfo {
    /// The name in topics, rules and the API.
    pub name: &'static str,
    /// The unit in which it is stored and judged.
    pub unit: Unit,
    /// Digits after the decimal point when shown.
    pub decimals: u8,
    /// Name for people, in Chinese.
    pub zh: &'static str,
    /// Name for people, in English.
    pub en: &'static str,
}

const fn info(
    name: &'static str,
    unit: Unit,
    decimals: u8,
    zh: &'static str,
    en: &'static str,
) -> MetricInfo {
    MetricInfo {
        name,
        unit,
        decimals,
        zh,
        en,
    }
}

/// The metrics the product knows. A device may send others: they are stored as they come, without a unit.
pub const METRICS: [MetricInfo; 78] = [
    info("temperature", Unit::Celsius, 1, "温度", "Temperature"),
    info("humidity", Unit::PercentRh, 0, "湿度", "Humidity"),
    info(
        "combustible_gas",
        Unit::PercentLel,
        1,
        "可燃气体",
        "Combustible gas",
    ),
    info("co", Unit::Ppm, 0, "一氧化碳", "Carbon monoxide"),
    info("co2", Unit::Ppm, 0, "二氧化碳", "Carbon dioxide"),
    info("pm25", Unit::MicrogramPerCubicMetre, 0, "细颗粒物 PM2.5", "PM2.5"),
    info("smoke_alarm", Unit::Bool, 0, "烟雾报警", "Smoke alarm"),
    info("water_leak", Unit::Bool, 0, "漏水", "Water leak"),
    info("door_open", Unit::Bool, 0, "门开启", "Door open"),
    info("sos", Unit::Bool, 0, "紧急呼叫", "SOS call"),
    info("battery", Unit::Percent, 0, "电量", "Battery"),
    info("battery_low", Unit::Bool, 0, "电量低", "Battery low"),
    info(
        "rodent_trap_trip",
        Unit::Bool,
        0,
        "捕鼠器触发",
        "Rodent trap tripped",
    ),
    info(
        "rinse_temperature",
        Unit::Celsius,
        1,
        "漂洗温度",
        "Rinse temperature",
    ),
    info(
        "cable_temperature",
        Unit::Celsius,
        1,
        "线缆温度",
        "Cable temperature",
    ),
    info("power", Unit::Watt, 0, "功率", "Power"),
    info("signal", Unit::DecibelMilliwatt, 0, "信号强度", "Signal strength"),
    info("weight", Unit::Gram, 0, "重量", "Weight"),
    info("gas_alarm", Unit::Bool, 0, "燃气报警", "Gas alarm"),
    info("co_alarm", Unit::Bool, 0, "一氧化碳报警", "CO alarm"),
    info("occupancy", Unit::Bool, 0, "有人", "Occupancy"),
    info("switched_on", Unit::Bool, 0, "已通电", "Switched on"),
    info("valve_open", Unit::Bool, 0, "阀门开启", "Valve open"),
    info("camera_offline", Unit::Bool, 0, "摄像头离线", "Camera offline"),
    info("frame_rate", Unit::One, 1, "帧率(帧/秒)", "Frames per second"),
    info("bitrate", Unit::One, 0, "码率(kbit/s)", "Bit rate (kbit/s)"),
    info(
        "frame_age",
        Unit::Second,
        0,
        "最近一帧距今",
        "Age of the last frame",
    ),
    info("key_frame_gap", Unit::Second, 1, "关键帧间隔", "Key frame gap"),
    info("packet_loss", Unit::Percent, 1, "丢包率", "Packet loss"),
    info("reconnects", Unit::Count, 0, "重连次数", "Reconnects"),
    info("skipped_frames", Unit::Count, 0, "未分析帧数", "Frames skipped"),
    info("vision_fault", Unit::Bool, 0, "画面识别故障", "Model fault"),
    info(
        "person_count",
        Unit::Count,
        0,
        "画面人数",
        "People in the picture",
    ),
    info("people_in", Unit::Count, 0, "进入人次", "People in"),
    info("people_out", Unit::Count, 0, "离开人次", "People out"),
    info("dwell", Unit::Second, 0, "停留时间", "Dwell time"),
    info("mask_share", Unit::Percent, 0, "戴口罩比例", "Share with mask"),
    info(
        "compliance_share",
        Unit::Percent,
        0,
        "合规比例",
        "Compliance share",
    ),
    info(
        "unjudged_share",
        Unit::Percent,
        0,
        "无法判定比例",
        "Unjudged share",
    ),
    info("no_head_cover", Unit::Bool, 0, "未戴工作帽", "No head cover"),
    info("no_mask", Unit::Bool, 0, "未戴口罩", "No face mask"),
    info("no_work_clothes", Unit::Bool, 0, "未穿工作服", "No work clothes"),
    info("no_gloves", Unit::Bool, 0, "未戴手套", "No gloves"),
    info("bare_upper_body", Unit::Bool, 0, "赤裸上身", "Bare upper body"),
    info("smoking", Unit::Bool, 0, "抽烟", "Smoking"),
    info("phone_use", Unit::Bool, 0, "使用手机", "Phone in use"),
    info("rodent", Unit::Bool, 0, "疑似老鼠", "Suspected rodent"),
    info(
        "animal_in_kitchen",
        Unit::Bool,
        0,
        "后厨有动物",
        "Animal in the kitchen",
    ),
    info("bin_open", Unit::Bool, 0, "垃圾桶未加盖", "Bin uncovered"),
    info(
        "floor_dirty",
        Unit::Bool,
        0,
        "地面不洁或积水",
        "Floor dirty or wet",
    ),
    info(
        "visual_fire",
        Unit::Bool,
        0,
        "疑似明火或烟雾",
        "Suspected fire or smoke",
    ),
    info(
        "off_hours_presence",
        Unit::Bool,
        0,
        "非工作时段有人",
        "Presence outside working hours",
    ),
    info("stove_unattended", Unit::Bool, 0, "动火离人", "Stove unattended"),
    info("over_capacity", Unit::Bool, 0, "超过容纳人数", "Over capacity"),
    info(
        "camera_tampered",
        Unit::Bool,
        0,
        "摄像头被遮挡或异常",
        "Camera covered, frozen or moved",
    ),
    info("person_down", Unit::Bool, 0, "有人倒地", "Person down"),
    info("sample_mass", Unit::Gram, 0, "留样重量", "Sample mass"),
    info(
        "sample_age_at_removal",
        Unit::Hour,
        0,
        "取出时留样时长",
        "Age of a removed sample",
    ),
    info("samples_taken", Unit::Count, 0, "留样份数", "Samples taken"),
    info("uv_on", Unit::Bool, 0, "紫外线灯开启", "UV lamp on"),
    info(
        "uv_irradiance",
        Unit::MicrowattPerSquareCentimetre,
        0,
        "紫外线强度",
        "UV irradiance",
    ),
    info(
        "free_chlorine",
        Unit::MilligramPerLitre,
        0,
        "有效氯",
        "Free chlorine",
    ),
    info(
        "disinfection_done",
        Unit::Bool,
        0,
        "消毒完成",
        "Disinfection completed",
    ),
    info("morning_check", Unit::Count, 0, "晨检人数", "Morning checks"),
    info(
        "forehead_temperature",
        Unit::Celsius,
        1,
        "额温",
        "Forehead temperature",
    ),
    info(
        "health_cert_days_left",
        Unit::Day,
        0,
        "健康证剩余天数",
        "Days left of health certificate",
    ),
    info(
        "licence_days_left",
        Unit::Day,
        0,
        "许可证剩余天数",
        "Days left of licence",
    ),
    info(
        "daily_control_done",
        Unit::Bool,
        0,
        "日管控完成",
        "Daily control done",
    ),
    info(
        "weekly_review_done",
        Unit::Bool,
        0,
        "周排查完成",
        "Weekly review done",
    ),
    info(
        "monthly_meeting_done",
        Unit::Bool,
        0,
        "月调度完成",
        "Monthly meeting held",
    ),
    info(
        "gas_alarms_working",
        Unit::Count,
        0,
        "可用燃气报警器",
        "Working gas alarms",
    ),
    info("gas_valve_open", Unit::Bool, 0, "燃气阀开启", "Gas valve open"),
    info("stove_on", Unit::Bool, 0, "灶具开启", "Stove on"),
    info("hood_on", Unit::Bool, 0, "排烟开启", "Hood on"),
    info("mains_lost", Unit::Bool, 0, "市电中断", "Mains power lost"),
    info("gateway_offline", Unit::Bool, 0, "网关离线", "Gateway offline"),
    info(
        "calibration_days_left",
        Unit::Day,
        0,
        "校准剩余天数",
        "Days left of calibration",
    ),
    info("logger_class", Unit::One, 0, "记录仪等级", "Recorder class"),
];

impl Metric {
    /// What is known of this metric, if anything.
    #[must_use]
    pub fn info(&self) -> Option<&'static MetricInfo> {
        METRICS.iter().find(|m| m.name == self.as_str())
    }

    /// The unit in which this metric is stored; [`Unit::One`] for one the product does not know.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.info().map_or(Unit::One, |m| m.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_convert_to_the_canonical_one() {
        let cases = [
            (Unit::Fahrenheit, 41.0, Unit::Celsius, Some(5.0)),
            (Unit::Kelvin, 273.15, Unit::Celsius, Some(0.0)),
            (Unit::Ratio, 0.1, Unit::PercentLel, Some(10.0)),
            (Unit::Kilogram, 0.125, Unit::Gram, Some(125.0)),
            (Unit::One, 7.5, Unit::Celsius, Some(7.5)),
            (Unit::Ppm, 3.0, Unit::Celsius, None),
        ];
        for (from, value, to, want) in cases {
            let got = from.convert(value, to);
            let close = got.zip(want).is_some_and(|(g, w)| (g - w).abs() < 1e-9);
            assert!(
                close || got == want,
                "{from:?} {value} -> {to:?} gave {got:?}, not {want:?}"
            );
        }
    }

    #[test]
    fn every_unit_is_found_by_its_code() {
        for unit in Unit::ALL {
            assert_eq!(Unit::parse(unit.code()), Some(unit));
        }
        assert_eq!(Unit::parse("Cel"), Some(Unit::Celsius));
        assert_eq!(Unit::parse("furlong"), None);
    }
}
