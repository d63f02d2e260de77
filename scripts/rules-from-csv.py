#!/usr/bin/env python3
"""Writes the built-in rule packs from a table of rules.

    scripts/rules-from-csv.py domain/packs/rules.csv [OUTPUT_DIRECTORY]

The table gives the numbers and where they come from; this script says both in words for people, in Chinese
and English, and decides which rules the product can judge today. What it leaves out stands, with the reason, at the head of each
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
    "CN-HOT-01": (samr("热藏不低于 60 °C（供餐时；本规则不分时段，全天判定）",
                       "hot holding at 60 °C or more (while serving; this rule knows no serving hours and judges all day)"), "2018",
        ("中国烹饪协会饮品标准2019年报道（当日 60 °C 以上或 8 °C 以下，8–60 °C 最多 2 小时）",
         "China Cuisine Association, news of 2019 on a drinks standard (above 60 or below 8 °C the same day, 8–60 °C at most 2 h)")),
    "CN-RM-01": (samr("专间不高于 25 °C（使用时；本规则不分时段，全天判定）",
                      "special rooms at 25 °C or less (in use; this rule knows no working hours and judges all day)"), "2018",
        ("readke.com、t1958.com、taowenge 文档、cardozapub（食堂规范）均为不高于 25 °C",
         "readke.com, t1958.com, a taowenge document, cardozapub (canteen specification): all say 25 °C or less")),
    "FG-GAS-01": (("GB 15322.1-2019（工业及商业用点型，不是家用的 15322.2）：低限报警设定值在 5–25 %LEL 之间",
                   "GB 15322.1-2019 (industrial and commercial point type, not 15322.2 for households): low set-point within 5–25 %LEL"), "2019",
        ("wangblog.cn：15322.1-2019 的适用范围；设定范围凭记忆", "wangblog.cn: scope of 15322.1-2019; the range is from memory")),
    "FG-GAS-02": (("GB/T 50493：一级报警不高于 25 %LEL", "GB/T 50493: level 1 at or below 25 %LEL"), UNCHECKED, FROM_MEMORY),
    "FG-GAS-03": (("高限报警 50 %LEL", "high alarm at 50 %LEL"), UNCHECKED, FROM_MEMORY),
    "FG-CO-01": (("EN 50291：50 ppm 持续 60–90 分钟报警", "EN 50291: 50 ppm alarms in 60–90 min"), UNCHECKED, CO_SOURCE),
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


def both(text):
    """Chinese / English."""
    return text if isinstance(text, str) else " / ".join(text)


def rule_text(row):
    rule = row["rule_id"]
    judge, unit = judgement(row)
    title_zh, title_en, action_zh, action_en = WORDS[rule]
    clause, edition, source = AUTHORITY[rule]
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
    undecided = [r["rule_id"] for r in rows if (r["rule_id"] in WORDS.keys() & AUTHORITY.keys()) == (r["rule_id"] in LEFT_OUT)]
    unknown = sorted({r["pack"] for r in rows} - PACKS.keys())
    if undecided or unknown:
        sys.exit(f"decide on these rules in WORDS and AUTHORITY, or LEFT_OUT: {undecided}; unknown packs: {unknown}")
    for pack in PACKS:
        (target / f"{pack}.toml").write_text(pack_text(pack, [r for r in rows if r["pack"] == pack]), encoding="utf-8")


if __name__ == "__main__":
    main()
