//! The model: files with a volatile and a durable content, and a log of name changes of which a part is durable.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs, io,
    ops::Range,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use fuser::Errno;

/// The inode of the mounted directory.
pub(crate) const ROOT: u64 = 1;
const SECTOR_BYTES: usize = 512;

/// Names in a directory.
type Names = BTreeMap<OsString, u64>;

/// How the disk misbehaves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// A power cut keeps some of what was not synced.
    pub(crate) tear: bool,
    /// Names are durable only as far as POSIX promises.
    pub(crate) strict: bool,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) fail_sync_after: Option<u64>,
    pub(crate) sync_micros: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    PowerCut,
    Shutdown,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) is_directory: bool,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) parent: u64,
    pub(crate) modified: SystemTime,
    /// Whether a name leads to it.
    pub(crate) linked: bool,
    pub(crate) names: Names,
    pub(crate) content: Vec<u8>,
    durable: Vec<u8>,
    /// Written since the last sync.
    dirty: Vec<Range<usize>>,
}

/// A change of names: the directory, the name, and the inode that a new name leads to.
#[derive(Debug, Clone)]
enum Change {
    Add {
        directory: u64,
        name: OsString,
        inode: u64,
    },
    Remove {
        directory: u64,
        name: OsString,
    },
    Move {
        from: (u64, OsString),
        to: (u64, OsString),
    },
}

impl Change {
    /// The names that it concerns.
    fn names(&self) -> impl Iterator<Item = (u64, OsString)> {
        let (first, second) = match self {
            Change::Add { directory, name, .. } | Change::Remove { directory, name } => {
                ((*directory, name.clone()), None)
            }
            Change::Move { from, to } => (from.clone(), Some(to.clone())),
        };
        std::iter::once(first).chain(second)
    }
}

/// Who owns a new file, and what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth {
    pub(crate) is_directory: bool,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

#[derive(Debug)]
pub(crate) struct Disk {
    nodes: HashMap<u64, Node>,
    next_inode: u64,
    durable_names: HashMap<u64, Names>,
    /// Changes that are not durable yet, in order.
    log: Vec<Change>,
    faults: Faults,
    random: u64,
    used_bytes: u64,
    syncs: u64,
    power_is_cut: bool,
}

impl Disk {
    /// A disk with the content of the directory `image`, which is made if absent.
    pub(crate) fn load(image: &Path, seed: u64, faults: Faults) -> io::Result<Disk> {
        fs::create_dir_all(image)?;
        let mut disk = Disk {
            nodes: HashMap::new(),
            next_inode: ROOT + 1,
            durable_names: HashMap::new(),
            log: Vec::new(),
            faults,
            // Spread over all bits, and never zero: the generator would stay there.
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            used_bytes: 0,
            syncs: 0,
            power_is_cut: false,
        };
        let root = disk.load_node(image, ROOT)?;
        disk.nodes.insert(ROOT, root);
        disk.load_directory(image, ROOT)?;
        Ok(disk)
    }

    fn load_node(&mut self, path: &Path, parent: u64) -> io::Result<Node> {
        let metadata = fs::metadata(path)?;
        let content = if metadata.is_dir() {
            Vec::new()
        } else {
            fs::read(path)?
        };
        self.used_bytes += content.len() as u64;
        Ok(Node {
            is_directory: metadata.is_dir(),
            mode: permissions(metadata.mode()),
            uid: metadata.uid(),
            gid: metadata.gid(),
            parent,
            modified: metadata.modified()?,
            linked: true,
            names: Names::new(),
            durable: content.clone(),
            content,
            dirty: Vec::new(),
        })
    }

