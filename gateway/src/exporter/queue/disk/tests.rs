//! Stories of a queue on disk: what it gives back after damage and after the death of the process.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::*;
use crate::self_metrics::{EXPORTER_UNREADABLE, SelfMetrics};

const SIGNAL: Signal = Signal::Logs;
const ALL: u64 = 1 << 30;

struct Disk {
    folder: Folder,
    log: Log,
    found: Found,
    metrics: SelfMetrics,
}

impl Disk {
    fn open(path: &Path) -> Self {
        let metrics = SelfMetrics::new();
        let unreadable = metrics.counter(&EXPORTER_UNREADABLE, &["test"]);
        let folder = Folder::lock(path, 0, unreadable).expect("a folder of its own");
        let (log, found) = folder.open(SIGNAL).expect("a lane");
        Self {
            folder,
            log,
            found,
            metrics,
        }
    }

    /// As if the process had died: nothing is written any more, and the lock is gone.
    fn die(self) {
        self.folder.unlock().expect("unlocked");
    }

    fn push(&self, content: &[u8]) {
        let amount = Amount {
            items: 1,
            bytes: content.len() as u64,
        };
        let ledger = Ledger::new(&self.metrics, "test", SIGNAL);
        self.log
            .push(&Bytes::copy_from_slice(content), amount, &ledger)
            .expect("room");
    }

    fn take(&self, most: u64) -> Option<(Vec<Bytes>, Span, Amount)> {
        let Read { taken, unreadable } = self.log.take(most)?;
        assert_eq!(taken.amount.items, taken.pieces.len() as u64);
        Some((taken.pieces, taken.span, unreadable))
    }

    /// All there is, delivered one request after the other.
    fn drain(&self) -> (Vec<Bytes>, u64) {
        let mut all = Vec::new();
        let mut lost = 0;
        while let Some((pieces, span, unreadable)) = self.take(64) {
            all.extend(pieces);
            lost += unreadable.items;
            assert!(self.log.settle(span));
        }
        assert_eq!(self.log.unread(), 0);
        (all, lost)
    }

    fn unreadable(&self) -> u64 {
        let text = self.metrics.render();
        let line = text
            .lines()
            .find(|line| line.starts_with(EXPORTER_UNREADABLE.name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .expect("the counter")
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let lane = path.join(SIGNAL.name());
    segment::list(&lane)
        .expect("a folder")
        .into_values()
        .collect()
}

fn contents() -> Vec<Vec<u8>> {
    vec![b"first".to_vec(), vec![7; 40], b"the third".to_vec()]
}

/// A folder with [`contents`] in one file, and that file.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path());
    contents().iter().for_each(|content| disk.push(content));
    disk.die();
    let file = files(folder.path()).pop().expect("a file");
    (folder, file)
}

/// Where each record ends.
fn ends() -> Vec<usize> {
    let mut end = 0;
    contents()
        .iter()
        .map(|content| {
            end += HEADER + content.len();
            end
        })
        .collect()
}

#[test]
fn what_was_taken_in_comes_back_in_order_and_the_files_go() {
    let (folder, _) = filled();
    let disk = Disk::open(folder.path());
    assert_eq!(disk.found.amount.items, 3);
    assert_eq!(disk.log.unread(), disk.found.amount.bytes);
    assert_eq!(
        disk.drain(),
        (contents().into_iter().map(Bytes::from).collect(), 0)
    );
    assert!(files(folder.path()).is_empty());
    disk.die();
    assert_eq!(Disk::open(folder.path()).found, Found::default());
}

#[test]
fn a_file_cut_anywhere_gives_everything_before_the_cut_and_the_rest_is_counted() {
    let (folder, file) = filled();
    let whole = fs::read(&file).expect("the file");
    for cut in 0..=whole.len() {
        fs::write(&file, &whole[..cut]).expect("cut");
        let disk = Disk::open(folder.path());
        let kept = ends().iter().filter(|end| **end <= cut).count();
        let end_of_kept = kept.checked_sub(1).map_or(0, |last| ends()[last]);
        assert_eq!(disk.found.amount.items, kept as u64, "cut at {cut}");
        assert_eq!(
            disk.unreadable(),
            (cut - end_of_kept) as u64,
            "cut at {cut}"
        );
        let (found, lost) = disk.drain();
        assert_eq!(found, contents()[..kept], "cut at {cut}");
        assert_eq!(lost, 0);
        disk.die();
        fs::remove_file(folder.path().join("logs/position")).expect("start again");
    }
}

#[test]
fn a_changed_byte_anywhere_is_noticed_and_never_delivered() {
    let (folder, file) = filled();
    let whole = fs::read(&file).expect("the file");
    let record_of = |at: usize| ends().iter().filter(|end| **end <= at).count();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        fs::write(&file, &damaged).expect("damaged");
        let disk = Disk::open(folder.path());
        let hit = record_of(at);
        let start = if hit == 0 { 0 } else { ends()[hit - 1] };
        let in_header = at - start < HEADER;
        let (found, lost) = disk.drain();
        let mut wanted = contents();
        if in_header {
            // Where the next record begins is not known.
            wanted.truncate(hit);
        } else {
            wanted.remove(hit);
        }
        assert_eq!(found, wanted, "byte {at}");
        assert_eq!(lost, u64::from(!in_header), "byte {at}");
        assert_eq!(disk.found.amount.items, wanted.len() as u64 + lost);
        assert!(disk.unreadable() > 0, "byte {at}");
        disk.die();
        fs::remove_file(folder.path().join("logs/position")).expect("start again");
    }
}

#[test]
fn damage_that_comes_while_it_runs_costs_what_cannot_be_read_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path());
    contents().iter().for_each(|content| disk.push(content));
    let file = files(folder.path()).pop().expect("a file");
    let file = OpenOptions::new().write(true).open(file).expect("the file");
    file.write_all_at(&[0; HEADER], ends()[0] as u64)
        .expect("damaged");
    assert_eq!(disk.drain(), (vec![Bytes::from_static(b"first")], 2));
    disk.push(b"later");
    assert_eq!(disk.drain(), (vec![Bytes::from_static(b"later")], 0));
}

