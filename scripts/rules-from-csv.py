#!/usr/bin/env python3
"""Writes the built-in rule packs from a table of rules.

    scripts/rules-from-csv.py domain/packs/rules.csv [OUTPUT_DIRECTORY]

The table gives the numbers and where they come from; this script adds the words for people, and decides
which rules the product can judge today. What it leaves out stands, with the reason, at the head of each
pack. The same table always gives the same files.
"""

import csv
import json
import pathlib
import sys

VERSION = "2026.11"
DATE = "2026-11"

PACKS = {
    "cn-canteen": ("中国集中用餐单位食堂", "Chinese institutional canteens"),
    "fire-gas": ("消防与燃气", "Fire and gas"),
    "environment": ("环境与设施", "Environment and premises"),
    "system": ("系统与设备", "System and devices"),
    "us-foodcode": ("美国食品法典", "US Food Code"),
    "uk-eu": ("英国与欧盟", "United Kingdom and European Union"),
}

CONFIDENCE = {"V": "verified", "S": "secondary", "M": "memory", "E": "engineering"}

# Cases of these stay open until a person closes them: somebody must have looked.
LATCHED_METRICS = {"combustible_gas", "co", "smoke_alarm", "sos"}
LATCHED_RULES = {"FG-HEAT-01"}

# Silence, in report intervals. The table's 26 h for smoke detectors presumes a heartbeat every 24 h;
# the product knows each point's own interval.
NO_DATA = {"SYS-01": 3, "FG-SMK-03": 2}
NO_DATA_METRIC = {"SYS-01": None, "FG-SMK-03": "smoke_alarm"}

# A door sensor says open or closed; the table's seconds are how long it may stay open.
OPEN_TOO_LONG = {"door_open"}

# Rules that the table lacks.
ADDED = [
    {
        "rule_id": "SYS-SOS-01", "pack": "system", "metric": "sos", "point_type": "any", "unit": "bool",
        "op": "=", "threshold": "1", "for_s": "0", "clear_op": "=", "clear_threshold": "0",
        "clear_for_s": "0", "severity": "P0", "clause": "",
        "source_read": "none: a pressed emergency button needs no clause", "confidence": "E", "note": "",
    },
]

# What the product's rule kinds cannot judge, and why.
LEFT_OUT = {
    "CN-SMP-02": "judges one weighing, not a value that lasts",
    "CN-SMP-03": "judges a record of samples",
    "CN-SMP-04": "judges a record of samples against the menu",
    "CN-DZ-01": "dose: minutes in a band, summed",
    "CN-DZ-02": "dose: minutes in a band, summed",
    "CN-CK-01": "judges the one reading at the end of cooking",
    "CN-CL-01": "stages of cooling",
    "CN-CL-02": "stages of cooling",
    "CN-UV-01": "correlation of lamp and first entry",
    "CN-UV-02": "correlation of lamp and camera",
    "CN-UV-03": "a quarterly reading by hand",
    "CN-DS-01": "cycle: longest run above a limit",
    "CN-DS-02": "cycle: longest run above a limit",
    "CN-DS-03": "cycle: longest run above a limit",
    "CN-DS-04": "cycle: concentration and time",
    "CN-DS-05": "counts cycles between meals",
    "CN-HW-01": "a statistic, not an alarm",
    "CN-MC-01": "judges a record of people",
    "CN-MC-02": "judges one measurement of one person",
    "CN-CERT-01": "judges a record of people",
    "CN-LIC-01": "judges a record of the facility",
    "CN-CAM-01": "judges cameras, which are no points of measurement",
    "CN-CAM-02": "judges cameras, which are no points of measurement",
    "CN-GOV-01": "judges a ledger",
    "FG-GAS-04": "judges a register of devices",
    "FG-GAS-05": "correlation of valve and presence",
    "FG-HOOD-01": "correlation of hood and stove",
    "SYS-02": "a value that does not change",
    "SYS-03": "a rate of change",
    "SYS-05": "compares clocks, not a metric",
    "SYS-06": "suppresses other rules",
    "US-CL-01": "stages of cooling",
    "US-CL-02": "stages of cooling",
    "US-DS-01": "cycle: longest run above a limit",
    "EU-CC-01": "the limit is the site's own",
    "EU-LOG-01": "judges a register of devices",
    "FR-CL-01": "stages of cooling",
    "HK-CL-01": "stages of cooling",
}

