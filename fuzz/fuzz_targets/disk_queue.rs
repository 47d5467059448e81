//! A queue on disk as a crash, a bad disk or somebody else may have left it: all that is found is delivered or counted as
//! lost, only once, and nothing that was not written is delivered.

#![no_main]

use std::{cell::LazyCell, collections::HashSet, fs, path::Path};

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use weir_fuzz::input::Input;
use weir_gateway::exporter::drain_queue;
use weir_point::otlp::Signal;

const SIGNAL: Signal = Signal::Logs;

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(folder);
}

/// In memory where that is possible.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    }
    .expect("a folder")
}

fuzz_target!(|data: &[u8]| FOLDER.with(|folder| run(folder.path(), Input(data))));

fn run(path: &Path, mut input: Input<'_>) {
    let lane = path.join(SIGNAL.name());
    fs::create_dir_all(&lane).expect("a lane");
    let most = input.number();
    let position = position(&mut input);
    fs::write(lane.join("position"), position).expect("a position");
    let mut written = HashSet::new();
    for _ in 0..1 + input.byte() % 3 {
        let (number, content) = (input.number(), segment(&mut input, &mut written));
        fs::write(lane.join(format!("{number:020}.otlp1")), content).expect("a segment");
    }

    let drained = drain_queue(path, SIGNAL, most).expect("a queue that can be opened");
    assert_eq!(drained.delivered + drained.lost, drained.found);
    for piece in &drained.pieces {
        assert!(written.contains(&piece[..]), "never written: {piece:?}");
    }
    let again = drain_queue(path, SIGNAL, most).expect("a queue that can be opened");
    assert_eq!(again.found, 0, "delivered twice");
    fs::remove_dir_all(&lane).expect("removed");
}

/// Two slots of 4096 bytes: raw, or with a checksum that is right.
fn position(input: &mut Input<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    let choice = input.byte();
    for slot in 0..2 {
        file.resize(slot * 4096, 0);
        match choice >> (2 * slot) & 3 {
            0 => {}
            1 => file.extend(input.piece(40)),
            parts => {
                let mut body = Vec::new();
                let numbers = 3 * usize::from(parts);
                (0..numbers).for_each(|_| body.extend(input.number().to_be_bytes()));
                file.extend(checked(
                    &[&(body.len() as u32).to_be_bytes()[..], &body].concat(),
                ));
            }
        }
    }
    file
}

/// Records, each raw or with checksums that are right, and what is `written` as content of one.
fn segment(input: &mut Input<'_>, written: &mut HashSet<Vec<u8>>) -> Vec<u8> {
    let mut file = Vec::new();
    for _ in 0..input.byte() % 6 {
        let choice = input.byte();
        let length = usize::from(choice & 31);
        if choice & 0xc0 == 0xc0 {
            file.extend(input.piece(length));
            continue;
        }
        let (items, content) = (input.number(), input.piece(length));
        let items = match choice & 64 {
            0 => items.min(content.len() as u64),
            _ => items,
        };
        written.insert(content.to_vec());
        let mut header = crc32fast::hash(content).to_be_bytes().to_vec();
        header.extend((content.len() as u32).to_be_bytes());
        header.extend([SIGNAL as u8, 0, 0, 0]);
        header.extend(items.to_be_bytes());
        file.extend(checked(&header));
        file.extend(content);
        if choice & 32 != 0
            && let Some(last) = file.last_mut()
        {
            *last ^= 1;
        }
    }
    file
}

/// With its checksum before it.
fn checked(bytes: &[u8]) -> Vec<u8> {
    [&crc32fast::hash(bytes).to_be_bytes()[..], bytes].concat()
}
