//! Points that have no place in a request yet.

use bytes::Bytes;

use super::Header;
use crate::otlp::{
    OtlpBatch, Resource, Scope, Signal,
    fields::Fields,
    put::{self, Opened, put_chunk},
};

/// What a message around an item takes of the length of its item, as a guess.
const LENGTH: usize = 1000;

/// A request of Points in the order they come.
#[derive(Debug)]
pub(super) struct Added {
    out: Vec<u8>,
    /// The messages around the item that was written last, outermost first.
    frames: Vec<Frame>,
}

/// A message that is being written.
#[derive(Debug)]
struct Frame {
    number: u32,
    own: Bytes,
    /// The field for what is inside.
    inner: u32,
    opened: Opened,
    /// The rest of `own`, which is behind that.
    rest: usize,
}

impl Added {
    pub(super) const fn new() -> Self {
        Self {
            out: Vec::new(),
            frames: Vec::new(),
        }
    }

    pub(super) fn put(
        &mut self,
        resource: Option<&Resource>,
        scope: Option<&Scope>,
        header: Option<&Header>,
        item: &[u8],
    ) {
        let none = Bytes::new();
        let resource = resource.map_or(&none, |own| &own.group.own);
        let scope = scope.map_or(&none, |own| &own.group.own);
        let mut around = vec![(1, resource, 2), (2, scope, 2)];
        if let Some(header) = header {
            around.push((2, &header.metric, header.kind));
            around.push((header.kind, &header.data, 1));
        }
        for (depth, (number, own, inner)) in around.into_iter().enumerate() {
            match self.frames.get(depth) {
                Some(frame)
                    if frame.number == number && frame.inner == inner && frame.own == *own =>
                {
                    continue;
                }
                _ => self.close_to(depth),
            }
            self.open(number, own, inner);
        }
        let number = self.frames.last().map_or(0, |frame| frame.inner);
        put_chunk(number, item, &mut self.out);
    }

    /// The request, behind what is in `before`.
    pub(super) fn finish(mut self, signal: Signal, items: usize, mut before: Vec<u8>) -> OtlpBatch {
        self.close_to(0);
        before.extend_from_slice(&self.out);
        OtlpBatch {
            signal,
            bytes: before.into(),
            items,
        }
    }

    fn open(&mut self, number: u32, own: &Bytes, inner: u32) {
        let opened = put::open(number, LENGTH, &mut self.out);
        let mut fields = Fields::of(own).placed();
        let rest = fields
            .find(|field| field.number > inner)
            .map_or(own.len(), |field| field.from);
        self.out.extend_from_slice(&own[..rest]);
        self.frames.push(Frame {
            number,
            own: own.clone(),
            inner,
            opened,
            rest,
        });
    }

    fn close_to(&mut self, depth: usize) {
        while self.frames.len() > depth {
            if let Some(frame) = self.frames.pop() {
                self.out.extend_from_slice(&frame.own[frame.rest..]);
                frame.opened.close(&mut self.out);
            }
        }
    }
}
