#!/usr/bin/env python3
"""Writes the built-in rule packs from a table of rules.

    scripts/rules-from-csv.py domain/packs/rules.csv [OUTPUT_DIRECTORY]

The table gives the numbers and where they come from; this script says both in words for people, in Chinese
and English, and which kind of rule judges each. What it leaves out stands, with the reason, at the head of its pack. The same table always gives the same files.
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
LATCHED_METRICS = {"combustible_gas", "co", "smoke_alarm", "sos", "gas_alarm", "co_alarm"}
LATCHED_RULES = {"FG-HEAT-01"}

# What endangers life is judged wherever it is measured: a point that was given another type must not be deaf.
ANYWHERE = {"FG-GAS-01", "FG-GAS-02", "FG-GAS-03", "FG-GAS-06", "FG-CO-01", "FG-CO-02", "FG-CO-03", "FG-SMK-01"}

# Silence, in report intervals. The table's 26 h for smoke detectors presumes a heartbeat every 24 h;
# the product knows each point's own interval.
NO_DATA = {"SYS-01": 3, "FG-SMK-03": 2, "SYS-CAM-01": 4}
NO_DATA_METRIC = {"SYS-01": None, "SYS-CAM-01": None, "FG-SMK-03": "smoke_alarm"}

# A door sensor says open or closed; the table's seconds are how long it may stay open.
OPEN_TOO_LONG = {"door_open", "camera_offline"}

# Rules that the table lacks.
ADDED = [
    {
        "rule_id": "SYS-SOS-01", "pack": "system", "metric": "sos", "point_type": "any", "unit": "bool",
        "op": "=", "threshold": "1", "for_s": "0", "clear_op": "=", "clear_threshold": "0",
        "clear_for_s": "0", "severity": "P0", "clause": "",
        "source_read": "none: a pressed emergency button needs no clause", "confidence": "E", "note": "",
    },
    {
        "rule_id": "SYS-VIS-01", "pack": "system", "metric": "vision_fault", "point_type": "any", "unit": "bool",
        "op": "=", "threshold": "1", "for_s": "0", "clear_op": "=", "clear_threshold": "0",
        "clear_for_s": "60", "severity": "P3", "clause": "",
        "source_read": "none: own judgement", "confidence": "E", "note": "",
    },
    {
        "rule_id": "SYS-CAM-01", "pack": "system", "metric": "any", "point_type": "camera", "unit": "s",
        "op": ">", "threshold": "0", "for_s": "21600", "clear_op": "<", "clear_threshold": "0",
        "clear_for_s": "0", "severity": "P3", "clause": "",
        "source_read": "none: own judgement", "confidence": "E", "note": "",
    },
]

# What stays out of the packs, and why.
LEFT_OUT = {
    "CN-HW-01": "a statistic, not an alarm, by the table's own word",
    "SYS-06": "no rule: a window that sets rules aside (see docs/RULES.md); 45 minutes at most, four a day",
    "EU-CC-01": "the law gives no number: a site enters its own limit as an override of UK-TMP-01",
}


def event(op, limit):
    return f'{{ kind = "event", op = "{op}", limit = {float(limit)} }}'


def dose(low, high, weigh, limit, reset, reset_s):
    band = "".join(f"{name} = {float(end)}, " for name, end in (("low", low), ("high", high)) if end is not None)
    return (f'{{ kind = "dose", {band}weigh = "{weigh}", limit = {float(limit)}, '
            f'reset = "{reset}", reset_s = {reset_s} }}')


def stage(start, *steps):
    each = ", ".join(f"{{ to = {float(to)}{f', within_s = {s}' if s else ''} }}" for to, s in steps)
    return f'{{ kind = "stage", from = {float(start)}, steps = [{each}] }}'


def cycle(begin, limit, for_s):
    return f'{{ kind = "cycle", begin = {float(begin)}, limit = {float(limit)}, for_s = {for_s} }}'


def missing(by, within_s, op=">=", limit=1):
    times = ", ".join(f'"{t}"' for t in by)
    return f'{{ kind = "missing", op = "{op}", limit = {float(limit)}, by = [{times}], within_s = {within_s} }}'


def below(limit, clear):
    return f'{{ kind = "threshold", op = "<", limit = {float(limit)}, clear_op = ">=", clear_limit = {float(clear)} }}'


def joint(op, limit, with_, near, window_s=0, over_s=None):
    """A correlation; `with_` holds (metric, op, limit, every)."""
    rise = f"over_s = {over_s}, " if over_s else ""
    clauses = ", ".join(
        f'{{ metric = "{m}", op = "{o}", limit = {float(l)}{", every = true" if every else ""} }}' for m, o, l, every in with_)
    return (f'{{ kind = "correlation", op = "{op}", limit = {float(limit)}, {rise}with = [{clauses}], '
            f'window_s = {window_s}, near = "{near}" }}')


DAY = 24 * 3600
BOOLEAN = '{ kind = "boolean" }'
# Rules of the kinds that a row of the table cannot spell: what is judged, and where it differs from the row, in
# which unit, of which metric and point type, and how long it must hold.
SPECIAL = {
    "CN-SMP-02": {"judge": event("<", 125), "unit": "g", "latched": True},
    "CN-SMP-03": {"judge": event("<", 48), "unit": "h", "latched": True},
    # Breakfast, lunch and supper begin at 06:30, 11:00 and 17:00.
    "CN-SMP-04": {"judge": missing(["07:30", "12:00", "18:00"], 7200), "unit": "count", "metric": "samples_taken"},
    "CN-DZ-01": {"judge": dose(8, 60, "time", 120, "above", 600), "unit": "degC", "metric": "temperature"},
    "CN-DZ-02": {"judge": dose(8, 60, "time", 90, "above", 600), "unit": "degC", "metric": "temperature"},
    "CN-CK-01": {"judge": event("<", 70), "unit": "degC", "latched": True},
    "CN-CL-01": {"judge": stage(60, (21, 7200)), "unit": "degC", "metric": "temperature"},
    "CN-CL-02": {"judge": stage(60, (21, None), (8, 7200)), "unit": "degC", "metric": "temperature"},
    "CN-UV-01": {"judge": cycle(1, 1, 1800), "metric": "uv_on"},
    "CN-UV-02": {"judge": joint(">=", 1, [("person_count", ">", 0, False)], "place"), "metric": "uv_on",
                 "point_type": "uv_lamp", "hold_s": 5, "clear_hold_s": 30},
    # The special room is first entered for lunch's cold dishes.
    "CN-UV-04": {"judge": missing(["09:00"], 12 * 3600), "metric": "uv_on"},
    "CN-UV-03": {"judge": below(70, 75), "unit": "uW/cm2"},
    "CN-DS-01": {"judge": cycle(60, 100, 600), "unit": "degC", "metric": "temperature"},
    "CN-DS-02": {"judge": cycle(60, 120, 600), "unit": "degC", "metric": "temperature"},
    "CN-DS-03": {"judge": cycle(60, 85, 40), "unit": "degC"},
    "CN-DS-04": {"judge": cycle(50, 250, 300), "unit": "mg/L"},
    # Before lunch and before supper; the cabinet reports each cycle that it completed.
    "CN-DS-05": {"judge": missing(["10:30", "16:30"], 6 * 3600), "metric": "disinfection_done"},
    "CN-MC-01": {"judge": missing(["08:00"], 4 * 3600), "unit": "count", "metric": "morning_check"},
    "CN-MC-02": {"judge": event(">", 37.3), "unit": "degC", "latched": True},
    "CN-CERT-01": {"judge": below(30, 30), "unit": "d"},
    "CN-LIC-01": {"judge": below(60, 60), "unit": "d", "severity": "P3"},
    "CN-LIC-02": {"judge": below(30, 30), "unit": "d"},
    "CN-LIC-03": {"judge": below(7, 7), "unit": "d"},
    "CN-GOV-01": {"judge": missing(["20:00"], DAY), "metric": "daily_control_done"},
    "CN-GOV-02": {"judge": missing(["20:00"], 7 * DAY), "metric": "weekly_review_done"},
    "CN-GOV-03": {"judge": missing(["20:00"], 31 * DAY), "metric": "monthly_meeting_done"},
    "CN-TMP-05": {"judge": joint(">", 8, [("door_open", ">=", 1, False)], "place"), "unit": "degC",
                  "hold_s": 300, "clear_hold_s": 60},
    "FG-CO-01": {"judge": dose(50, None, "value", 3000, "below", 600), "unit": "ppm"},
    "FG-GAS-04": {"judge": below(1, 1), "unit": "count", "metric": "gas_alarms_working"},
    "FG-GAS-05": {"judge": joint(">=", 1, [("person_count", "<", 1, True)], "facility"), "metric": "gas_valve_open",
                  "hold_s": 600},
    "FG-GAS-06": {"judge": joint(">", 1, [("stove_unattended", ">=", 1, False)], "facility", 60, 30), "unit": "%LEL",
                  "hold_s": 30, "clear_hold_s": 60},
    "FG-HOOD-01": {"judge": joint(">=", 1, [("hood_on", "<", 1, True)], "facility"), "metric": "stove_on",
                   "point_type": "stove", "hold_s": 60, "clear_hold_s": 30},
    "EN-PEST-02": {"judge": joint(">=", 1, [("off_hours_presence", ">=", 1, False)], "facility", 1800)},
    "SYS-02": {"judge": '{ kind = "stuck", for_s = 21600, tolerance = 0.0 }', "unit": "degC", "metric": "temperature"},
    "SYS-03": {"judge": '{ kind = "rate_of_change", op = ">", limit = 2.0, clear_op = "<=", clear_limit = 1.0, over_s = 60 }',
               "unit": "degC", "metric": "temperature", "hold_s": 120, "clear_hold_s": 300},
    "SYS-05": {"judge": '{ kind = "clock_skew", limit_s = 300, clear_s = 60, for_s = 600 }', "metric": None},
    "SYS-07": {"judge": BOOLEAN},
    "SYS-GW-01": {"judge": BOOLEAN, "hold_s": 60},
    "SYS-PWR-01": {"judge": BOOLEAN},
    "SYS-CAL-01": {"judge": '{ kind = "threshold", op = "<=", limit = 0.0, clear_op = ">", clear_limit = 0.0 }',
                   "unit": "d"},
    "FG-GAS-07": {"judge": BOOLEAN, "latched": True, "clear_hold_s": 60},
    "FG-CO-04": {"judge": BOOLEAN, "latched": True, "clear_hold_s": 600},
    "US-CL-01": {"judge": stage(57, (21, 7200)), "unit": "degC", "metric": "temperature"},
    "US-CL-02": {"judge": stage(57, (5, 21600)), "unit": "degC", "metric": "temperature"},
    "US-DS-01": {"judge": cycle(60, 82, 0), "unit": "degC"},
    "EU-LOG-01": {"judge": '{ kind = "threshold", op = ">", limit = 2.0, clear_op = "<=", clear_limit = 2.0 }', "unit": "1"},
    "FR-CL-01": {"judge": stage(63, (10, 7200)), "unit": "degC", "metric": "temperature"},
    "HK-CL-01": {"judge": stage(60, (20, 7200), (4, 14400)), "unit": "degC", "metric": "temperature"},
}


def added(rule, pack, metric, point_type, severity, confidence="E"):
    return {"rule_id": rule, "pack": pack, "metric": metric, "point_type": point_type, "unit": "", "op": "", "threshold": "",
            "for_s": "0", "clear_op": "", "clear_threshold": "", "clear_for_s": "0", "severity": severity, "clause": "",
            "source_read": "", "confidence": confidence, "note": ""}


ADDED += [
    added("CN-LIC-02", "cn-canteen", "licence_days_left", "facility", "P2"),
    added("CN-LIC-03", "cn-canteen", "licence_days_left", "facility", "P1"),
    added("CN-GOV-02", "cn-canteen", "weekly_review_done", "ledger", "P3", "S"),
    added("CN-GOV-03", "cn-canteen", "monthly_meeting_done", "ledger", "P3", "S"),
    added("CN-TMP-05", "cn-canteen", "temperature", "fridge_air", "P3"),
    added("FG-GAS-06", "fire-gas", "combustible_gas", "kitchen_gas", "P0"),
    added("FG-GAS-07", "fire-gas", "gas_alarm", "any", "P0", "M"),
    added("FG-CO-04", "fire-gas", "co_alarm", "any", "P0", "S"),
    added("CN-UV-04", "cn-canteen", "uv_on", "uv_lamp", "P2"),
    added("SYS-07", "system", "battery_low", "any", "P4"),
    added("SYS-GW-01", "system", "gateway_offline", "any", "P2"),
    added("SYS-PWR-01", "system", "mains_lost", "any", "P2"),
    added("SYS-CAL-01", "system", "calibration_days_left", "any", "P3", "S"),
    added("EN-PEST-02", "environment", "rodent_trap_trip", "trap", "P1"),
]

# What a rule rests on, for people: clause, edition and source, each in Chinese and English. A text that is the
# same in both stands alone. They say what the table says and nothing beyond it.
SAMR = ("《餐饮服务食品安全操作规范》（市场监管总局公告2018年第12号）", "Food safety code of practice for catering (SAMR announcement No. 12 of 2018)")
OWN_CLAUSE = ("无对应条文，按工程经验设定", "no clause: engineering judgement")
OWN_EDITION = (f"{DATE}（自定）", f"{DATE} (own judgement)")
OWN_SOURCE = ("无：自行判断", "none: own judgement")
UNCHECKED = (f"版本未核对（{DATE}）", f"not checked, as of {DATE}")
FROM_MEMORY = ("无：凭记忆", "none: known from memory")
WAC = ("按华盛顿州 WAC 246-215-03525 采纳的文本", "as adopted in WAC 246-215-03525")
WAC_SOURCE = ("WAC 246-215-03525，见 apps.leg.wa.gov", "WAC 246-215-03525 on apps.leg.wa.gov")
CO_SOURCE = ("nano-sense.com 与 co-gassafety.co.uk（两处一致）", "nano-sense.com; co-gassafety.co.uk (agree)")


def samr(zh, en):
    return (f"{SAMR[0]}：{zh}", f"{SAMR[1]}: {en}")


CHILLED = samr("冷藏 0–8 °C", "chilled storage 0–8 °C")
CHILLED_SOURCE = (
    "《杭州日报》2023-06-07（留样柜 0–8 °C 报警）；检索到的2011年版为 0–10 °C",
    "Hangzhou Daily 2023-06-07 (sample fridge alarm at 0–8 °C); a search hit of the 2011 edition says 0–10 °C",
)
AUTHORITY = {
    "CN-SMP-02": (("GB 31654-2021《餐饮服务通用卫生规范》：每个品种留样不少于 125 g", "GB 31654-2021, general hygiene for catering: at least 125 g of each dish is kept"), "2021",
        ("两个公开代码库引用该条；某校检查表；一所高校用 200 g", "two public code bases that quote the clause; a school's checklist; one university uses 200 g")),
    "CN-SMP-03": (("GB 31654-2021《餐饮服务通用卫生规范》：留样保存 48 小时以上", "GB 31654-2021, general hygiene for catering: samples are kept for 48 h or more"), "2021",
        ("两个公开代码库引用该条；某校网页", "two public code bases that quote the clause; a university's page")),
    "CN-SMP-04": (("《食品安全法实施条例》第28条（养老机构食堂应当留样）；餐后 1 小时为自定", "Implementing Regulations of the Food Safety Law, Art. 28 (canteens of care homes keep samples); the hour after the meal is our own"), UNCHECKED,
        ("某指南第458页所引第28条", "Art. 28 as quoted in a guide, page 458")),
    "CN-DZ-01": (("GB 31654-2021 与《餐饮服务食品安全操作规范》：8–60 °C 存放不超过 2 小时", "GB 31654-2021 and the catering code of practice: at most 2 h between 8 and 60 °C"), UNCHECKED,
        ("中国烹饪协会饮品标准2019年报道；食品条文凭记忆", "China Cuisine Association, news of 2019 on a drinks standard; the clause on food is from memory")),
    "CN-DZ-02": (("CN-DZ-01 的预警，90 分钟为自定", "early warning of CN-DZ-01; the 90 minutes are our own"), OWN_EDITION, OWN_SOURCE),
    "CN-CK-01": (samr("加工和再加热的中心温度不低于 70 °C", "cooked and reheated to 70 °C or more at the core"), "2018",
        ("orlabait.com 引用的部门规章（中心 70 °C 以上）；2025-07 的通知：再加热 70 °C", "a ministry's rule as quoted on orlabait.com (70 °C or more at the core); notice of 2025-07: reheating to 70 °C")),
    "CN-CL-01": (samr("2 小时内从 60 °C 降到 21 °C", "from 60 to 21 °C within 2 h"), "2018",
        ("凭记忆；香港食安中心为 2 小时降到 20 °C、再 4 小时降到 4 °C（不同）", "from memory; Hong Kong's CFS says 20 °C in 2 h, then 4 °C in 4 h, which differs")),
    "CN-CL-02": (samr("再 2 小时内从 21 °C 降到 8 °C", "from 21 to 8 °C within a further 2 h"), "2018", FROM_MEMORY),
    "CN-UV-01": (samr("紫外线灯在每次使用前无人时照射 30 分钟以上并记录", "UV lamps run for 30 minutes or more, with nobody there, before each use, and that is recorded"), "2018",
        ("cardozapub 食堂规范：无人工作时 30 分钟以上并有记录", "cardozapub canteen specification: over 30 minutes when nobody works there, with records")),
    "CN-UV-02": (samr("紫外线灯只在无人时开启", "UV lamps are on only while nobody is there"), "2018",
        ("cardozapub 食堂规范（同上条）", "cardozapub canteen specification, the same clause")),
    "CN-UV-03": (("紫外线灯辐照强度不低于 70 µW/cm²，距离不超过 2 m", "UV irradiance of 70 µW/cm² or more, at most 2 m away"), ("2009/2011 版", "2009 and 2011 editions"),
        ("readke.com 与 t1958.com 的网页", "pages of readke.com and t1958.com")),
    "CN-DS-01": (samr("附录：蒸汽或煮沸 100 °C 10 分钟以上", "annex: steam or boiling at 100 °C for 10 minutes or more"), "2018",
        ("kfzbg.com：5–10 分钟；husay.cn：10 分钟", "kfzbg.com: 5–10 min; husay.cn: 10 min")),
    "CN-DS-02": (samr("附录：红外线 120 °C 以上 10 分钟以上", "annex: infrared at 120 °C or more for 10 minutes or more"), "2018",
        ("二手资料：120 °C 15–20 分钟", "secondary: 120 °C for 15–20 min")),
    "CN-DS-03": (("2011 版：85 °C 40 秒；2018 版只要求确保效果", "2011 edition: 85 °C for 40 s; the 2018 edition only asks for the effect"), "2011",
        ("husay.cn：约 85 °C、40 秒；可按洗碗机说明书改", "husay.cn: about 85 °C for 40 s; a site may follow its machine's manual")),
    "CN-DS-04": (samr("附录：有效氯 250 mg/L 浸泡 5 分钟以上", "annex: free chlorine of 250 mg/L for 5 minutes or more"), "2018",
        ("某校检查表：250 mg/L 30 分钟", "a school's checklist: 250 mg/L for 30 min")),
    "CN-DS-05": (("餐具用一次消毒一次", "tableware is disinfected after each use"), UNCHECKED,
        ("余杭2021年：每日检查消毒柜状态", "Yuhang 2021: the cabinet's state is checked each day")),
    "CN-MC-01": (("上岗前晨检；8 时为自定", "health check before work; eight o'clock is our own"), UNCHECKED,
        ("杭州2023年：晨检机，戴帽和口罩才能通过", "Hangzhou 2023: a check-in machine that passes nobody without hat and mask")),
    "CN-MC-02": (("晨检体温，设备默认 35.9–37.3 °C", "temperature at the morning check, the device's default 35.9–37.3 °C"), UNCHECKED,
        ("jiangyang118/supervisor 的说明（normalTemperatureRange=35.9-37.3）", "README of jiangyang118/supervisor (normalTemperatureRange=35.9-37.3)")),
    "CN-CERT-01": (("《食品安全法》第45条：每年健康检查；30 天为自定", "Food Safety Law, Art. 45: yearly health check; the 30 days are our own"), UNCHECKED,
        ("公开代码中的引用", "quoted in public code")),
    "CN-TMP-05": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "FG-GAS-04": (("《安全生产法》第36条：使用燃气的餐饮单位应当安装报警装置", "Work Safety Law, Art. 36: caterers that use gas install alarm devices"), UNCHECKED,
        ("qdddl.cn 引用第36条", "Art. 36 as quoted on qdddl.cn")),
    "FG-GAS-05": (("行业惯例", "good practice"), OWN_EDITION, OWN_SOURCE),
    "FG-GAS-06": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "FG-HOOD-01": (("烹饪时应开启排油烟", "fumes are extracted while cooking"), OWN_EDITION, OWN_SOURCE),
    "EN-PEST-02": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "SYS-02": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "SYS-03": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "SYS-05": (OWN_CLAUSE, OWN_EDITION, ("theengs #239 中有人提出需要", "theengs #239 asks for it")),
    "US-CL-01": (("FDA 食品法典 3-501.14：2 小时内从 57 °C 降到 21 °C（135→70 °F）", "FDA Food Code 3-501.14: 57 to 21 °C (135 to 70 °F) within 2 h"), UNCHECKED,
        ("ask.com 摘录；代码中的 ProofKit 文字", "extract on ask.com; ProofKit's text in public code")),
    "US-CL-02": (("FDA 食品法典 3-501.14：共 6 小时内降到 5 °C（41 °F）", "FDA Food Code 3-501.14: to 5 °C (41 °F) within 6 h in all"), UNCHECKED,
        ("ask.com 摘录；代码中的 ProofKit 文字", "extract on ask.com; ProofKit's text in public code")),
    "US-DS-01": (("FDA 食品法典 4-501.112：漂洗水 82 °C（180 °F），餐具表面 71 °C", "FDA Food Code 4-501.112: final rinse at 82 °C (180 °F), 71 °C at the utensil's surface"), UNCHECKED, FROM_MEMORY),
    "EU-LOG-01": (("EN 12830:2018 温度记录仪、EN 13486 定期校验：至少 2 级", "EN 12830:2018 recorders and EN 13486 periodic verification: class 2 or better"), "2018",
        ("crtech.co.uk；theiteh.com（适用范围 -80～85 °C）", "crtech.co.uk; theiteh.com (scope -80 to 85 °C)")),
    "FR-CL-01": (("法国 2009-12-21 法令：2 小时内从 63 °C 降到 10 °C", "French order of 21 December 2009: 63 to 10 °C within 2 h"), "2009",
        ("glama.ai 上 frigolog 工具的文字", "text of the frigolog tool on glama.ai")),
    "HK-CL-01": (("香港食物安全中心两段冷却：2 小时内到 20 °C，再 4 小时内到 4 °C", "Hong Kong CFS, two-stage cooling: to 20 °C within 2 h, then to 4 °C within 4 h"), UNCHECKED,
        ("食物安全中心网页 cfs.gov.hk/safe_kitchen/cooling", "the CFS page cfs.gov.hk/safe_kitchen/cooling")),
    "CN-TMP-01": (CHILLED, "2018", CHILLED_SOURCE),
    "CN-TMP-02": (CHILLED, "2018", CHILLED_SOURCE),
    "CN-TMP-03": (samr("冷冻宜低于 -12 °C", "frozen storage preferably below -12 °C"), "2018",
        ("未找到原文；查到的旧版为 -20～-1 °C 和 -18～-1 °C", "none; older editions found: -20 to -1 °C and -18 to -1 °C")),
    "CN-TMP-04": (("GB/T 24616，行业惯例 -18 °C", "GB/T 24616 and good practice: -18 °C"),
        ("2025-07 的通知；GB/T 24616 版本未核对", "notice of 2025-07; edition of GB/T 24616 not checked"),
        ("2025-07 食品贮存通知（冷冻柜不高于 -18 °C）", "food-storage notice of 2025-07 (freezer at or below -18 °C)")),
    "CN-SMP-01": (("留样柜 0–8 °C", "food samples kept at 0–8 °C"),
        ("2023-06 浙江的做法", "practice of 2023-06 (Zhejiang)"),
        ("《杭州日报》2023-06-07：浙江养老机构阳光厨房，留样柜 0–8 °C，超温报警",
         "Hangzhou Daily 2023-06-07: 0–8 °C, warning on excess (Zhejiang elder-care sunshine kitchen)")),
    "CN-HOT-01": (samr("热藏不低于 60 °C（供餐时；未登记供餐时段的，全天判定）",
                       "hot holding at 60 °C or more (while serving; judges all day unless service hours are entered)"), "2018",
        ("中国烹饪协会饮品标准2019年报道（当日 60 °C 以上或 8 °C 以下，8–60 °C 最多 2 小时）",
         "China Cuisine Association, news of 2019 on a drinks standard (above 60 or below 8 °C the same day, 8–60 °C at most 2 h)")),
    "CN-RM-01": (samr("专间不高于 25 °C（使用时；未登记使用时段的，全天判定）",
                      "special rooms at 25 °C or less (in use; judges all day unless service hours are entered)"), "2018",
        ("readke.com、t1958.com、taowenge 文档、cardozapub（食堂规范）均为不高于 25 °C",
         "readke.com, t1958.com, a taowenge document, cardozapub (canteen specification): all say 25 °C or less")),
    "FG-GAS-01": (("GB 15322.1-2019（工业及商业用点型，不是家用的 15322.2）：低限报警设定值在 5–25 %LEL 之间",
                   "GB 15322.1-2019 (industrial and commercial point type, not 15322.2 for households): low set-point within 5–25 %LEL"), "2019",
        ("wangblog.cn：15322.1-2019 的适用范围；设定范围凭记忆", "wangblog.cn: scope of 15322.1-2019; the range is from memory")),
    "FG-GAS-02": (("GB/T 50493：一级报警不高于 25 %LEL", "GB/T 50493: level 1 at or below 25 %LEL"), UNCHECKED, FROM_MEMORY),
    "FG-GAS-03": (("高限报警 50 %LEL", "high alarm at 50 %LEL"), UNCHECKED, FROM_MEMORY),
    "FG-CO-01": (("EN 50291：50 ppm 持续 60–90 分钟报警；按浓度×时间 3000 ppm·min 累计", "EN 50291: 50 ppm alarms in 60–90 min; summed as concentration times time, 3,000 ppm·min"), UNCHECKED, CO_SOURCE),
    "FG-CO-02": (("EN 50291：100 ppm 持续 10–40 分钟报警", "EN 50291: 100 ppm alarms in 10–40 min"), UNCHECKED, CO_SOURCE),
    "FG-CO-03": (("EN 50291：300 ppm 在 3 分钟内报警", "EN 50291: 300 ppm alarms within 3 min"), UNCHECKED, CO_SOURCE),
    "FG-SMK-01": (("GB 20517-2025（联网另见 GB/T 45839-2025）", "GB 20517-2025 (networking: GB/T 45839-2025)"), "2025",
        ("69890747.com 的公告；探测器说明书", "announcement on 69890747.com; a detector's manual")),
    "FG-SMK-02": (("GB 20517-2025 第 5.11.1 条：至少每 24 小时检查一次电池；消音 7±1 小时",
                   "GB 20517-2025 5.11.1: battery checked at least every 24 h; mute 7±1 h"), "2025",
        ("gf.cabr-fire.com 第 5.11 条", "gf.cabr-fire.com, 5.11")),
    "FG-SMK-03": (("由每 24 小时检查电池的要求推出", "derived from the battery check every 24 h"), OWN_EDITION, OWN_SOURCE),
    "FG-HEAT-01": (("A1 级感温探测器 54–65 °C（EN 54-5、GB 4716）", "heat detector class A1, 54–65 °C (EN 54-5, GB 4716)"), UNCHECKED, FROM_MEMORY),
    "FG-ELE-01": (("电气火灾监控，45–140 °C（GB 14287.3）", "electrical fire monitoring, 45–140 °C (GB 14287.3)"), UNCHECKED, FROM_MEMORY),
    "EN-AIR-01": (("GB/T 18883-2022：居室二氧化碳 0.10 %（1 小时）；厨房限值自定",
                   "GB/T 18883-2022: CO2 0.10 % (1 h) for living rooms; the limit for kitchens is our own"), "2022", FROM_MEMORY),
    "EN-AIR-02": (("GB/T 18883-2022：PM2.5 24 小时 0.05 mg/m³；厨房限值自定",
                   "GB/T 18883-2022: PM2.5 0.05 mg/m³ over 24 h; the limit for kitchens is our own"), "2022", FROM_MEMORY),
    "EN-HUM-01": (("行业惯例", "good practice"), OWN_EDITION, OWN_SOURCE),
    "EN-WTR-01": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "CN-CAM-01": (("DB53/T 1173-2023 要求监测视频离线状态；10 分钟为自定", "DB53/T 1173-2023 has the video-offline state monitored; the 10 minutes are our own"), "2023",
        ("wnwk.com 的标准介绍页", "introduction of the standard on wnwk.com")),
    "CN-CAM-02": (("DB53/T 1173-2023 要求监测视频离线状态；24 小时为自定", "DB53/T 1173-2023 has the video-offline state monitored; the 24 hours are our own"), "2023",
        ("wnwk.com 的标准介绍页", "introduction of the standard on wnwk.com")),
    "EN-DOOR-01": (OWN_CLAUSE, OWN_EDITION, ("ThingsBoard #1092 中有人提出需要", "ThingsBoard #1092 asks for it")),
    "EN-DOOR-02": (("专间门应及时关闭", "special-room doors are shut in time"), UNCHECKED,
        ("cardozapub 食堂规范第六部分", "cardozapub canteen specification, VI")),
    "EN-PEST-01": (("有害生物防制；湖北一类问题：老鼠，立即处置", "pest control; Hubei class 1: rodents, immediate"), UNCHECKED,
        ("kylebellfilms.com 转载的《中国消费者报》2025-06", "copy of China Consumer News 2025-06 on kylebellfilms.com")),
    "SYS-01": (OWN_CLAUSE, OWN_EDITION,
        ("ThingsBoard #8614、#319、#12771；ComplianceMate 的 Inactive 提醒", "ThingsBoard #8614, #319, #12771; ComplianceMate 'Inactive' alert")),
    "SYS-04": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "SYS-VIS-01": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "SYS-CAM-01": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "SYS-SOS-01": (OWN_CLAUSE, OWN_EDITION, ("无：有人按下紧急按钮，不需要条文", "none: a pressed emergency button needs no clause")),
    "US-TMP-01": (("FDA 食品法典 3-501.16(A)(2)：5 °C（41 °F）", "FDA Food Code 3-501.16(A)(2): 5 °C (41 °F)"), WAC, WAC_SOURCE),
    "US-HOT-01": (("FDA 食品法典 3-501.16(A)(1)：57 °C（135 °F）", "FDA Food Code 3-501.16(A)(1): 57 °C (135 °F)"), WAC, WAC_SOURCE),
    "US-EGG-01": (("FDA 食品法典 3-501.16：鲜蛋环境温度 7 °C（45 °F）", "FDA Food Code 3-501.16: eggs at 7 °C (45 °F) ambient"), WAC, WAC_SOURCE),
    "UK-TMP-01": (("英格兰《2013年食品安全与卫生条例》附表四第2段：8 °C", "Food Safety and Hygiene (England) Regulations 2013, Sch. 4 para. 2: 8 °C"),
        "2013 (UKSI 2013/2996)",
        ("legislation.gov.uk，uksi/2013/2996 附表四；4 小时宽限凭记忆", "legislation.gov.uk, uksi/2013/2996 sch. 4; the tolerance of 4 h is from memory")),
    "UK-HOT-01": (("威尔士 2006 年第31号附表四第6段（英格兰相同）：63 °C", "Wales 2006 No. 31, Sch. 4 para. 6 (the same in England): 63 °C"),
        "2006 (WSI 2006/31)",
        ("legislation.gov.uk，wsi/2006/31；2 小时宽限凭记忆", "legislation.gov.uk, wsi/2006/31; the tolerance of 2 h is from memory")),
}

AUTHORITY |= {
    "FG-GAS-07": (("GB 15322.1-2019：探测器在自身设定点（5–25 %LEL 之间）报警；按探测器自己的判断，不另设限值", "GB 15322.1-2019: a detector alarms at its own set-point (within 5–25 %LEL); the detector's own verdict, no limit of ours"), UNCHECKED,
        ("wangblog.cn：标准的适用范围；设定点范围凭记忆", "wangblog.cn: the standard's scope; the range of set-points is from memory")),
    "FG-CO-04": (("EN 50291：50 ppm 60–90 分钟、100 ppm 10–40 分钟、300 ppm 3 分钟内报警；按探测器自己的判断", "EN 50291: alarms in 60–90 min at 50 ppm, 10–40 min at 100 ppm, within 3 min at 300 ppm; the detector's own verdict"), UNCHECKED, CO_SOURCE),
    "CN-UV-04": (samr("紫外线灯在每次使用前无人时照射 30 分钟以上；9 时为自定", "UV lamps run for 30 minutes or more before each use; nine o'clock is our own"), ("2018；时刻自定", "2018; hours of our own"),
        ("cardozapub 食堂规范：无人工作时 30 分钟以上并有记录；时刻自行判断", "cardozapub canteen specification: over 30 minutes when nobody works there, with records; the hours are own judgement")),
    "SYS-07": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "SYS-GW-01": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "SYS-PWR-01": (OWN_CLAUSE, OWN_EDITION, OWN_SOURCE),
    "SYS-CAL-01": (("EN 13486：记录仪与温度计定期校验；到期日由设备档案给出", "EN 13486: recorders and thermometers are verified periodically; the due date is the device's own record"), UNCHECKED,
        ("theiteh.com（EN 12830 与 EN 13486 的介绍）", "theiteh.com (introduction of EN 12830 and EN 13486)")),
}

LICENCE = (("食品经营许可应在有效期内，DB53/T 1173-2023 要求监测；天数为自定",
            "the food licence is valid, and DB53/T 1173-2023 has that monitored; the days are our own"), "2023",
           ("wnwk.com 的标准介绍页", "introduction of the standard on wnwk.com"))
CONTROL = (("《集中用餐单位落实食品安全主体责任监督管理规定》（养老机构在内）：日管控、周排查、月调度",
            "Regulation on the responsibility of canteen operators for food safety (care homes included): daily control, weekly review, monthly meeting"),
           ("2025-04-15 起施行", "in force since 2025-04-15"),
           ("央视新闻 2025-04-02；中国新闻网；湖北等地通知", "CCTV news of 2025-04-02; China News; notices of Hubei and others"))
AUTHORITY |= {rule: LICENCE for rule in ("CN-LIC-01", "CN-LIC-02", "CN-LIC-03")}
AUTHORITY |= {rule: CONTROL for rule in ("CN-GOV-01", "CN-GOV-02", "CN-GOV-03")}

FRIDGE_ZH = "检查柜门是否关严、是否塞得过满；温度不降就把食品移到别的冷藏柜并报修。"
FRIDGE_EN = "Check that the door is shut and the fridge not overfull; if it stays warm, move the food and call repair."
GAS_ZH = "立即关火、关总阀、开窗，不碰任何电器开关；全员撤到室外，再打燃气抢修电话和 119。"
GAS_EN = "Put out flames, shut the main valve, open windows, touch no switch; get everyone out, then phone the gas company and the fire brigade."
CO_ZH = "立即关火、开窗通风，全员撤到室外；有人头晕就拨打 120。"
CO_EN = "Put out flames, open windows, get everyone outside; if anyone is dizzy call an ambulance."

# title and action, in Chinese and English
WORDS = {
    "CN-TMP-01": ("冷藏柜温度过高", "Fridge too warm", FRIDGE_ZH, FRIDGE_EN),
    "CN-TMP-02": ("冷藏柜温度过低", "Fridge too cold",
        "把温度设定调高；检查食品是否结冰、探头是否松脱。",
        "Set it warmer; check the food for ice and the probe for a loose fit."),
    "CN-TMP-03": ("冷冻柜温度过高", "Freezer too warm",
        "检查柜门是否关严、结霜是否过厚；还冻硬的移到别的冷冻柜，已化冻的不要再冻，报修。",
        "Check door and frost; move what is still hard to another freezer, do not refreeze what has thawed, call repair."),
    "CN-TMP-04": ("冷冻柜未达 -18 °C", "Freezer warmer than -18 °C",
        "检查门封条和结霜，安排除霜。", "Check the door seal and frost; plan a defrost."),
    "CN-SMP-01": ("留样柜温度过高", "Sample fridge too warm",
        "马上把留样移到 0-8 °C 的柜子，记下时间，报修留样柜。",
        "Move the samples to a fridge at 0-8 °C now, note the time, call repair."),
    "CN-HOT-01": ("热藏食品温度过低", "Hot-held food too cool",
        "柜内有食品：重新加热到中心 70 °C 以上，低于 60 °C 超过 2 小时的倒掉。收餐后已清空停用的：写明原因后关闭。",
        "Food inside: reheat to 70 °C at the core, throw away what was below 60 °C for over 2 hours. Empty and off after the meal: close the case and say so."),
    "CN-RM-01": ("专间温度过高", "Special room too warm",
        "专间在使用：打开空调，降到 25 °C 以下再操作。未使用的：写明原因后关闭。", "Room in use: turn on the air conditioning and work only at 25 °C or below. Not in use: close the case and say so."),
    "FG-GAS-01": ("燃气泄漏低限报警", "Gas leak: low alarm", GAS_ZH, GAS_EN),
    "FG-GAS-02": ("燃气泄漏报警", "Gas leak", GAS_ZH, GAS_EN),
    "FG-GAS-03": ("燃气浓度危险", "Gas at a dangerous level", GAS_ZH, GAS_EN),
    "FG-CO-01": ("一氧化碳长时间偏高", "Carbon monoxide raised for an hour", CO_ZH, CO_EN),
    "FG-CO-02": ("一氧化碳超标", "Carbon monoxide high", CO_ZH, CO_EN),
    "FG-CO-03": ("一氧化碳浓度危险", "Carbon monoxide at a dangerous level", CO_ZH, CO_EN),
    "FG-SMK-01": ("烟雾报警", "Smoke alarm",
        "看清火源：小火用灭火器或灭火毯，油锅起火盖锅盖、关火，不要泼水；控制不住就撤离并拨打 119。",
        "Find the source. Small fire: extinguisher or blanket; burning oil: lid on, heat off, no water. If it grows, get out and call the fire brigade."),
    "FG-SMK-02": ("烟感电池电量低", "Smoke detector battery low",
        "今天更换电池，并按测试键试响。", "Change the battery today and press the test button."),
    "FG-SMK-03": ("烟感失联", "Smoke detector silent",
        "到现场按测试键：不响就更换，换好前安排人巡查；能响就检查网络。",
        "Press its test button: if it stays silent, replace it and patrol until then; if it sounds, check its network."),
    "FG-HEAT-01": ("厨房顶部高温", "Heat at the kitchen ceiling",
        "检查灶台和烟罩是否起火；起火就关气、灭火、撤离并拨打 119。",
        "Check stove and hood for fire; if there is one, shut the gas, fight it or get out, call the fire brigade."),
    "FG-ELE-01": ("配电线缆过热", "Electric cable too hot",
        "断开该回路，停用大功率设备，请电工检查后再合闸。",
        "Switch that circuit off, stop heavy appliances, let an electrician check it first."),
    "EN-AIR-01": ("二氧化碳偏高", "Carbon dioxide raised", "打开排风和窗户。", "Turn on the extraction and open windows."),
    "EN-AIR-02": ("PM2.5 偏高", "PM2.5 raised", "打开排风，检查油烟净化器。", "Turn on the extraction and check the fume cleaner."),
    "EN-HUM-01": ("干货库潮湿", "Dry store too damp",
        "开除湿机，检查米面有无受潮发霉。", "Run the dehumidifier; check rice and flour for damp and mould."),
    "EN-WTR-01": ("地面漏水", "Water leak",
        "关闭水阀，擦干地面防滑倒，找到漏点报修。", "Shut the water off, dry the floor, find the leak and call repair."),
    "CN-CAM-01": ("摄像头离线", "Camera offline",
        "检查摄像头的电源、网线和交换机；恢复前安排人员现场巡查并记录。",
        "Check the camera's power, cable and switch; until it is back, walk the room and write it down."),
    "CN-CAM-02": ("摄像头离线超过一天", "Camera offline for over a day",
        "今天报修，并向监管人员说明恢复时间。", "Call repair today and tell the inspector when it will be back."),
    "EN-DOOR-01": ("冷库门未关", "Cold-room door left open",
        "关好冷库门，检查库温是否回落。", "Shut the door and check that the temperature falls."),
    "EN-DOOR-02": ("专间门未关", "Special-room door left open", "随手关好专间门。", "Shut the door of the special room."),
    "EN-PEST-01": ("捕鼠器触发", "Rodent trap tripped",
        "拍照后清理并消毒，检查附近食品和孔洞，联系消杀公司。",
        "Take a photo, clear and disinfect, check food and holes nearby, call pest control."),
    "SYS-01": ("设备无数据", "No data from the sensor",
        "检查设备的电源、电池和网络；恢复前由人到现场查看并记录。",
        "Check its power, battery and network; until it is back, look for yourself and write it down."),
    "SYS-04": ("设备电量低", "Sensor battery low", "一周内更换电池。", "Change the battery within a week."),
    "SYS-VIS-01": ("画面识别故障", "A model failed",
        "识别模型出错后已自动重启；反复出现时请通知运维，其间由人工查看画面。",
        "A model failed and was started anew; if it happens again tell the operator, and look at the pictures yourself meanwhile."),
    "SYS-CAM-01": ("画面长时间未识别", "Pictures not judged for hours",
        "检查摄像头是否在线；在线仍无结果的请通知运维，其间由人工巡查。",
        "Check that the camera is online; if it is, tell the operator, and walk the room meanwhile."),
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


DISCARD = ("超过 2 小时的倒掉；未超过的马上加热到 70 °C 以上或移入冷藏。", "Throw away what was there for over 2 hours; reheat the rest to 70 °C or move it to the fridge now.")
COOL = ("分成小份、用冰水浴或速冷设备；超时的重新加热到 70 °C 以上，或倒掉。", "Divide it, use an ice bath or a blast chiller; what took too long is reheated to 70 °C or thrown away.")
CYCLE = ("这一批不要使用：检查设备和装载量，重新消毒一次。", "Do not use this batch: check the machine and its load, and disinfect once more.")
RENEW = ("今天办理延续，并把回执上传。", "Apply for renewal today and upload the receipt.")
WORDS |= {
    "CN-SMP-02": ("留样不足 125 g", "Food sample below 125 g", "马上补足留样；已无剩余的写明原因。", "Top the sample up now; if nothing is left, say so in the case."),
    "CN-SMP-03": ("留样未满 48 小时被取走", "Food sample removed before 48 h", "放回并写明原因；已丢弃的报告食品安全管理员。", "Put it back and say why; if it is gone, tell the food-safety officer."),
    "CN-SMP-04": ("餐次没有留样", "No sample of a meal", "补留还有剩余的每个品种，并写明原因。", "Keep a sample of every dish that is left, and say why it was late."),
    "CN-DZ-01": ("食品在 8–60 °C 超过 2 小时", "Food over 2 h between 8 and 60 °C", *DISCARD),
    "CN-DZ-02": ("食品在 8–60 °C 已 90 分钟", "Food 90 min between 8 and 60 °C", "半小时内加热到 70 °C 以上，或移入冷藏。", "Reheat it to 70 °C or move it to the fridge within half an hour."),
    "CN-CK-01": ("中心温度未到 70 °C", "Core below 70 °C", "继续加热到中心 70 °C 以上，再测一次。", "Go on until the core is at 70 °C, and measure again."),
    "CN-CL-01": ("2 小时内未降到 21 °C", "Not cooled to 21 °C within 2 h", *COOL),
    "CN-CL-02": ("再 2 小时内未降到 8 °C", "Not cooled to 8 °C within a further 2 h", *COOL),
    "CN-UV-01": ("紫外线消毒不足 30 分钟", "UV lamp on for less than 30 min", "专间使用前再开满 30 分钟，其间不要进人。", "Run it for the full 30 minutes before the room is used, with nobody inside."),
    "CN-UV-02": ("紫外线灯开启时有人", "Person under a lit UV lamp", "马上关灯或离开；眼睛或皮肤不适的就医。", "Turn the lamp off or leave at once; see a doctor if eyes or skin hurt."),
    "CN-UV-03": ("紫外线灯强度不足", "UV lamp too weak", "擦净灯管；仍不足 70 µW/cm² 的更换。", "Clean the tube; if it stays below 70 µW/cm², replace it."),
    "CN-DS-01": ("蒸煮消毒未达标", "Steam or boiling cycle failed", *CYCLE),
    "CN-DS-02": ("红外消毒未达标", "Infrared cycle failed", *CYCLE),
    "CN-DS-03": ("洗碗机漂洗未达标", "Dishwasher rinse failed", *CYCLE),
    "CN-DS-04": ("含氯消毒未达标", "Chlorine bath failed", "补足浓度到 250 mg/L，重新浸泡 5 分钟。", "Bring it to 250 mg/L and soak for 5 minutes again."),
    "CN-DS-05": ("餐前没有完成消毒", "No disinfection before the meal", "开餐前完成一次消毒；来不及的使用一次性餐具。", "Complete a cycle before the meal, or use disposable tableware."),
    "CN-MC-01": ("晨检未做", "Morning check missing", "上岗前补做晨检；未检人员不得接触食品。", "Do the check before work; nobody unchecked touches food."),
    "CN-MC-02": ("晨检体温偏高", "Raised temperature at the morning check", "复测；仍高的当天离岗就医。", "Measure again; if it is still high, send the person home and to a doctor."),
    "CN-CERT-01": ("健康证将到期", "Health certificate about to expire", "安排体检；到期未换证的离岗。", "Arrange the check-up; without a valid certificate nobody works with food."),
    "CN-LIC-01": ("食品经营许可 60 天内到期", "Food licence expires within 60 days", *RENEW),
    "CN-LIC-02": ("食品经营许可 30 天内到期", "Food licence expires within 30 days", *RENEW),
    "CN-LIC-03": ("食品经营许可 7 天内到期", "Food licence expires within 7 days", *RENEW),
    "CN-GOV-01": ("当日未做日管控", "Daily control missing", "补做当日检查并记录。", "Do today's control and record it."),
    "CN-GOV-02": ("一周未做周排查", "Weekly review missing", "本周内完成排查并记录。", "Do the review this week and record it."),
    "CN-GOV-03": ("一月未做月调度", "Monthly meeting missing", "召开调度会并记录。", "Hold the meeting and record it."),
    "CN-TMP-05": ("冷藏柜门开着，温度过高", "Fridge warm with its door open", "马上关门；十分钟后看温度是否回落。", "Shut the door now; look after ten minutes whether it cools."),
    "FG-GAS-04": ("没有可用的燃气报警装置", "No working gas alarm", "停止用气，装好并试响报警装置后再用。", "Use no gas until an alarm is installed and tested."),
    "FG-GAS-05": ("无人时燃气阀未关", "Gas valve open with nobody there", "派人到场关阀，并确认没有明火。", "Send somebody to shut it and to look for a flame."),
    "FG-GAS-06": ("动火离人且燃气浓度上升", "Gas rising at an unattended stove", GAS_ZH, GAS_EN),
    "FG-HOOD-01": ("烹饪时排烟未开", "Cooking with the hood off", "打开排烟；打不开的停火报修。", "Turn the hood on; if it does not start, stop cooking and call repair."),
    "EN-PEST-02": ("非工作时段有动静且捕鼠器触发", "Movement at night and a trap tripped", "查看录像；清理消毒，检查附近食品和孔洞，联系消杀公司。", "Look at the pictures; clear and disinfect, check food and holes nearby, call pest control."),
    "FG-GAS-07": ("燃气探测器报警", "Gas detector alarms", GAS_ZH, GAS_EN),
    "FG-CO-04": ("一氧化碳探测器报警", "Carbon monoxide detector alarms", CO_ZH, CO_EN),
    "CN-UV-04": ("使用前未开紫外线灯", "UV lamp not run before use", "专间先不要进人：开灯满 30 分钟并记录，再开始操作。当天不使用专间的：写明后关闭。", "Keep everyone out: run the lamp for 30 minutes, record it, then begin. If the room is not used today, say so and close the case."),
    "SYS-07": ("设备报告电量低", "Device says its battery is low", "一周内更换电池；烟感和燃气报警器当天更换。", "Change the battery within a week; that of a smoke or gas detector today."),
    "SYS-GW-01": ("网关离线", "Gateway offline", "检查网关的电源、网线和网络；恢复前到现场查看它名下的设备。", "Check the gateway's power, cable and network; until it is back, look at its devices yourself."),
    "SYS-PWR-01": ("市电中断", "Mains power lost", "联系物业和供电；冷柜少开门，记下停电时间，来电后逐个测温。", "Call the building's operator and the supplier; keep fridges shut, note the time, and measure each when power is back."),
    "SYS-CAL-01": ("传感器校准已过期", "Calibration is overdue", "安排校准或更换探头；校准前用另一支温度计每日核对，并录入新的到期日。", "Have the sensor calibrated or exchanged; compare it daily with another thermometer until then, and enter the new due date."),
    "SYS-02": ("读数长时间不变", "Reading does not move", "检查探头是否损坏或脱落，用手温试一次。", "Check the probe for damage or a loose fit; warm it by hand and see."),
    "SYS-03": ("温度上升过快", "Temperature rises fast", "检查柜门和制冷；可能很快超限。", "Check door and cooling: it may soon be too warm."),
    "SYS-05": ("设备时钟不准", "Device clock is wrong", "给设备对时；检查它能否访问时间服务器。", "Set its clock; check that it reaches a time server."),
    "US-CL-01": ("2 小时内未降到 21 °C", "Not cooled to 21 °C within 2 h", *COOL),
    "US-CL-02": ("6 小时内未降到 5 °C", "Not cooled to 5 °C within 6 h", *COOL),
    "US-DS-01": ("漂洗水未到 82 °C", "Rinse never reached 82 °C", *CYCLE),
    "EU-LOG-01": ("温度记录仪等级不够", "Temperature recorder below class 2", "换用 2 级以上、在校验期内的记录仪。", "Use a recorder of class 2 or better that is in its verification period."),
    "FR-CL-01": ("2 小时内未降到 10 °C", "Not cooled to 10 °C within 2 h", *COOL),
    "HK-CL-01": ("两段冷却超时", "Two-stage cooling too slow", *COOL),
}


def quote(text):
    """A TOML basic string: JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False)


