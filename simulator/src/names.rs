//! The made-up district's names: no real institution, street or person.

use domain::FacilityKind;
use domain::FacilityKind::{CareHome, CommunityCanteen};

/// A region: identifier, parent's identifier, name in Chinese, name in English.
pub(crate) type RegionName = (&'static str, Option<&'static str>, &'static str, &'static str);

/// The district first, then its streets and towns.
pub(crate) const REGIONS: [RegionName; 5] = [
    ("qingshan", None, "青杉区", "Qingshan District"),
    ("donghu", Some("qingshan"), "东湖街道", "Donghu Street"),
    ("xiyuan", Some("qingshan"), "西园街道", "Xiyuan Street"),
    ("songxi", Some("qingshan"), "松溪镇", "Songxi Town"),
    ("nanling", Some("qingshan"), "南岭镇", "Nanling Town"),
];

/// Roads of each street or town, in the order of [`REGIONS`] without the district.
pub(crate) const ROADS: [[&str; 4]; 4] = [
    ["文汇路", "湖滨大道", "学府路", "春风巷"],
    ["西园路", "建设南路", "桂花街", "友谊路"],
    ["松溪大街", "水厂路", "竹林路", "桥头街"],
    ["南岭路", "茶园路", "迎宾路", "梅岭街"],
];

/// A facility: identifier, name in Chinese, name in English, kind.
pub(crate) type FacilityName = (&'static str, &'static str, &'static str, FacilityKind);

/// The facilities of the first round; a larger district numbers further ones.
pub(crate) const FACILITIES: [FacilityName; 24] = [
    ("binhe", "滨河颐养院", "Binhe Care Home", CareHome),
    ("songbai", "松柏养老服务中心", "Songbai Centre", CareHome),
    ("chaoyang", "朝阳老年公寓", "Chaoyang Residence", CareHome),
    ("kangning", "康宁护理院", "Kangning Nursing", CareHome),
    ("fushou", "福寿园敬老院", "Fushou Home", CareHome),
    ("jinqiu", "金秋社区食堂", "Jinqiu Canteen", CommunityCanteen),
    ("hexie", "和谐养老院", "Hexie Home", CareHome),
    ("yinling", "银龄之家", "Silver Age House", CareHome),
    ("xianghe", "祥和护养中心", "Xianghe Centre", CareHome),
    ("leling", "乐龄公寓", "Leling Residence", CareHome),
    ("ankang", "安康养老院", "Ankang Home", CareHome),
    ("jingxin", "静心护理院", "Jingxin Nursing", CareHome),
    ("hongye", "红叶老年公寓", "Hongye Residence", CareHome),
    ("changqing", "长青颐养院", "Changqing Home", CareHome),
    ("chunhui", "春晖养老中心", "Chunhui Centre", CareHome),
    ("nanshan", "南山敬老院", "Nanshan Home", CareHome),
    ("bishui", "碧水护理院", "Bishui Nursing", CareHome),
    ("taoyuan", "桃源社区食堂", "Taoyuan Canteen", CommunityCanteen),
    ("baihe", "百合养老院", "Baihe Home", CareHome),
    ("haitang", "海棠老年公寓", "Haitang Residence", CareHome),
    ("wanqing", "晚晴护养中心", "Wanqing Centre", CareHome),
    ("tongxin", "同心养老院", "Tongxin Home", CareHome),
    ("renai", "仁爱护理院", "Ren'ai Nursing", CareHome),
    ("xiyanghong", "夕阳红食堂", "Sunset Canteen", CommunityCanteen),
];