SAMR = "2018 (SAMR announcement No. 12 of 2018)"
EDITION = {
    "CN-TMP-01": SAMR, "CN-TMP-02": SAMR, "CN-TMP-03": SAMR, "CN-HOT-01": SAMR, "CN-RM-01": SAMR,
    "CN-TMP-04": "notice of 2025-07; edition of GB/T 24616 not checked",
    "CN-SMP-01": "practice of 2023-06 (Zhejiang)",
    "FG-GAS-01": "2019",
    "FG-SMK-01": "2025", "FG-SMK-02": "2025",
    "EN-AIR-01": "2022", "EN-AIR-02": "2022",
    "US-TMP-01": "as adopted in WAC 246-215-03525", "US-HOT-01": "as adopted in WAC 246-215-03525",
    "US-EGG-01": "as adopted in WAC 246-215-03525",
    "UK-TMP-01": "2013 (UKSI 2013/2996)", "UK-HOT-01": "2006 (WSI 2006/31)",
}

FRIDGE_ZH = "检查柜门是否关严、是否塞得过满；温度不降就把食品移到别的冷藏柜并报修。"
FRIDGE_EN = "Check that the door is shut and the fridge not overfull; if it stays warm, move the food and call repair."
GAS_ZH = "立即关火、关总阀、开窗，不碰任何电器开关，人员撤离后再打电话。"
GAS_EN = "Put out flames, shut the main valve, open windows, touch no switch, get everyone out, then phone."
CO_ZH = "立即关火、开窗通风，全员撤到室外；有人头晕就拨打 120。"
CO_EN = "Put out flames, open windows, get everyone outside; if anyone is dizzy call an ambulance."

