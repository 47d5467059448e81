//! What of a lane is delivered, written to disk after every request.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use bytes::{Buf as _, BufMut as _};

use super::segment::LAST_NUMBER;
use crate::exporter::queue::Span;

/// A byte of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// Everything before `head` is delivered or given up, except `outstanding`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) head: Place,
    pub(super) outstanding: Vec<Span>,
}

/// Two slots, written in turn, so that one is whole whenever the process ends.
#[derive(Debug)]
pub(super) struct PositionFile {
    file: File,
    generation: u64,
}

/// Layout of a slot, big-endian: checksum (4), length of what follows (4), generation (8), head (16),
/// then 24 bytes for each part outstanding.
const SLOT: usize = 4096;

impl PositionFile {
    /// The file at `path`, made if it is not there, and the latest position in it; `None` if
    /// there is none that is whole.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Position>)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut latest: Option<(u64, Position)> = None;
        for slot in 0..2 {
            let mut bytes = Vec::with_capacity(SLOT);
            read_slot(&file, slot, &mut bytes)?;
            let Some((generation, position)) = decode(&bytes) else {
                continue;
            };
            if latest.as_ref().is_none_or(|(known, _)| *known < generation) {
                latest = Some((generation, position));
            }
        }
        let (generation, position) = latest.unzip();
        let generation = generation.unwrap_or(0);
        Ok((Self { file, generation }, position))
    }

    pub(super) fn store(&mut self, position: &Position) -> io::Result<()> {
        self.generation += 1;
        let slot = self.generation % 2;
        let bytes = encode(self.generation, position);
        if bytes.len() > SLOT {
            return Err(io::Error::other("too many requests under way"));
        }
        self.file.write_all_at(&bytes, slot * SLOT as u64)
    }
}

fn read_slot(file: &File, slot: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(SLOT, 0);
    let mut filled = 0;
    while filled < SLOT {
        let at = slot * SLOT as u64 + filled as u64;
        match file.read_at(&mut bytes[filled..], at)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(())
}

fn encode(generation: u64, position: &Position) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes.put_u64(generation);
    bytes.put_u64(position.head.segment);
    bytes.put_u64(position.head.offset);
    for span in &position.outstanding {
        bytes.put_u64(span.segment);
        bytes.put_u64(span.start);
        bytes.put_u64(span.end);
    }
    let length = (bytes.len() - 8) as u32;
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<(u64, Position)> {
    if bytes.len() < 32 {
        return None;
    }
    let checksum = bytes.get_u32();
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let mut rest = bytes.get(..4 + length)?;
    if crc32fast::hash(rest) != checksum || length < 24 {
        return None;
    }
    rest.advance(4);
    let generation = rest.get_u64();
    let head = Place {
        segment: rest.get_u64(),
        offset: rest.get_u64(),
    };
    if head.segment > LAST_NUMBER || generation > LAST_NUMBER {
        return None;
    }
    let outstanding = rest
        .chunks_exact(24)
        .map(|mut span| Span {
            segment: span.get_u64(),
            start: span.get_u64(),
            end: span.get_u64(),
        })
        .filter(|span| span.start < span.end)
        .collect();
    Some((generation, Position { head, outstanding }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(number: u64) -> Position {
        Position {
            head: Place {
                segment: number,
                offset: number.wrapping_mul(2),
            },
            outstanding: (0..number % 5)
                .map(|n| Span {
                    segment: n,
                    start: number,
                    end: number.wrapping_add(1),
                })
                .collect(),
        }
    }

    #[test]
    fn the_latest_position_is_found_and_a_torn_one_gives_way_to_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("position");
        let (mut file, found) = PositionFile::open(&path).expect("a new file");
        assert_eq!(found, None);
        for number in 1..20 {
            file.store(&position(number)).expect("written");
            let (_, found) = PositionFile::open(&path).expect("the file");
            assert_eq!(found, Some(position(number)));
        }
        let latest = file.generation % 2 * SLOT as u64;
        let torn = OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("the file");
        torn.write_all_at(&[0xff; 3], latest + 20).expect("damaged");
        let (_, found) = PositionFile::open(&path).expect("the file");
        assert_eq!(found, Some(position(18)));
    }

    #[test]
    fn numbers_that_nothing_could_follow_are_no_position() {
        assert_eq!(decode(&encode(7, &position(3))), Some((7, position(3))));
        for (generation, segment) in [(u64::MAX, 3), (7, u64::MAX)] {
            assert_eq!(decode(&encode(generation, &position(segment))), None);
        }
    }

    #[test]
    fn more_under_way_than_can_be_named_is_an_error_and_the_last_position_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("position");
        let (mut file, _) = PositionFile::open(&path).expect("a new file");
        file.store(&position(1)).expect("written");
        let mut many = position(1);
        let span = Span {
            segment: 1,
            start: 1,
            end: 2,
        };
        many.outstanding = vec![span; 200];
        assert!(file.store(&many).is_err());
        let (_, found) = PositionFile::open(&path).expect("the file");
        assert_eq!(found, Some(position(1)));
    }
}
