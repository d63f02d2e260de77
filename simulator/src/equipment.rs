//! What stands in a kitchen: kinds of points, and the devices that carry them.

use domain::Unit;

use crate::payload::Form;

/// The shortest live report interval, in seconds: that of the gas gateway. Every other device reports
/// at a multiple of it.
pub(crate) const BASE_INTERVAL_S: u32 = 5;

/// A kind of point: what is measured, where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PointKind {
    /// Air of a chilled storage fridge.
    Fridge,
    /// Air of a freezer.
    Freezer,
    /// Air of the fridge that keeps food samples (留样).
    SampleFridge,
    /// Core of food held hot for serving.
    HotHolding,
    /// Air of the special room for cold dishes (专间).
    SpecialRoom,
    /// Combustible gas under the ceiling.
    Gas,
    /// Carbon monoxide.
    CarbonMonoxide,
    /// Smoke detector of the dining hall.
    Smoke,
    /// Water on the floor.
    Leak,
    /// Door of the walk-in cold room.
    ColdRoomDoor,
    /// Rinse water of the dishwasher.
    Rinse,
    /// Air of the dry store.
    DryStore,
    /// Emergency button.
    Sos,
}

/// What a rule needs to know of a kind of point, and what people read.
#[derive(Debug)]
pub(crate) struct PointSpec {
    /// The metric's name.
    pub(crate) metric: &'static str,
    /// The point type in the rule packs.
    pub(crate) point_type: &'static str,
    /// The unit a device of ours sends.
    pub(crate) unit: Unit,
    /// Where it is, in Chinese.
    pub(crate) place_zh: &'static str,
    /// Where it is, in English.
    pub(crate) place_en: &'static str,
}

const fn spec(
    metric: &'static str,
    point_type: &'static str,
    unit: Unit,
    place_zh: &'static str,
    place_en: &'static str,
) -> PointSpec {
    PointSpec {
        metric,
        point_type,
        unit,
        place_zh,
        place_en,
    }
}

impl PointKind {
    pub(crate) const ALL: [PointKind; 13] = [
        PointKind::Fridge,
        PointKind::Freezer,
        PointKind::SampleFridge,
        PointKind::HotHolding,
        PointKind::SpecialRoom,
        PointKind::Gas,
        PointKind::CarbonMonoxide,
        PointKind::Smoke,
        PointKind::Leak,
        PointKind::ColdRoomDoor,
        PointKind::Rinse,
        PointKind::DryStore,
        PointKind::Sos,
    ];

    pub(crate) const fn spec(self) -> PointSpec {
        match self {
            PointKind::Fridge => spec("temperature", "fridge_air", Unit::Celsius, "冷藏柜", "Fridge"),
            PointKind::Freezer => spec("temperature", "freezer_air", Unit::Celsius, "冷冻柜", "Freezer"),
            PointKind::SampleFridge => spec(
                "temperature",
                "sample_fridge_air",
                Unit::Celsius,
                "留样柜",
                "Sample fridge",
            ),
            PointKind::HotHolding => spec(
                "temperature",
                "hot_hold_core",
                Unit::Celsius,
                "热藏柜",
                "Hot holding",
            ),
            PointKind::SpecialRoom => spec(
                "temperature",
                "special_room_air",
                Unit::Celsius,
                "凉菜专间",
                "Cold-dish room",
            ),
            PointKind::Gas => spec(
                "combustible_gas",
                "kitchen_gas",
                Unit::PercentLel,
                "灶台上方",
                "Above the stoves",
            ),
            PointKind::CarbonMonoxide => spec("co", "kitchen_co", Unit::Ppm, "烹饪间", "Cooking area"),
            PointKind::Smoke => spec("smoke_alarm", "smoke_detector", Unit::Bool, "餐厅", "Dining hall"),
            PointKind::Leak => spec(
                "water_leak",
                "floor",
                Unit::Bool,
                "粗加工间地面",
                "Preparation floor",
            ),
            PointKind::ColdRoomDoor => spec("door_open", "cold_room", Unit::Bool, "冷库门", "Cold-room door"),
            PointKind::Rinse => spec(
                "rinse_temperature",
                "dishwasher",
                Unit::Celsius,
                "洗碗机",
                "Dishwasher",
            ),
            PointKind::DryStore => spec("humidity", "dry_store", Unit::PercentRh, "干货库", "Dry store"),
            PointKind::Sos => spec(
                "sos",
                "sos_button",
                Unit::Bool,
                "餐厅呼叫按钮",
                "Dining hall button",
            ),
        }
    }