def judgement(row):
    """The rule's kind as an inline table, with its unit, or None when it is left out."""
    rule = row["rule_id"]
    if rule in SPECIAL:
        return SPECIAL[rule]["judge"], SPECIAL[rule].get("unit")
    if rule in NO_DATA:
        return f'{{ kind = "no_data", intervals = {NO_DATA[rule]} }}', None
    if row["unit"] == "bool" or row["metric"] in OPEN_TOO_LONG:
        return '{ kind = "boolean" }', "bool"
    return (
        f'{{ kind = "threshold", op = {quote(row["op"])}, limit = {float(row["threshold"])}, '
        f'clear_op = {quote(row["clear_op"])}, clear_limit = {float(row["clear_threshold"])} }}'
    ), row["unit"]


def hold_s(row):
    if row["rule_id"] in SPECIAL:
        return SPECIAL[row["rule_id"]].get("hold_s", 0)
    return int(row["threshold"]) if row["metric"] in OPEN_TOO_LONG else int(row["for_s"])


def both(text):
    """Chinese / English."""
    return text if isinstance(text, str) else " / ".join(text)


def rule_text(row):
    rule = row["rule_id"]
    judge, unit = judgement(row)
    title_zh, title_en, action_zh, action_en = WORDS[rule]
    clause, edition, source = AUTHORITY[rule]
    special = SPECIAL.get(rule, {})
    metric = special.get("metric", NO_DATA_METRIC.get(rule, row["metric"]))
    point_type = "any" if rule in ANYWHERE else special.get("point_type", row["point_type"])
    clear_hold_s = special.get("clear_hold_s", 0) if special else int(row["clear_for_s"])
    latched = special.get("latched", False) or metric in LATCHED_METRICS and rule not in NO_DATA or rule in LATCHED_RULES
    lines = ["[[rule]]", f"id = {quote(rule)}"]
    if metric:
        lines.append(f"metric = {quote(metric)}")
    if point_type != "any":
        lines.append(f"point_type = {quote(point_type)}")
    if unit and unit != "bool":
        lines.append(f"unit = {quote(unit)}")
    lines += [
        f"judge = {judge}",
        f"hold_s = {hold_s(row)}",
        f"clear_hold_s = {clear_hold_s}",
        f"latched = {'true' if latched else 'false'}",
        f"severity = {quote(special.get('severity', row['severity']))}",
        f"clause = {quote(both(clause))}",
        f"edition = {quote(both(edition))}",
        f"source = {quote(both(source))}",
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
        head += ["#", "# Left out:"]
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
    undecided = [r["rule_id"] for r in rows if (r["rule_id"] in WORDS.keys() & AUTHORITY.keys()) == (r["rule_id"] in LEFT_OUT)]
    unknown = sorted({r["pack"] for r in rows} - PACKS.keys())
    if undecided or unknown:
        sys.exit(f"decide on these rules in WORDS and AUTHORITY, or LEFT_OUT: {undecided}; unknown packs: {unknown}")
    for pack in PACKS:
        (target / f"{pack}.toml").write_text(pack_text(pack, [r for r in rows if r["pack"] == pack]), encoding="utf-8")


if __name__ == "__main__":
    main()
