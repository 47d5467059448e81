//! One direction of a TCP stream, in pieces.

/// Where positions begin: so far on that none before it is ever needed.
const FIRST: u64 = 1 << 40;
/// Further than this, 32 bits do not tell how far.
const FAR: u64 = 1 << 31;

/// A piece, with the parts of it that were not captured at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    /// Position of its first byte.
    pub(super) at: u64,
    /// Bytes there are.
    pub(super) length: u64,
    /// Those that were captured.
    pub(super) bytes: &'a [u8],
    pub(super) time_ns: u64,
    /// How far the other direction was then, and since when; if it had begun.
    pub(super) other: Option<Seen>,
}

/// The end of what was seen of a direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The position after its latest byte.
    pub(super) at: u64,
    /// When that byte was seen.
    pub(super) time_ns: u64,
}

impl Segment<'_> {
    pub(super) const fn end(&self) -> u64 {
        self.at + self.length
    }

    /// Whether all of it was captured.
    pub(super) const fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.length
    }

    /// Leaves out what is before `at`.
    pub(super) fn skip_to(&mut self, at: u64) {
        let skipped = at.saturating_sub(self.at).min(self.length);
        self.at += skipped;
        self.length -= skipped;
        let captured = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.bytes = self.bytes.get(captured..).unwrap_or_default();
    }
}

/// Positions of one direction, which wrap, as ones that do not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Positions {
    seen: Option<Seen>,
}

impl Positions {
    /// How far it is, as far as is known.
    pub(super) const fn seen(&self) -> Option<Seen> {
        self.seen
    }

    /// The position that wraps to `position` and is nearest to what was seen. With `end` so far away that there may be
    /// several, it is that, or one before it.
    pub(super) fn unwrap(&self, position: u32, end: Option<u64>) -> u64 {
        let Some(Seen { at, .. }) = self.seen else {
            return FIRST + u64::from(position);
        };
        let ahead = position.wrapping_sub(at as u32);
        match end {
            Some(end) if end > at.saturating_add(FAR) => {
                if end as u32 == position {
                    end
                } else {
                    at + u64::from(ahead)
                }
            }
            _ => at.wrapping_add_signed(i64::from(ahead.cast_signed())),
        }
    }

    /// Payload was seen up to `at`.
    pub(super) fn see(&mut self, at: u64, time_ns: u64) {
        if self.seen.is_none_or(|seen| at > seen.at) {
            self.seen = Some(Seen { at, time_ns });
        }
    }
}

/// Pieces that came before their turn.
#[derive(Debug, Default)]
pub(super) struct Early {
    pieces: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    at: u64,
    length: u64,
    bytes: Box<[u8]>,
    time_ns: u64,
    other: Option<Seen>,
}

impl Early {
    /// More than these cannot wait for what was overtaken.
    const MOST: usize = 8;

    /// Keeps a piece; false if there are too many.
    pub(super) fn keep(&mut self, segment: &Segment<'_>) -> bool {
        if self.pieces.len() >= Self::MOST {
            return false;
        }
        self.pieces.push(Kept {
            at: segment.at,
            length: segment.length,
            bytes: segment.bytes.into(),
            time_ns: segment.time_ns,
            other: segment.other,
        });
        true
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// When the first of them came.
    pub(super) fn since_ns(&self) -> Option<u64> {
        self.pieces.iter().map(|kept| kept.time_ns).min()
    }

    /// Bytes kept.
    pub(super) fn held(&self) -> usize {
        self.pieces.iter().map(|kept| kept.bytes.len()).sum()
    }

    /// Takes the first of them, if it is not after `most`.
    pub(super) fn take(&mut self, most: u64) -> Option<Taken> {
        let first = (0..self.pieces.len()).min_by_key(|at| self.pieces[*at].at)?;
        if self.pieces[first].at > most {
            return None;
        }
        Some(Taken(self.pieces.swap_remove(first)))
    }
}

/// A piece whose turn has come.
#[derive(Debug)]
pub(super) struct Taken(Kept);

impl Taken {
    pub(super) fn segment(&self) -> Segment<'_> {
        let Kept {
            at,
            length,
            ref bytes,
            time_ns,
            other,
        } = self.0;
        Segment {
            at,
            length,
            bytes,
            time_ns,
            other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_go_on_where_they_wrap() {
        let mut positions = Positions::default();
        let first = positions.unwrap(u32::MAX - 9, None);
        positions.see(first, 1);
        assert_eq!(positions.unwrap(10, None), first + 20);
        assert_eq!(positions.unwrap(u32::MAX - 19, None), first - 10);
    }

    #[test]
    fn the_end_of_a_long_body_is_found_behind_any_number_of_wraps() {
        let mut positions = Positions::default();
        let first = positions.unwrap(5, None);
        positions.see(first, 1);
        let end = first + (10 << 30) + 7;
        assert_eq!(positions.unwrap(end as u32, Some(end)), end);
        assert_eq!(positions.unwrap(105, Some(end)), first + 100);
    }
}
