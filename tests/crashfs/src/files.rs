//! The FUSE side: translates requests into calls of the [`Disk`].

use std::{
    ffi::OsStr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::disk::{Birth, Disk};

/// The kernel asks again each time: names and sizes change only here, but a cut must show at once.
const TTL: Duration = Duration::ZERO;
const BLOCK_BYTES: u64 = 4096;

pub(crate) struct Files {
    disk: Arc<Mutex<Disk>>,
}

impl Files {
    pub(crate) fn new(disk: Arc<Mutex<Disk>>) -> Files {
        Files { disk }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no request panics")
    }

    fn create_node(&self, parent: INodeNo, name: &OsStr, birth: Birth) -> Result<FileAttr, Errno> {
        let mut disk = self.disk();
        let inode = disk.create(parent.0, name, birth)?;
        attributes(&disk, inode)
    }
}

fn attributes(disk: &Disk, inode: u64) -> Result<FileAttr, Errno> {
    let node = disk.node(inode)?;
    let size = node.content.len() as u64;
    Ok(FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: size.div_ceil(512),
        atime: node.modified,
        mtime: node.modified,
        ctime: node.modified,
        crtime: node.modified,
        kind: kind(node.is_directory),
        perm: node.mode,
        nlink: u32::from(node.linked),
        uid: node.uid,
        gid: node.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn kind(is_directory: bool) -> FileType {
    if is_directory {
        FileType::Directory
    } else {
        FileType::RegularFile
    }
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Files {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let disk = self.disk();
        answer_entry(
            reply,
            disk.find(parent.0, name)
                .and_then(|inode| attributes(&disk, inode)),
        );
    }

    fn getattr(&self, _request: &Request, inode: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&self.disk(), inode.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _accessed: Option<TimeOrNow>,
        _modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _created: Option<SystemTime>,
        _flags_changed: Option<SystemTime>,
        _backed_up: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let mut change = || {
            if let Some(size) = size {
                disk.resize(inode.0, usize::try_from(size).map_err(|_too_large| Errno::EFBIG)?)?;
            }
            let node = disk.node_mut(inode.0)?;
            node.uid = uid.unwrap_or(node.uid);
            node.gid = gid.unwrap_or(node.gid);
            if let Some(mode) = mode {
                node.mode = u16::try_from(mode & 0o7777).unwrap_or(node.mode);
            }
            attributes(&disk, inode.0)
        };
        match change() {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let birth = Birth {
            is_directory: true,
            mode: mode & !umask,
            uid: request.uid(),
            gid: request.gid(),
        };
        answer_entry(reply, self.create_node(parent, name, birth));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _device: u32,
        reply: ReplyEntry,
    ) {
        let birth = Birth {
            is_directory: false,
            mode: mode & !umask,
            uid: request.uid(),
            gid: request.gid(),
        };
        answer_entry(reply, self.create_node(parent, name, birth));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let birth = Birth {
            is_directory: false,
            mode: mode & !umask,
            uid: request.uid(),
            gid: request.gid(),
        };
        match self.create_node(parent, name, birth) {
            Ok(attributes) => {
                reply.created(
                    &TTL,
                    &attributes,
                    Generation(0),
                    FileHandle(0),
                    FopenFlags::empty(),
                );
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.disk().remove(parent.0, name));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.disk().remove(parent.0, name));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return reply.error(Errno::EINVAL);
        }
        let replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        answer(
            reply,
            self.disk()
                .rename((parent.0, name), (new_parent.0, new_name), replace),
        );
    }

    fn read(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().node(inode.0) {
            Ok(node) => {
                let begin = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(node.content.len());
                let end = begin.saturating_add(size as usize).min(node.content.len());
                reply.data(&node.content[begin..end]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = self.disk();
        let synchronous = flags.0 & (libc::O_SYNC | libc::O_DSYNC) != 0;
        let written = disk.write(inode.0, offset, data);
        let written = written.and_then(|()| if synchronous { disk.sync(inode.0) } else { Ok(()) });
        match written.and_then(|()| u32::try_from(data.len()).map_err(|_too_large| Errno::EFBIG)) {
            Ok(bytes) => reply.written(bytes),
            Err(error) => reply.error(error),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        answer(reply, self.disk().sync(inode.0));
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        answer(reply, self.disk().sync(inode.0));
    }

    fn readdir(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let disk = self.disk();
        let directory = match disk.node(inode.0) {
            Ok(directory) => directory,
            Err(error) => return reply.error(error),
        };
        let dots = [(OsStr::new("."), inode.0), (OsStr::new(".."), directory.parent)];
        let names = directory
            .names
            .iter()
            .map(|(name, inode)| (name.as_os_str(), *inode));
        let entries = dots.into_iter().chain(names).zip(1..);
        for ((name, inode), next_offset) in entries.skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            let is_directory = disk.node(inode).is_ok_and(|node| node.is_directory);
            if reply.add(INodeNo(inode), next_offset, kind(is_directory), name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        let (total, free) = self.disk().space();
        let (total, free) = (total / BLOCK_BYTES, free / BLOCK_BYTES);
        reply.statfs(total, free, free, 1 << 20, 1 << 19, 4096, 255, 4096);
    }
}
