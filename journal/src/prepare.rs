//! The preparing thread: keeps one zero-written segment ahead, so that no commit waits for allocation. A sync
//! into a preallocated file takes tens of microseconds where one into a growing file takes milliseconds.

use std::{
    sync::{Arc, MutexGuard, atomic::Ordering},
    time::Duration,
};

use crate::{
    disk,
    segment::Segment,
    shared::{NO_PANIC, Shared, Table},
};

/// First and longest wait before trying again on a full disk.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(1);

/// Runs until the journal ends.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut retry = RETRY_FIRST;
    let mut table = shared.table();
    loop {
        if table.stop {
            return;
        }
        let (Some(last), bytes) = (table.all.back().copied(), shared.options.segment_bytes) else {
            return;
        };
        if last.base > table.active {
            table = wait(shared, table, None);
            continue;
        }
        let occupied: u64 = table.all.iter().map(|segment| segment.bytes).sum();
        if occupied + bytes > shared.options.capacity_bytes {
            block(
                shared,
                "The journal has reached its capacity; it refuses records until a cursor moves on",
            );
            table = wait(shared, table, None);
            continue;
        }
        drop(table);
        let next = Segment {
            base: last.end(),
            bytes,
        };
        let made = next.create(&shared.options.dir, shared.disk.as_ref());
        table = shared.table();
        match made {
            Ok(()) => {
                table.all.push_back(next);
                unblock(shared, next.end());
                retry = RETRY_FIRST;
            }
            Err(error) if disk::is_out_of_space(&error) => {
                block(
                    shared,
                    "The disk is full; the journal refuses records until there is space",
                );
                table = wait(shared, table, Some(retry));
                retry = (retry * 2).min(RETRY_LONGEST);
            }
            Err(error) => {
                drop(table);
                shared.poison(&format_args!(
                    "preparing {} failed: {error}; check the disk, then restart",
                    next.file_name()
                ));
                return;
            }
        }
    }
}

fn wait<'a>(
    shared: &'a Shared,
    table: MutexGuard<'a, Table>,
    timeout: Option<Duration>,
) -> MutexGuard<'a, Table> {
    match timeout {
        Some(timeout) => shared.room.wait_timeout(table, timeout).expect(NO_PANIC).0,
        None => shared.room.wait(table).expect(NO_PANIC),
    }
}

/// What fits into the segments at hand is still taken.
fn block(shared: &Shared, message: &'static str) {
    if !shared.space_blocked.swap(true, Ordering::AcqRel) {
        tracing::warn!(
            journal.capacity_bytes = shared.options.capacity_bytes,
            "{message}"
        );
    }
}

fn unblock(shared: &Shared, space_end: u64) {
    shared.space_end.store(space_end, Ordering::Release);
    if shared.space_blocked.swap(false, Ordering::AcqRel) {
        tracing::info!("The journal has space again");
    }
}
