//! Which cases are one trouble: the durable side of [`domain::case::cause`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use domain::{
    Case, CaseId, CaseState, DeviceId,
    case::{
        cause::{Fold, Sign, Trouble, fold, gateway_in_name},
        course,
    },
    message::NoticeKind,
};

use super::{
    NewCase,
    open::write_line,
    row::{case_of, write_case},
};
use crate::records::{
    database::{Row, Transaction},
    error::RecordError,
    fields::Fields,
    gateways,
    outbox::{self, News, Teller},
};

/// The most cases of one facility that a new one is compared with, the oldest first.
const MAX_HEADS: i64 = 200;

/// The most silences of one facility among which a gateway looks for its own, the oldest first.
const MAX_SILENCES: i64 = 5_000;

/// The trouble of a case about to be opened: a silent device on which others hang is a gateway that is down.
pub(super) async fn trouble_of(transaction: &mut Transaction, new: &NewCase) -> Result<Trouble, RecordError> {
    let silent = new.trouble == Trouble::Silence;
    let (facility, device) = (&new.point.facility, &new.point.device);
    if silent && gateways::is_gateway(transaction, facility, device).await? {
        return Ok(Trouble::Gateway);
    }
    Ok(new.trouble)
}

/// What folding knows of the new case and of its facility.
struct Folding {
    case: Case,
    trouble: Trouble,
    gateway: Option<DeviceId>,
    /// Who hangs on which gateway, as far as the new case may be a gateway.
    hangs: BTreeMap<DeviceId, DeviceId>,
    window: i64,
}

impl Folding {
    /// How the new case and one that stands belong together.
    fn verdict(&self, stands: &Case, trouble: Trouble) -> Fold {
        let gateway = self
            .hangs
            .get(&stands.point.device)
            .cloned()
            .or_else(|| gateway_in_name(&stands.point.device));
        let stands_as = Sign {
            trouble,
            severity: stands.severity,
            point: &stands.point,
            gateway: gateway.as_ref(),
            raised_at: stands.raised_at,
            cleared: stands.cleared_at.is_some(),
        };
        let new = Sign {
            trouble: self.trouble,
            severity: self.case.severity,
            point: &self.case.point,
            gateway: self.gateway.as_ref(),
            raised_at: self.case.raised_at,
            cleared: false,
        };
        match fold(&stands_as, &new, self.window) {
            // What somebody is putting right already stays theirs.
            Fold::Over if !matches!(stands.state, CaseState::Open | CaseState::Acknowledged) => Fold::Apart,
            verdict => verdict,
        }
    }

    /// A gateway takes silences one by one, because not all of a whole need hang on it.
    fn picks(&self, trouble: Trouble) -> bool {
        self.trouble == Trouble::Gateway && matches!(trouble, Trouble::Silence | Trouble::CameraSilent)
    }
}

/// Finds the trouble that the new case belongs to; true when it is a part of one that stands.
pub(super) async fn fold_in(
    transaction: &mut Transaction,
    teller: &mut Teller<'_>,
    (case, trouble): (&mut Case, Trouble),
    changed: &mut Vec<Case>,
) -> Result<bool, RecordError> {
    if trouble == Trouble::Own {
        return Ok(false);
    }
    let (facility, device) = (&case.point.facility, &case.point.device);
    let folding = Folding {
        gateway: gateways::gateway_of(transaction, facility, device).await?,
        hangs: match trouble {
            Trouble::Gateway => gateways::gateways_in(transaction, facility).await?,
            _ => BTreeMap::new(),
        },
        case: case.clone(),
        trouble,
        window: teller.policy().fold_ms,
    };
    let heads = heads(transaction, case).await?;
    // The strongest cause explains it; of equal ones the oldest.
    let into = heads
        .iter()
        .filter(|(head, trouble)| folding.verdict(head, *trouble) == Fold::Into)
        .max_by_key(|(head, trouble)| (trouble.strength(), Reverse(head.id)));
    if let Some((head, _)) = into {
        let mut head = head.clone();
        case.handling.folded_into = Some(head.id);
        quiet(case);
        head.handling.folded += 1;
        write_case(transaction, &head).await?;
        changed.push(head);
        return Ok(true);
    }
    for (head, trouble) in &heads {
        if folding.verdict(head, *trouble) == Fold::Over && !folding.picks(*trouble) {
            case.handling.folded += 1 + head.handling.folded;
            move_parts(transaction, head.id, case.id).await?;
            take(transaction, teller, (head.clone(), case.id), changed).await?;
        }
    }
    if trouble == Trouble::Gateway {
        gather(transaction, teller, (case, &folding), changed).await?;
    }
    Ok(false)
}

/// Makes a case that stood by itself a part of another one.
async fn take(
    transaction: &mut Transaction,
    teller: &mut Teller<'_>,
    (mut part, whole): (Case, CaseId),
    changed: &mut Vec<Case>,
) -> Result<(), RecordError> {
    part.handling.folded_into = Some(whole);
    part.handling.folded = 0;
    part.version += 1;
    quiet(&mut part);
    write_case(transaction, &part).await?;
    outbox::drop_waiting(transaction, part.id, teller.now()).await?;
    write_line(transaction, teller.now(), "case.fold", &part).await?;
    changed.push(part);
    Ok(())
}

