//! Reading the body of a request: within its time, its size and the shared memory.

mod buffer;
mod coding;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

pub(crate) use self::{
    buffer::Buffer,
    coding::{Coding, Decoder},
};
use crate::{intake::Limits, refusal::Refusal};

/// The flag and the length before a gRPC message.
const PREFIX: usize = 5;
/// How much of a refused body is read and thrown away, as a multiple of the largest message. A client that is
/// still sending would not see the answer if the connection closed under it.
const DISCARDED: usize = 4;

/// A body that is being read.
pub(crate) struct Reader<'a> {
    body: &'a mut Incoming,
    /// Bytes that came over the wire.
    wire: &'a mut u64,
    limits: Limits,
    until: Instant,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a mut Incoming, limits: Limits, wire: &'a mut u64) -> Self {
        let until = Instant::now() + limits.time;
        Self {
            body,
            wire,
            limits,
            until,
        }
    }

    /// The whole body, decompressed into `buffer`.
    pub(crate) async fn whole(
        &mut self,
        coding: Coding,
        mut buffer: Buffer,
    ) -> Result<Buffer, Refusal> {
        let announced = self.body.size_hint().exact();
        if let (Coding::Identity, Some(size)) = (coding, announced) {
            buffer.expect(usize::try_from(size).unwrap_or(usize::MAX))?;
        }
        let mut decoder = Decoder::new(coding, buffer)?;
        while let Some(part) = self.next().await? {
            decoder.push(&part)?;
        }
        decoder.finish()
    }

    /// The one gRPC message that is the body. `coding` applies if its flag says so.
    pub(crate) async fn message(
        &mut self,
        coding: Coding,
        mut buffer: Buffer,
    ) -> Result<Buffer, Refusal> {
        let mut prefix = [0; PREFIX];
        let mut have = 0;
        let mut part = Bytes::new();
        while have < PREFIX {
            if part.is_empty() {
                part = self
                    .next()
                    .await?
                    .ok_or(Refusal::Framing("the gRPC message is missing"))?;
            }
            let more = part.len().min(PREFIX - have);
            part.copy_to_slice(&mut prefix[have..have + more]);
            have += more;
        }
        let [flag, length @ ..] = prefix;
        let mut left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let coding = match flag {
            0 => Coding::Identity,
            1 if coding == Coding::Identity => {
                return Err(Refusal::Framing("compressed, but no grpc-encoding given"));
            }
            1 => coding,
            _ => return Err(Refusal::Framing("neither compressed nor not")),
        };
        if coding == Coding::Identity {
            buffer.expect(left)?;
        }
        let mut decoder = Decoder::new(coding, buffer)?;
        loop {
            left = left
                .checked_sub(part.len())
                .ok_or(Refusal::Framing("more than one gRPC message"))?;
            decoder.push(&part)?;
            part = match self.next().await? {
                Some(part) => part,
                None if left == 0 => return decoder.finish(),
                None => return Err(Refusal::Framing("the gRPC message is cut short")),
            };
        }
    }

    /// Reads on after `refusal` and throws away what comes, up to a limit, if that helps the client to see the answer.
    pub(crate) async fn discard(&mut self, refusal: &Refusal) {
        let unread = self.body.size_hint().lower();
        let mut left = self.limits.message.saturating_mul(DISCARDED);
        if matches!(refusal, Refusal::Body(_) | Refusal::TooSlow { .. })
            || usize::try_from(unread).map_or(true, |unread| unread > left)
        {
            return;
        }
        while let Ok(Some(part)) = self.next().await
            && part.len() <= left
        {
            left -= part.len();
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let limit = self.limits.time;
            let frame = timeout_at(self.until, self.body.frame())
                .await
                .map_err(|_elapsed| Refusal::TooSlow { limit })?;
            let Some(frame) = frame else { return Ok(None) };
            // Anything but data is trailers, which mean nothing here.
            if let Ok(part) = frame.map_err(Refusal::Body)?.into_data() {
                *self.wire += part.len() as u64;
                return Ok(Some(part));
            }
        }
    }
}