    /// Whether the point says only yes or no, and so reports a change at once.
    pub(crate) const fn is_switch(self) -> bool {
        matches!(
            self,
            PointKind::Smoke | PointKind::Leak | PointKind::ColdRoomDoor | PointKind::Sos
        )
    }
}

/// A model of device as it is bought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeviceSpec {
    /// Its identifier within a facility.
    pub(crate) id: &'static str,
    /// What it says in Chinese after the place, such as the number of the fridge.
    pub(crate) suffix: &'static str,
    /// How it writes its payloads.
    pub(crate) form: Form,
    /// How these are read.
    pub(crate) profile: &'static str,
    /// How often it reports at the base pace, in seconds.
    pub(crate) interval_s: u32,
    /// What it measures.
    pub(crate) points: &'static [PointKind],
}

const fn device(
    id: &'static str,
    suffix: &'static str,
    form: Form,
    interval_s: u32,
    points: &'static [PointKind],
) -> DeviceSpec {
    DeviceSpec {
        id,
        suffix,
        form,
        profile: "standard",
        interval_s,
        points,
    }
}

/// The same device, read by the profile of its make.
const fn of_make(spec: DeviceSpec, profile: &'static str) -> DeviceSpec {
    DeviceSpec { profile, ..spec }
}

pub(crate) static FRIDGE_1: DeviceSpec = of_make(
    device("fridge-1", " 1", Form::Object, 15, &[PointKind::Fridge]),
    "fridge-probe",
);
pub(crate) static FRIDGE_2: DeviceSpec = of_make(
    device("fridge-2", " 2", Form::Tasmota, 15, &[PointKind::Fridge]),
    "tasmota",
);
pub(crate) static FREEZER: DeviceSpec = device("freezer-1", "", Form::Rfc3339, 20, &[PointKind::Freezer]);
pub(crate) static SAMPLES: DeviceSpec =
    device("sample-fridge", "", Form::SenMl, 15, &[PointKind::SampleFridge]);
pub(crate) static HOT_HOLDING: DeviceSpec =
    device("hot-holding", "", Form::Object, 15, &[PointKind::HotHolding]);
pub(crate) static SPECIAL_ROOM: DeviceSpec =
    device("special-room", "", Form::Plain, 20, &[PointKind::SpecialRoom]);
pub(crate) static GAS_GATEWAY: DeviceSpec = device(
    "kitchen-gateway",
    "",
    Form::Values,
    BASE_INTERVAL_S,
    &[PointKind::Gas, PointKind::CarbonMonoxide],
);
pub(crate) static SMOKE: DeviceSpec = of_make(
    device("smoke-1", "", Form::Shelly, 60, &[PointKind::Smoke]),
    "shelly",
);
pub(crate) static STORE_GATEWAY: DeviceSpec = device(
    "store-gateway",
    "",
    Form::SenMl,
    60,
    &[PointKind::Leak, PointKind::DryStore],
);
pub(crate) static DOOR: DeviceSpec =
    device("cold-room-door", "", Form::Object, 30, &[PointKind::ColdRoomDoor]);
pub(crate) static DISHWASHER: DeviceSpec = device("dishwasher", "", Form::Plain, 30, &[PointKind::Rinse]);
pub(crate) static SOS: DeviceSpec = of_make(
    device("sos-1", "", Form::Object, 60, &[PointKind::Sos]),
    "sos-button",
);
