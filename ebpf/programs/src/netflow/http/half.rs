//! One direction of a stream.

use super::segment::Segment;

/// One direction of a stream.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Half {
    /// When its latest payload was seen, 0 if none was.
    pub(super) time_ns: u64,
    /// The position after its latest byte, 0 if it is not known where the first one is.
    pub(super) next: u32,
    /// What is missing before `next`, if anything: a segment that was lost or overtaken.
    pub(super) hole: u32,
    pub(super) hole_end: u32,
    /// HTTP/2: bytes of a DATA frame that are still to come.
    pub(super) skip: u32,
    /// HTTP/2: bytes of another frame that are still to come.
    pub(super) pass: u32,
    /// Bytes handed on since the stream changed its direction.
    pub(super) handed: u32,
    /// Segments handed on since the stream changed its direction.
    pub(super) in_a_row: u8,
    /// 1 once the sender has ended its stream.
    pub(super) ended: u8,
    /// HTTP/2: how far the walk over frames is to be trusted.
    pub(super) walk: u8,
    /// HTTP/2: how many bytes of a frame's length and type the latest segment ended with, and which, from the highest.
    pub(super) cut_length: u8,
    pub(super) cut: u32,
    reserved: u32,
}

impl Half {
    /// Whether the segment has something new, and what is missing if it came too early.
    #[inline(always)]
    pub(super) fn takes(&mut self, segment: &Segment) -> bool {
        let end = segment.position.wrapping_add(segment.length);
        if self.time_ns == 0 && self.next == 0 {
            self.next = end;
            return true;
        }
        let ahead = segment.position.wrapping_sub(self.next).cast_signed();
        let is_new = end.wrapping_sub(self.next).cast_signed() > 0;
        if ahead > 0 && !self.has_hole() {
            (self.hole, self.hole_end) = (self.next, segment.position);
        } else if !is_new {
            let fills = self.has_hole()
                && end.wrapping_sub(self.hole).cast_signed() > 0
                && self.hole_end.wrapping_sub(segment.position).cast_signed() > 0;
            if fills {
                self.hole = end;
                if self.hole_end.wrapping_sub(end).cast_signed() <= 0 {
                    self.hole_end = end;
                }
            }
            return fills;
        }
        if is_new {
            self.next = end;
        }
        true
    }

    /// Whether something before the latest byte is still to come.
    #[inline(always)]
    pub(super) fn has_hole(&self) -> bool {
        self.hole != self.hole_end
    }

    /// The position after the latest byte.
    pub(super) fn end(&self) -> u32 {
        self.next
    }

    /// When the latest byte was seen.
    pub(super) fn at(&self) -> u64 {
        self.time_ns
    }
}