#[test]
fn after_a_death_only_what_was_under_way_comes_again_and_it_comes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path());
    for number in 0..10_u8 {
        disk.push(&[number; 8]);
    }
    let mut taken: Vec<Span> = (0..8).map(|_| disk.take(8).expect("one").1).collect();
    // All but the third and the sixth are delivered, the last of them first.
    let open = [taken.remove(5), taken.remove(2)];
    for span in taken.into_iter().rev() {
        assert!(disk.log.settle(span));
    }
    disk.die();

    for round in 0..3 {
        let disk = Disk::open(folder.path());
        assert_eq!(disk.found.amount.items, 4, "round {round}");
        if round < 2 {
            // Taken and not delivered, again.
            disk.take(ALL).expect("some");
            disk.die();
            continue;
        }
        let (found, _) = disk.drain();
        let numbers: Vec<u8> = found.iter().map(|content| content[0]).collect();
        assert_eq!(numbers.len(), 4);
        assert_eq!(numbers[2..], [8, 9]);
        assert!(numbers.contains(&2) && numbers.contains(&5), "{numbers:?}");
        disk.die();
    }
    assert!(files(folder.path()).is_empty(), "{open:?} are delivered");
}

#[test]
fn without_a_position_everything_comes_again_and_nothing_is_lost() {
    let (folder, _) = filled();
    let disk = Disk::open(folder.path());
    let (_, span, _) = disk.take(5).expect("the first");
    assert!(disk.log.settle(span));
    disk.die();
    fs::write(folder.path().join("logs/position"), b"nonsense").expect("damaged");
    let disk = Disk::open(folder.path());
    assert_eq!(disk.drain().0, contents());
}

#[test]
fn many_files_are_read_in_order_and_removed_as_they_are_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path());
    let large = |number: u32| {
        let mut content = vec![0; 100_000];
        content[..4].copy_from_slice(&number.to_be_bytes());
        content
    };
    (0..20).for_each(|number| disk.push(&large(number)));
    let before = files(folder.path()).len();
    assert!(before > 4, "{before} files");
    let mut next = 0_u32;
    while let Some((pieces, span, _)) = disk.take(250_000) {
        for piece in pieces {
            assert_eq!(piece[..4], next.to_be_bytes());
            next += 1;
        }
        assert!(disk.log.settle(span));
    }
    assert_eq!(next, 20);
    assert!(files(folder.path()).len() <= 1, "only the one written to");
}

#[test]
fn a_request_larger_than_what_is_asked_for_comes_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path());
    for length in [1000, 10, 10, 1000] {
        disk.push(&vec![1; length]);
    }
    let sizes: Vec<Vec<usize>> = std::iter::from_fn(|| {
        let (pieces, ..) = disk.take(100)?;
        Some(pieces.iter().map(Bytes::len).collect())
    })
    .collect();
    assert_eq!(sizes, [vec![1000], vec![10, 10], vec![1000]]);
}

#[test]
fn what_somebody_else_left_in_the_folder_is_no_part_of_the_queue() {
    let folder = tempfile::tempdir().expect("a folder");
    let lane = folder.path().join(SIGNAL.name());
    fs::create_dir_all(&lane).expect("a lane");
    // More items than bytes, twice: their sum would be more than there are numbers.
    let record = Header::of(SIGNAL, u64::MAX, b"x").expect("a header");
    let records = [&record.encode()[..], b"x"].concat().repeat(2);
    fs::write(lane.join("00000000000000000001.otlp1"), &records).expect("a file");
    let last = format!("{}.otlp1", u64::MAX);
    fs::write(lane.join(&last), b"kept").expect("a file");

    let disk = Disk::open(folder.path());
    assert_eq!(disk.found, Found::default());
    assert_eq!(disk.unreadable(), records.len() as u64);
    disk.push(b"later");
    assert_eq!(disk.drain(), (vec![Bytes::from_static(b"later")], 0));
    assert_eq!(fs::read(lane.join(last)).expect("the file"), b"kept");
}

#[test]
fn records_of_another_signal_are_not_delivered() {
    let (folder, file) = filled();
    let metrics = SelfMetrics::new();
    let other = folder.path().join("traces");
    fs::create_dir_all(&other).expect("a folder");
    fs::rename(&file, other.join(file.file_name().expect("a name"))).expect("moved");
    let unreadable = metrics.counter(&EXPORTER_UNREADABLE, &["test"]);
    let folder = Folder::lock(folder.path(), 0, unreadable).expect("a folder");
    let (_, found) = folder.open(Signal::Traces).expect("a lane");
    assert_eq!(found, Found::default());
}

#[test]
fn while_the_disk_takes_nothing_the_sender_is_told_and_later_all_is_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path());
    let lane = folder.path().join("logs");
    fs::rename(&lane, folder.path().join("away")).expect("moved");
    let ledger = Ledger::new(&disk.metrics, "test", SIGNAL);
    let amount = Amount { items: 1, bytes: 1 };
    let refused = disk.log.push(&Bytes::from_static(b"x"), amount, &ledger);
    assert!(matches!(refused, Err(Full::Disk(_))), "{refused:?}");
    assert_eq!(disk.log.unread(), 0);
    fs::rename(folder.path().join("away"), &lane).expect("moved back");
    disk.push(b"later");
    assert_eq!(disk.drain().0, ["later"]);
}