/// A gateway that is down takes the silences of its own devices, whichever whole they were a part of. What is left of
/// such a whole goes on as one trouble.
async fn gather(
    transaction: &mut Transaction,
    teller: &mut Teller<'_>,
    (case, folding): (&mut Case, &Folding),
    changed: &mut Vec<Case>,
) -> Result<(), RecordError> {
    let silences = silences(transaction, case).await?;
    let own: BTreeSet<CaseId> = silences
        .iter()
        .filter(|(silent, trouble)| folding.verdict(silent, *trouble) == Fold::Over)
        .map(|(silent, _)| silent.id)
        .collect();
    let (mut wholes, parts): (Vec<Case>, Vec<Case>) = silences
        .into_iter()
        .map(|(silent, _)| silent)
        .partition(|silent| !silent.is_folded());
    for part in parts.iter().filter(|part| own.contains(&part.id)) {
        if let Some(whole) = wholes
            .iter_mut()
            .find(|w| Some(w.id) == part.handling.folded_into)
        {
            whole.handling.folded = whole.handling.folded.saturating_sub(1);
            write_case(transaction, whole).await?;
        }
        let mut part = part.clone();
        part.handling.folded_into = Some(case.id);
        part.version += 1;
        write_case(transaction, &part).await?;
        case.handling.folded += 1;
        changed.push(part);
    }
    for whole in wholes {
        if !own.contains(&whole.id) {
            changed.push(whole);
            continue;
        }
        let rest = parts
            .iter()
            .find(|part| part.handling.folded_into == Some(whole.id) && !own.contains(&part.id));
        match rest {
            Some(next) => stand_up(transaction, teller, (next.clone(), &whole), changed).await?,
            None => {
                move_parts(transaction, whole.id, case.id).await?;
                case.handling.folded += whole.handling.folded;
            }
        }
        case.handling.folded += 1;
        take(transaction, teller, (whole, case.id), changed).await?;
    }
    Ok(())
}

/// A part stands for what is left of its whole, which has become a part of another trouble. People have not heard of it.
async fn stand_up(
    transaction: &mut Transaction,
    teller: &mut Teller<'_>,
    (mut next, whole): (Case, &Case),
    changed: &mut Vec<Case>,
) -> Result<(), RecordError> {
    let recurs = next.handling.recurs;
    next.handling = course::opened(teller.policy(), &next, teller.now());
    next.handling.recurs = recurs;
    next.handling.folded = whole.handling.folded.saturating_sub(1);
    next.version += 1;
    write_case(transaction, &next).await?;
    move_parts(transaction, whole.id, next.id).await?;
    write_line(transaction, teller.now(), "case.unfold", &next).await?;
    teller
        .tell(transaction, &next, &News::of(NoticeKind::Opened))
        .await?;
    changed.push(next);
    Ok(())
}

/// A part has no deadline of its own.
fn quiet(part: &mut Case) {
    part.handling.due_at = None;
    part.handling.next_at = None;
}

/// The facility's cases that stand for a trouble of which there may be parts.
async fn heads(transaction: &mut Transaction, case: &Case) -> Result<Vec<(Case, Trouble)>, RecordError> {
    let rows = sqlx::query(
        "SELECT * FROM cases WHERE facility = $1 AND trouble <> 'own' AND state <> 'closed' AND folded_into IS NULL \
           AND id <> $2 ORDER BY id LIMIT $3",
    )
    .bind(case.point.facility.as_str())
    .bind(case.id.0)
    .bind(MAX_HEADS)
    .fetch_all(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    rows.iter().map(with_trouble).collect()
}

/// The facility's open silences that nothing stronger explains yet: wholes, and their parts.
async fn silences(transaction: &mut Transaction, case: &Case) -> Result<Vec<(Case, Trouble)>, RecordError> {
    let rows = sqlx::query(
        "SELECT * FROM cases WHERE facility = $1 AND trouble IN ('silence', 'camera_silent') AND state <> 'closed' \
           AND id <> $2 AND (folded_into IS NULL OR folded_into IN (SELECT id FROM cases WHERE facility = $1 \
             AND trouble IN ('silence', 'camera_silent') AND state <> 'closed' AND folded_into IS NULL)) \
         ORDER BY id LIMIT $3",
    )
    .bind(case.point.facility.as_str())
    .bind(case.id.0)
    .bind(MAX_SILENCES)
    .fetch_all(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    rows.iter().map(with_trouble).collect()
}

fn with_trouble(row: &Row) -> Result<(Case, Trouble), RecordError> {
    let trouble = Fields::of(row, "id").parsed("trouble", Trouble::parse)?;
    Ok((case_of(row)?, trouble))
}

async fn move_parts(transaction: &mut Transaction, from: CaseId, to: CaseId) -> Result<(), RecordError> {
    sqlx::query("UPDATE cases SET folded_into = $2, version = version + 1 WHERE folded_into = $1")
        .bind(from.0)
        .bind(to.0)
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(RecordError::from_database)
}
