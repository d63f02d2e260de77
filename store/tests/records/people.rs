//! People: signing in, sessions and what they see.

use domain::{Clock, FacilityId, Person, PersonId, Principal, Reach, RegionId, Role, Scope, UtcMillis};
use sunshine_store::{
    RecordError, Records,
    records::{Problem, SESSION_IDLE_MS, SESSION_LONGEST_MS, SessionToken, SignIn},
};

use crate::homes::{facility, region};

const PASSWORD: &str = "correct horse";
const START: UtcMillis = UtcMillis(1_795_000_000_000);

struct Kept {
    _dir: tempfile::TempDir,
    clock: Clock,
    records: Records,
}

async fn kept() -> Kept {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(START);
    let records = Records::open(&dir.path().join("records.db"), clock.clone())
        .await
        .unwrap();
    Kept {
        _dir: dir,
        clock,
        records,
    }
}

fn person(id: &str, role: Role, reach: Reach) -> Person {
    Person {
        id: PersonId::new(id).unwrap(),
        name: format!("{id} 同志"),
        role,
        reach,
        barred: false,
    }
}

async fn signed_in(records: &Records, id: &str) -> SessionToken {
    match records.sign_in(id, PASSWORD).await.unwrap() {
        SignIn::Done(token) => token,
        other => panic!("{id} may not sign in: {other:?}"),
    }
}

async fn principal(records: &Records, token: &SessionToken) -> Option<Principal> {
    records.session(token.as_str()).await.unwrap()
}

#[tokio::test]
async fn whoever_knows_the_password_is_signed_in_and_nobody_else() {
    let Kept { records, .. } = &kept().await;
    assert!(!records.has_people().await.unwrap());
    let wang = person("wang", Role::Inspector, Reach::Everything);
    records.put_person(&wang, "test").await.unwrap();
    assert!(
        !records.has_people().await.unwrap(),
        "without a password nobody can sign in"
    );
    assert_eq!(records.sign_in("wang", "").await.unwrap(), SignIn::Refused);
    records.set_password(&wang.id, PASSWORD, "test").await.unwrap();
    assert!(records.has_people().await.unwrap());
    for (id, password) in [
        ("wang", "wrong password"),
        ("nobody", PASSWORD),
        ("", ""),
        ("wang", &"x".repeat(10_000)),
    ] {
        assert_eq!(
            records.sign_in(id, password).await.unwrap(),
            SignIn::Refused,
            "{id}"
        );
    }
    let token = signed_in(records, "wang").await;
    let who = principal(records, &token).await.unwrap();
    assert_eq!(
        (who.name.as_str(), who.role, who.scope),
        ("wang 同志", Role::Inspector, Scope::everything())
    );
    assert!(records.session("00").await.unwrap().is_none());
    records.sign_out(token.as_str()).await.unwrap();
    assert!(principal(records, &token).await.is_none());
    let trail = records.audit_trail(20).await.unwrap();
    let actions: Vec<&str> = trail.iter().map(|line| line.action.as_str()).collect();
    assert!(
        actions.contains(&"person.sign_in") && actions.contains(&"person.password"),
        "{actions:?}"
    );
    let words: String = trail.iter().map(|line| format!("{line:?}")).collect();
    assert!(!words.contains(PASSWORD), "the trail holds no password");
}