# title and action, in Chinese and English
WORDS = {
    "CN-TMP-01": ("冷藏柜温度过高", "Fridge too warm", FRIDGE_ZH, FRIDGE_EN),
    "CN-TMP-02": ("冷藏柜温度过低", "Fridge too cold",
        "调高温控；检查冷藏食品是否结冰，再看探头是否松脱。",
        "Turn the thermostat up; check the food for ice, then the probe."),
    "CN-TMP-03": ("冷冻柜温度过高", "Freezer too warm",
        "检查柜门和结霜；已化冻的食品不要再冻，移走并报修。",
        "Check door and frost; do not refreeze thawed food, move it and call repair."),
    "CN-TMP-04": ("冷冻柜未达 -18 °C", "Freezer not at -18 °C",
        "检查门封条和结霜，安排除霜。", "Check the door seal and frost; plan a defrost."),
    "CN-SMP-01": ("留样柜温度过高", "Sample fridge too warm",
        "马上把留样移到 0-8 °C 的柜子，记下时间，报修留样柜。",
        "Move the samples to a fridge at 0-8 °C now, note the time, call repair."),
    "CN-HOT-01": ("热藏食品温度过低", "Hot-held food too cool",
        "重新加热到中心 70 °C 以上；低于 60 °C 超过 2 小时的倒掉。",
        "Reheat to 70 °C at the core; throw away what was below 60 °C for over 2 hours."),
    "CN-RM-01": ("专间温度过高", "Special room too warm",
        "打开专间空调，降到 25 °C 以下再操作。", "Turn on the room's air conditioning; work only below 25 °C."),
    "FG-GAS-01": ("燃气泄漏低限报警", "Gas leak: low alarm", GAS_ZH, GAS_EN),
    "FG-GAS-02": ("燃气泄漏报警", "Gas leak", GAS_ZH, GAS_EN),
    "FG-GAS-03": ("燃气浓度危险", "Gas at a dangerous level", GAS_ZH, GAS_EN),
    "FG-CO-01": ("一氧化碳长时间偏高", "Carbon monoxide raised for an hour", CO_ZH, CO_EN),
    "FG-CO-02": ("一氧化碳超标", "Carbon monoxide high", CO_ZH, CO_EN),
    "FG-CO-03": ("一氧化碳危险", "Carbon monoxide dangerous", CO_ZH, CO_EN),
    "FG-SMK-01": ("烟雾报警", "Smoke alarm",
        "看清火源：小火用灭火器或灭火毯；控制不住就撤离并拨打 119。",
        "Find the source: small fire, extinguisher or blanket; if not, get out and call the fire brigade."),
    "FG-SMK-02": ("烟感电池电量低", "Smoke detector battery low",
        "今天更换电池，并按测试键试响。", "Change the battery today and press the test button."),
    "FG-SMK-03": ("烟感失联", "Smoke detector silent",
        "到现场按测试键；不响就更换，换好前安排人巡查。",
        "Press its test button; if it stays silent replace it, and patrol until then."),
    "FG-HEAT-01": ("厨房顶部高温", "Heat at the kitchen ceiling",
        "检查灶台和烟罩是否起火；起火就关气、灭火、撤离并拨打 119。",
        "Check stove and hood for fire; if there is one, shut the gas, fight it or get out, call the fire brigade."),
    "FG-ELE-01": ("配电线缆过热", "Electric cable too hot",
        "断开该回路，停用大功率设备，请电工检查后再合闸。",
        "Switch that circuit off, stop heavy appliances, let an electrician check it first."),
    "EN-AIR-01": ("二氧化碳偏高", "Carbon dioxide raised", "打开排风和窗户。", "Turn on the extraction and open windows."),
    "EN-AIR-02": ("PM2.5 偏高", "PM2.5 raised", "打开排风，检查油烟净化器。", "Turn on the extraction and check its filter."),
    "EN-HUM-01": ("干货库潮湿", "Dry store too damp",
        "开除湿机，检查米面有无受潮发霉。", "Run the dehumidifier; check rice and flour for damp and mould."),
    "EN-WTR-01": ("地面漏水", "Water leak",
        "关闭水阀，擦干地面防滑倒，找到漏点报修。", "Shut the water off, dry the floor, find the leak and call repair."),
    "EN-DOOR-01": ("冷库门未关", "Cold-room door left open",
        "关好冷库门，检查库温是否回落。", "Shut the door and check that the temperature falls."),
    "EN-DOOR-02": ("专间门未关", "Special-room door left open", "随手关好专间门。", "Shut the door of the special room."),
    "EN-PEST-01": ("捕鼠器触发", "Rodent trap tripped",
        "拍照后清理并消毒，检查附近食品和孔洞，联系消杀公司。",
        "Take a photo, clear and disinfect, check food and holes nearby, call pest control."),
    "SYS-01": ("设备无数据", "No data from the sensor",
        "检查设备的电源、电池和网络；恢复前用温度计人工记录。",
        "Check its power, battery and network; until it is back, measure by hand and write it down."),
    "SYS-04": ("设备电量低", "Sensor battery low", "一周内更换电池。", "Change the battery within a week."),
    "SYS-SOS-01": ("紧急呼叫", "SOS call",
        "马上到现场查看；联系不上就拨打 120 或 110。",
        "Go there at once; if you cannot reach the person call an ambulance or the police."),
    "US-TMP-01": ("冷藏食品温度过高", "Cold-held food too warm", FRIDGE_ZH, FRIDGE_EN),
    "US-HOT-01": ("热藏食品温度过低", "Hot-held food too cool",
        "重新加热到 74 °C；低于 57 °C 超过 4 小时的倒掉。",
        "Reheat to 74 °C (165 °F); throw away what was below 57 °C (135 °F) for over 4 hours."),
    "US-EGG-01": ("蛋品冷藏温度过高", "Egg fridge too warm", FRIDGE_ZH, FRIDGE_EN),
    "UK-TMP-01": ("冷藏食品温度过高", "Chilled food too warm", FRIDGE_ZH, FRIDGE_EN),
    "UK-HOT-01": ("热藏食品温度过低", "Hot-held food too cool",
        "重新加热到中心滚烫；低于 63 °C 超过 2 小时的倒掉。",
        "Reheat until steaming throughout; throw away what was below 63 °C for over 2 hours."),
}