    fn load_directory(&mut self, path: &Path, inode: u64) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let node = self.load_node(&entry.path(), inode)?;
            let is_directory = node.is_directory;
            let child = self.add_node(node);
            self.durable_names
                .entry(inode)
                .or_default()
                .insert(entry.file_name(), child);
            self.nodes.entry(inode).and_modify(|node| {
                node.names.insert(entry.file_name(), child);
            });
            if is_directory {
                self.load_directory(&entry.path(), child)?;
            }
        }
        Ok(())
    }

    fn add_node(&mut self, node: Node) -> u64 {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.nodes.insert(inode, node);
        inode
    }

    /// Fails when the power is cut: then nothing works any more.
    pub(crate) fn node(&self, inode: u64) -> Result<&Node, Errno> {
        self.check_power()?;
        self.nodes.get(&inode).ok_or(Errno::ENOENT)
    }

    pub(crate) fn node_mut(&mut self, inode: u64) -> Result<&mut Node, Errno> {
        self.check_power()?;
        self.nodes.get_mut(&inode).ok_or(Errno::ENOENT)
    }

    fn check_power(&self) -> Result<(), Errno> {
        if self.power_is_cut {
            Err(Errno::EIO)
        } else {
            Ok(())
        }
    }

    pub(crate) fn find(&self, directory: u64, name: &OsStr) -> Result<u64, Errno> {
        self.node(directory)?
            .names
            .get(name)
            .copied()
            .ok_or(Errno::ENOENT)
    }

    /// Total and free bytes.
    pub(crate) fn space(&self) -> (u64, u64) {
        let total = self.faults.max_bytes.unwrap_or(1 << 40);
        (total, total.saturating_sub(self.used_bytes))
    }

    pub(crate) fn create(&mut self, directory: u64, name: &OsStr, birth: Birth) -> Result<u64, Errno> {
        if self.node(directory)?.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let inode = self.add_node(Node {
            is_directory: birth.is_directory,
            mode: permissions(birth.mode),
            uid: birth.uid,
            gid: birth.gid,
            parent: directory,
            modified: now(),
            linked: true,
            names: Names::new(),
            content: Vec::new(),
            durable: Vec::new(),
            dirty: Vec::new(),
        });
        self.node_mut(directory)?.names.insert(name.to_owned(), inode);
        self.log.push(Change::Add {
            directory,
            name: name.to_owned(),
            inode,
        });
        Ok(inode)
    }

    /// Removes a name. The content stays in memory: the file may be open.
    pub(crate) fn remove(&mut self, directory: u64, name: &OsStr) -> Result<(), Errno> {
        let inode = self.find(directory, name)?;
        if !self.node(inode)?.names.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.node_mut(directory)?.names.remove(name);
        self.unlink(inode)?;
        self.log.push(Change::Remove {
            directory,
            name: name.to_owned(),
        });
        Ok(())
    }

    fn unlink(&mut self, inode: u64) -> Result<(), Errno> {
        let node = self.node_mut(inode)?;
        node.linked = false;
        let bytes = node.content.len() as u64;
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
        Ok(())
    }

    pub(crate) fn rename(
        &mut self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        replace: bool,
    ) -> Result<(), Errno> {
        let inode = self.find(from.0, from.1)?;
        let replaced = self
            .node(to.0)?
            .names
            .get(to.1)
            .copied()
            .filter(|replaced| *replaced != inode);
        if let Some(replaced) = replaced {
            if !replace {
                return Err(Errno::EEXIST);
            }
            if !self.node(replaced)?.names.is_empty() {
                return Err(Errno::ENOTEMPTY);
            }
            self.unlink(replaced)?;
        }
        self.node_mut(from.0)?.names.remove(from.1);
        self.node_mut(to.0)?.names.insert(to.1.to_owned(), inode);
        self.node_mut(inode)?.parent = to.0;
        let own = |place: (u64, &OsStr)| (place.0, place.1.to_owned());
        self.log.push(Change::Move {
            from: own(from),
            to: own(to),
        });
        Ok(())
    }

    pub(crate) fn write(&mut self, inode: u64, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let begin = usize::try_from(offset).map_err(|_too_large| Errno::EFBIG)?;
        let end = begin + bytes.len();
        let length = self.node(inode)?.content.len();
        if end > length {
            self.resize(inode, end)?;
        }
        let node = self.node_mut(inode)?;
        node.content[begin..end].copy_from_slice(bytes);
        node.modified = now();
        match node.dirty.last_mut() {
            Some(last) if last.end == begin => last.end = end,
            _ => node.dirty.push(begin..end),
        }
        Ok(())
    }

    /// Cuts a file, or grows it with zeros.
    pub(crate) fn resize(&mut self, inode: u64, length: usize) -> Result<(), Errno> {
        let before = self.node(inode)?.content.len();
        let used = self.used_bytes.saturating_sub(before as u64) + length as u64;
        if length > before && self.faults.max_bytes.is_some_and(|max| used > max) {
            return Err(Errno::ENOSPC);
        }
        self.used_bytes = used;
        let node = self.node_mut(inode)?;
        node.content.resize(length, 0);
        if length > before {
            node.dirty.push(before..length);
        }
        Ok(())
    }

    /// Makes a file's content and, as far as the model goes, names durable.
    pub(crate) fn sync(&mut self, inode: u64) -> Result<(), Errno> {
        self.check_power()?;
        self.syncs += 1;
        if self
            .faults
            .fail_sync_after
            .is_some_and(|limit| self.syncs > limit)
        {
            return Err(Errno::EIO);
        }
        delay(Duration::from_micros(self.faults.sync_micros));
        let node = self.node_mut(inode)?;
        let length = node.content.len();
        node.durable.resize(length, 0);
        for range in std::mem::take(&mut node.dirty) {
            let range = range.start.min(length)..range.end.min(length);
            node.durable[range.clone()].copy_from_slice(&node.content[range]);
        }
        self.sync_names(inode);
        Ok(())
    }

    fn sync_names(&mut self, inode: u64) {
        let is_directory = self.nodes.get(&inode).is_some_and(|node| node.is_directory);
        let own = |directory: u64| is_directory && directory == inode;
        // From the newest back: with a name that becomes durable, everything that befell it before does.
        let mut settled = BTreeSet::new();
        let mut durable = vec![false; self.log.len()];
        for (change, durable) in self.log.iter().zip(&mut durable).rev() {
            let promised = match change {
                Change::Add {
                    directory,
                    inode: added,
                    ..
                } => *added == inode || own(*directory),
                Change::Remove { directory, .. } => own(*directory),
                Change::Move { from, to } => own(from.0) || own(to.0),
            };
            *durable = !self.faults.strict || promised || change.names().any(|name| settled.contains(&name));
            if *durable {
                settled.extend(change.names());
            }
        }
        let log = std::mem::take(&mut self.log);
        for (change, durable) in log.into_iter().zip(durable) {
            if durable {
                apply(&mut self.durable_names, &change);
            } else {
                self.log.push(change);
            }
        }
    }

    /// Ends the disk's life: what survives replaces the directory `image`.
    pub(crate) fn end(&mut self, ending: Ending, image: &Path) -> io::Result<()> {
        self.power_is_cut = true;
        let names = match ending {
            Ending::Shutdown => self
                .nodes
                .iter()
                .map(|(inode, node)| (*inode, node.names.clone()))
                .collect(),
            Ending::PowerCut => self.surviving_names(),
        };
        let aside = image.with_extension("surviving");
        fs::create_dir_all(&aside)?;
        self.store_directory(&names, ROOT, &aside, ending)?;
        fs::remove_dir_all(image)?;
        fs::rename(&aside, image)
    }

    fn surviving_names(&mut self) -> HashMap<u64, Names> {
        let mut names = self.durable_names.clone();
        let kept = if self.faults.tear {
            self.below(self.log.len() + 1)
        } else {
            0
        };
        self.log[..kept]
            .iter()
            .for_each(|change| apply(&mut names, change));
        names
    }

    fn store_directory(
        &mut self,
        names: &HashMap<u64, Names>,
        directory: u64,
        path: &Path,
        ending: Ending,
    ) -> io::Result<()> {
        for (name, &inode) in names.get(&directory).into_iter().flatten() {
            let path = path.join(name);
            let content = self.surviving_content(inode, ending);
            let node = &self.nodes[&inode];
            let mode = fs::Permissions::from_mode(node.mode.into());
            if node.is_directory {
                fs::create_dir(&path)?;
                self.store_directory(names, inode, &path, ending)?;
            } else {
                fs::write(&path, content)?;
            }
            fs::set_permissions(&path, mode)?;
        }
        Ok(())
    }

    fn surviving_content(&mut self, inode: u64, ending: Ending) -> Vec<u8> {
        if ending == Ending::Shutdown {
            return self.nodes[&inode].content.clone();
        }
        let mut surviving = self.nodes[&inode].durable.clone();
        if !self.faults.tear {
            return surviving;
        }
        for range in self.nodes[&inode].dirty.clone() {
            let end = range.end.min(self.nodes[&inode].content.len());
            let mut begin = range.start;
            while begin < end {
                let sector_end = ((begin / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
                if self.below(2) == 0 {
                    surviving.resize(surviving.len().max(sector_end), 0);
                    let content = &self.nodes[&inode].content;
                    surviving[begin..sector_end].copy_from_slice(&content[begin..sector_end]);
                }
                begin = sector_end;
            }
        }
        surviving
    }

    /// A random number below `bound` (xorshift: the same seed tears the same way).
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap_or(0) % bound
    }
}

fn apply(names: &mut HashMap<u64, Names>, change: &Change) {
    match change {
        Change::Add {
            directory,
            name,
            inode,
        } => {
            names.entry(*directory).or_default().insert(name.clone(), *inode);
        }
        Change::Remove { directory, name } => {
            names.entry(*directory).or_default().remove(name);
        }
        Change::Move { from, to } => {
            if let Some(inode) = names.entry(from.0).or_default().remove(&from.1) {
                names.entry(to.0).or_default().insert(to.1.clone(), inode);
            }
        }
    }
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or(0o600)
}

#[expect(
    clippy::disallowed_methods,
    reason = "files on this disk bear the real time, as on any other"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "a slow disk is what is asked for")]
fn delay(duration: Duration) {
    thread::sleep(duration);
}
