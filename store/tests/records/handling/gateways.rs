//! A gateway that is down explains the silence of its own devices, and of no others.

use domain::{DeviceId, FacilityId, Scope, case::cause::Trouble, message::NoticeKind};
use sunshine_store::{
    RecordError,
    records::{CaseFilter, CaseWrite, DeliveryState},
};

use super::{Fixture, NOW, Step, new_case};

/// Each device with the device whose case it is a part of, and how many parts it has.
async fn folds(f: &Fixture) -> Vec<(String, Option<String>, u32)> {
    let filter = CaseFilter {
        limit: 100,
        ..CaseFilter::default()
    };
    let mut cases = f.records.cases(&Scope::everything(), &filter).await.unwrap();
    cases.reverse();
    let name = |id: domain::CaseId| {
        let case = cases.iter().find(|c| c.id == id).unwrap();
        case.point.device.to_string()
    };
    cases
        .iter()
        .map(|c| {
            let handling = &c.handling;
            (
                c.point.device.to_string(),
                handling.folded_into.map(name),
                handling.folded,
            )
        })
        .collect()
}

#[tokio::test]
async fn a_gateway_that_is_down_explains_the_silence_of_its_own_devices_only() {
    let open = |device: &str, trouble, ms| CaseWrite::Open(new_case(device, trouble, NOW + ms));
    let silence = |device: &str, ms| open(device, Trouble::Silence, ms);
    // The gateway's own silence is heard of in every place of the order: first, in the middle, last.
    for place in 0..=5 {
        let f = Fixture::with_contacts(&[Step::Duty]).await;
        f.hang(&["a-1", "a-2"], "gw-a").await;
        f.hang(&["b-1"], "gw-b").await;
        let mut writes = vec![
            silence("b-1", 0),
            silence("a-1", 10),
            silence("a-2", 20),
            silence("gw-a.probe", 30),
            silence("lone", 40),
        ];
        writes.insert(place, silence("gw-a", 50));
        for write in &writes {
            f.records
                .apply_cases(std::slice::from_ref(write), None)
                .await
                .unwrap();
        }
        assert_eq!(f.records.apply_cases(&writes, None).await.unwrap(), []);
        let all = folds(&f).await;
        let of = |device: &str| all.iter().find(|(d, ..)| d == device).unwrap().clone();
        for device in ["a-1", "a-2", "gw-a.probe"] {
            assert_eq!(
                of(device).1.as_deref(),
                Some("gw-a"),
                "{place}: {device} of {all:?}"
            );
        }
        assert_eq!((of("gw-a").1, of("gw-a").2), (None, 3), "{place}: {all:?}");
        // What hangs on another gateway, or on none that is known, is one other trouble.
        assert_eq!(of("b-1").1, None, "{place}: {all:?}");
        assert_eq!(
            (of("lone").1.as_deref(), of("b-1").2),
            (Some("b-1"), 1),
            "{place}: {all:?}"
        );
        let told = f.told().await;
        let opened = told.iter().filter(|d| d.kind == NoticeKind::Opened);
        let waiting = opened.filter(|d| d.state == DeliveryState::Waiting).count();
        assert_eq!(waiting, 2, "{place}: one notice for each trouble");
    }
}

#[tokio::test]
async fn what_is_left_of_a_whole_goes_on_as_one_trouble() {
    let f = Fixture::with_contacts(&[Step::Duty]).await;
    f.hang(&["a-1"], "gw-a").await;
    for (n, device) in ["a-1", "b-1", "b-2"].into_iter().enumerate() {
        f.open(device, Trouble::Silence, NOW + i64::try_from(n).unwrap())
            .await;
    }
    f.open("gw-a", Trouble::Gateway, NOW + 9).await;
    let want = [
        ("a-1".to_owned(), Some("gw-a".to_owned()), 0),
        ("b-1".to_owned(), None, 1),
        ("b-2".to_owned(), Some("b-1".to_owned()), 0),
        ("gw-a".to_owned(), None, 1),
    ];
    assert_eq!(folds(&f).await, want);
    let rest = f.case(domain::CaseId(2)).await;
    assert!(
        rest.handling.next_at.is_some(),
        "it has a deadline of its own now"
    );
    // Without a gateway on record nothing is guessed: only what fell silent together is one trouble.
    let lone = f.open("c-1", Trouble::Silence, NOW + 3_600_000).await.remove(0);
    assert!(!lone.is_folded());
}

#[tokio::test]
async fn a_device_hangs_on_one_gateway_and_never_on_itself() {
    let f = Fixture::new().await;
    f.hang(&["a-1"], "gw-a").await;
    f.hang(&["a-1"], "gw-b").await;
    let (facility, device) = (FacilityId::new("a").unwrap(), DeviceId::new("a-1").unwrap());
    let all = Scope::everything();
    let known = f.records.gateways(&all, Some(&facility)).await.unwrap();
    assert_eq!(
        known.values().map(ToString::to_string).collect::<Vec<_>>(),
        ["gw-b"]
    );
    let key = (&facility, &device);
    let itself = f.records.set_gateway(&all, key, Some(&device), "admin").await;
    assert!(
        matches!(itself, Err(RecordError::Invalid { field: "gateway", .. })),
        "{itself:?}"
    );
    let stranger = Scope::facilities([FacilityId::new("b").unwrap()]);
    let refused = f.records.set_gateway(&stranger, key, None, "admin").await;
    assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
    assert_eq!(f.records.gateways(&stranger, None).await.unwrap().len(), 0);
    f.records.set_gateway(&all, key, None, "admin").await.unwrap();
    assert_eq!(f.records.gateways(&all, None).await.unwrap().len(), 0);
}