#[tokio::test]
async fn guessing_is_locked_out_for_a_while() {
    let Kept { records, clock, .. } = &kept().await;
    let wang = person("wang", Role::Manager, Reach::Everything);
    records.put_person(&wang, "test").await.unwrap();
    records.set_password(&wang.id, PASSWORD, "test").await.unwrap();
    for _ in 0..10 {
        assert_eq!(
            records.sign_in("wang", "a wrong guess").await.unwrap(),
            SignIn::Refused
        );
    }
    let until = START + 15 * 60_000;
    assert_eq!(
        records.sign_in("wang", PASSWORD).await.unwrap(),
        SignIn::Locked { until },
        "the right one is not looked at either"
    );
    clock.set(until);
    signed_in(records, "wang").await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_old_barred_or_given_another_password() {
    let Kept { records, clock, .. } = &kept().await;
    let mut wang = person("wang", Role::Manager, Reach::Everything);
    records.put_person(&wang, "test").await.unwrap();
    records.set_password(&wang.id, PASSWORD, "test").await.unwrap();

    let idle = signed_in(records, "wang").await;
    clock.set(clock.now() + SESSION_IDLE_MS + 1);
    assert!(
        principal(records, &idle).await.is_none(),
        "nothing was heard of it for a shift"
    );

    let old = signed_in(records, "wang").await;
    let begun = clock.now();
    while clock.now().ms_since(begun) + SESSION_IDLE_MS <= SESSION_LONGEST_MS {
        clock.set(clock.now() + SESSION_IDLE_MS);
        assert!(principal(records, &old).await.is_some(), "it is in use");
    }
    clock.set(begun + SESSION_LONGEST_MS + 1);
    assert!(
        principal(records, &old).await.is_none(),
        "nothing lasts longer than a week"
    );

    let other_password = signed_in(records, "wang").await;
    records
        .set_password(&wang.id, "another password", "test")
        .await
        .unwrap();
    assert!(principal(records, &other_password).await.is_none());
    records.set_password(&wang.id, PASSWORD, "test").await.unwrap();

    let barred = signed_in(records, "wang").await;
    wang.barred = true;
    records.put_person(&wang, "test").await.unwrap();
    assert!(principal(records, &barred).await.is_none());
    assert_eq!(records.sign_in("wang", PASSWORD).await.unwrap(), SignIn::Refused);
    assert!(!records.has_people().await.unwrap());
}

#[tokio::test]
async fn a_reach_is_what_lies_within_it_at_the_moment() {
    let Kept { records, .. } = &kept().await;
    for (id, parent) in [
        ("city", None),
        ("district", Some("city")),
        ("town", Some("district")),
        ("far", Some("city")),
    ] {
        records.put_region(&region(id, parent)).await.unwrap();
    }
    let id = |text: &str| FacilityId::new(text).unwrap();
    for (name, place) in [("a", "district"), ("b", "town"), ("c", "far")] {
        records.put_facility(&facility(name, place)).await.unwrap();
    }
    let reaches = [
        (
            "of-district",
            Reach::Region(RegionId::new("district").unwrap()),
            [true, true, false],
        ),
        ("of-one", Reach::Facilities(vec![id("c")]), [false, false, true]),
        ("of-all", Reach::Everything, [true, true, true]),
        ("of-none", Reach::Facilities(Vec::new()), [false, false, false]),
    ];
    for (name, reach, sees) in reaches {
        let someone = person(name, Role::Inspector, reach);
        records.put_person(&someone, "test").await.unwrap();
        records.set_password(&someone.id, PASSWORD, "test").await.unwrap();
        let token = signed_in(records, name).await;
        let scope = principal(records, &token).await.unwrap().scope;
        assert_eq!(["a", "b", "c"].map(|f| scope.allows(&id(f))), sees, "{name}");
    }
    let token = signed_in(records, "of-district").await;
    records.put_facility(&facility("c", "town")).await.unwrap();
    assert!(
        principal(records, &token).await.unwrap().scope.allows(&id("c")),
        "it moved into the reach"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let Kept { records, .. } = &kept().await;
    let problem = |error: RecordError| match error {
        RecordError::Invalid { problem, .. } => Some(problem),
        _ => None,
    };
    let nameless = Person {
        name: " ".into(),
        ..person("x", Role::Manager, Reach::Everything)
    };
    assert_eq!(
        problem(records.put_person(&nameless, "test").await.unwrap_err()),
        Some(Problem::Empty)
    );
    let wide = Reach::Facilities(
        (0..501)
            .map(|n| FacilityId::new(&format!("f{n}")).unwrap())
            .collect(),
    );
    let wide = records
        .put_person(&person("x", Role::Manager, wide), "test")
        .await
        .unwrap_err();
    assert_eq!(problem(wide), Some(Problem::TooMany { max: 500 }));
    let nobody = PersonId::new("nobody").unwrap();
    let missing = records.set_password(&nobody, PASSWORD, "test").await.unwrap_err();
    assert!(matches!(missing, RecordError::NotFound), "{missing:?}");
    for password in ["short", &"x".repeat(257)] {
        let refused = records.set_password(&nobody, password, "test").await.unwrap_err();
        assert_eq!(problem(refused), Some(Problem::Length { least: 10, most: 256 }));
    }
}