def quote(text):
    """A TOML basic string: JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False)


def judgement(row):
    """The rule's kind as an inline table, with its unit, or None when it is left out."""
    rule = row["rule_id"]
    if rule in NO_DATA:
        return f'{{ kind = "no_data", intervals = {NO_DATA[rule]} }}', None
    if row["unit"] == "bool" or row["metric"] in OPEN_TOO_LONG:
        return '{ kind = "boolean" }', "bool"
    return (
        f'{{ kind = "threshold", op = {quote(row["op"])}, limit = {float(row["threshold"])}, '
        f'clear_op = {quote(row["clear_op"])}, clear_limit = {float(row["clear_threshold"])} }}'
    ), row["unit"]


def hold_s(row):
    return int(row["threshold"]) if row["metric"] in OPEN_TOO_LONG else int(row["for_s"])


def edition(row):
    if row["rule_id"] in EDITION:
        return EDITION[row["rule_id"]]
    if row["confidence"] == "E":
        return f"{DATE} (own judgement)"
    return f"not checked, as of {DATE}"


def source(row):
    if row["source_read"]:
        return row["source_read"]
    return "none: own judgement" if row["confidence"] == "E" else "none: known from memory"


def rule_text(row):
    rule = row["rule_id"]
    judge, unit = judgement(row)
    title_zh, title_en, action_zh, action_en = WORDS[rule]
    metric = NO_DATA_METRIC.get(rule, row["metric"])
    latched = metric in LATCHED_METRICS and rule not in NO_DATA or rule in LATCHED_RULES
    lines = ["[[rule]]", f"id = {quote(rule)}"]
    if metric:
        lines.append(f"metric = {quote(metric)}")
    if row["point_type"] != "any":
        lines.append(f"point_type = {quote(row['point_type'])}")
    if unit and unit != "bool":
        lines.append(f"unit = {quote(unit)}")
    lines += [
        f"judge = {judge}",
        f"hold_s = {hold_s(row)}",
        f"clear_hold_s = {int(row['clear_for_s'])}",
        f"latched = {'true' if latched else 'false'}",
        f"severity = {quote(row['severity'])}",
        f"clause = {quote(row['clause'] or 'engineering')}",
        f"edition = {quote(edition(row))}",
        f"source = {quote(source(row))}",
        f"confidence = {quote(CONFIDENCE[row['confidence']])}",
        f"title_zh = {quote(title_zh)}",
        f"title_en = {quote(title_en)}",
        f"action_zh = {quote(action_zh)}",
        f"action_en = {quote(action_en)}",
    ]
    return "\n".join(lines)


def pack_text(pack, rows):
    title_zh, title_en = PACKS[pack]
    head = ["# Written by scripts/rules-from-csv.py from rules.csv: change those, not this file."]
    left_out = [r for r in rows if r["rule_id"] in LEFT_OUT]
    if left_out:
        head += ["#", "# Left out until there is a kind of rule that can judge it:"]
        head += [f"#   {r['rule_id']}  {r['metric']}: {LEFT_OUT[r['rule_id']]}" for r in left_out]
    head += ["", f"pack = {quote(pack)}", f"version = {quote(VERSION)}",
             f"title_zh = {quote(title_zh)}", f"title_en = {quote(title_en)}"]
    rules = [rule_text(r) for r in rows if r["rule_id"] not in LEFT_OUT]
    return "\n".join(head) + "\n\n" + "\n\n".join(rules) + "\n"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    table = pathlib.Path(sys.argv[1])
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else table.parent
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) + ADDED
    undecided = [r["rule_id"] for r in rows if (r["rule_id"] in WORDS) == (r["rule_id"] in LEFT_OUT)]
    unknown = sorted({r["pack"] for r in rows} - PACKS.keys())
    if undecided or unknown:
        sys.exit(f"decide on these rules in WORDS or LEFT_OUT: {undecided}; unknown packs: {unknown}")
    for pack in PACKS:
        (target / f"{pack}.toml").write_text(pack_text(pack, [r for r in rows if r["pack"] == pack]), encoding="utf-8")


if __name__ == "__main__":
    main()
