//! The decoders by themselves, without a connection around them, for the fuzz targets.

use weir_point::otlp::Signal;

use crate::{
    body::{Buffer, Coding, Decoder},
    budget::Budget,
    json,
    refusal::Refusal,
};

/// What one request may take, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The message, decompressed.
    pub message: usize,
    /// The message and whatever else is needed on the way to it.
    pub memory: usize,
}

/// The request in `text`, which is OTLP/JSON, as protobuf.
///
/// # Errors
/// What the client is told.
pub fn json_to_protobuf(signal: Signal, text: &[u8], limits: Limits) -> Result<Vec<u8>, String> {
    within(limits, |mut buffer| {
        json::to_protobuf(signal, text, &mut buffer)?;
        Ok(buffer)
    })
}

/// A body that comes in `parts`, decompressed; `coding` is the value of the header.
///
/// # Errors
/// What the client is told.
pub fn decompress<'a>(
    coding: &str,
    parts: impl Iterator<Item = &'a [u8]>,
    limits: Limits,
) -> Result<Vec<u8>, String> {
    within(limits, |buffer| {
        let mut decoder = Decoder::new(Coding::named(Some(coding.as_bytes()))?, buffer)?;
        for part in parts {
            decoder.push(part)?;
        }
        decoder.finish()
    })
}

fn within(
    limits: Limits,
    decode: impl FnOnce(Buffer) -> Result<Buffer, Refusal>,
) -> Result<Vec<u8>, String> {
    let budget = Budget::new(limits.memory);
    match decode(Buffer::new(limits.message, budget.charge())) {
        Ok(buffer) => Ok(buffer.into_parts().0),
        Err(refusal) => {
            let status = refusal.status();
            debug_assert_eq!(status.message, refusal.text());
            Err(status.message)
        }
    }
}
