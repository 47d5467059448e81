//! Finds struct members in the kernel's BTF.
//!
//! Format: the kernel's `Documentation/bpf/btf.rst`. Only what member offsets need is read: 5 MB are
//! walked once, in milliseconds, without building a tree.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
/// Anonymous structs nest a few levels; anything deeper is no BTF that a compiler wrote.
const MAX_DEPTH: u32 = 16;
/// Members looked at to find one. The largest struct of a kernel has a few hundred with all that is inside; types that
/// contain each other many times over would keep us for ever.
const MOST_LOOKED_AT: u32 = 1 << 16;
/// The longest name in bytes: no symbol of the kernel is longer.
const LONGEST_NAME: usize = 512;

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Why BTF cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF of this machine's byte order.
    #[error("not BTF: magic {0:#06x}")]
    Magic(u16),
    /// A length or an offset points outside.
    #[error("cut short at byte {0}")]
    Truncated(usize),
    /// A kind of type newer than this reader; its size is unknown.
    #[error("unknown kind {kind} of type {id}")]
    Kind {
        /// The kind.
        kind: u32,
        /// Number of the type.
        id: usize,
    },
}

/// The structs of a BTF blob, by name.
pub struct Members<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins; type 0 is void.
    starts: Vec<u32>,
    structs: HashMap<&'a [u8], u32>,
}

fn u32_at(data: &[u8], at: usize) -> Result<u32, BtfError> {
    data.get(at..)
        .and_then(|rest| rest.first_chunk())
        .map(|bytes| u32::from_ne_bytes(*bytes))
        .ok_or(BtfError::Truncated(at))
}

impl<'a> Members<'a> {
    /// Indexes the structs of `data`.
    ///
    /// # Errors
    /// If `data` is no BTF, is cut short, or has types newer than this reader.
    pub fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        let magic = data
            .first_chunk()
            .map_or(0, |bytes| u16::from_ne_bytes(*bytes));
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let header = u32_at(data, 4)? as usize;
        let part = |at: usize| -> Result<&'a [u8], BtfError> {
            let start = header.saturating_add(u32_at(data, at)? as usize);
            let end = start.saturating_add(u32_at(data, at + 4)? as usize);
            data.get(start..end).ok_or(BtfError::Truncated(start))
        };
        let (types, strings) = (part(8)?, part(HEADER_LEN - 8)?);
        let mut members = Self {
            types,
            strings,
            starts: vec![0],
            structs: HashMap::new(),
        };
        members.index()?;
        Ok(members)
    }

    fn index(&mut self) -> Result<(), BtfError> {
        let mut at = 0;
        while at < self.types.len() {
            let id = self.starts.len();
            let info = u32_at(self.types, at + 4)?;
            let (kind, count) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
            // A declaration without members would hide the definition.
            if matches!(kind, KIND_STRUCT | KIND_UNION) && count > 0 {
                let name = self.name(u32_at(self.types, at)?);
                if !name.is_empty() {
                    self.structs.entry(name).or_insert(id as u32);
                }
            }
            self.starts.push(at as u32);
            at += 12
                + match kind {
                    KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
                    KIND_ARRAY => 12,
                    KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * count,
                    KIND_ENUM | KIND_FUNC_PROTO => 8 * count,
                    2 | 7..=12 | 16 | KIND_TYPE_TAG => 0,
                    _ => return Err(BtfError::Kind { kind, id }),
                };
        }
        Ok(())
    }

    fn name(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        let rest = &rest[..rest.len().min(LONGEST_NAME)];
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Byte offset of a member, given as a path like `ns.inum`; members of anonymous structs are found
    /// as if they were the outer struct's. `None` if there is no such member or it is a bit field.
    #[must_use]
    pub fn offset(&self, of: &str, path: &str) -> Option<u32> {
        let mut id = *self.structs.get(of.as_bytes())?;
        let mut total = 0_u32;
        for name in path.split('.') {
            let (bits, inner, is_bit_field) = self.member(id, name.as_bytes())?;
            if is_bit_field || bits % 8 != 0 {
                return None;
            }
            total = total.checked_add(bits / 8)?;
            id = inner;
        }
        Some(total)
    }

    /// Place of a member in bits, a bit field too.
    #[must_use]
    pub fn bit_offset(&self, of: &str, member: &str) -> Option<u32> {
        let id = *self.structs.get(of.as_bytes())?;
        let (bits, _, _) = self.member(id, member.as_bytes())?;
        Some(bits)
    }

    /// How many arguments a function has.
    #[must_use]
    pub fn arguments(&self, function: &str) -> Option<u32> {
        let is_it = |start: usize| -> Option<u32> {
            let info = u32_at(self.types, start + 4).ok()?;
            let is_function = (info >> 24) & 0x1f == KIND_FUNC;
            let name = self.name(u32_at(self.types, start).ok()?);
            (is_function && name == function.as_bytes())
                .then(|| u32_at(self.types, start + 8).ok())?
        };
        let prototype = self
            .starts
            .iter()
            .skip(1)
            .find_map(|start| is_it(*start as usize))?;
        let at = *self.starts.get(prototype as usize)? as usize;
        let info = u32_at(self.types, at + 4).ok()?;
        ((info >> 24) & 0x1f == KIND_FUNC_PROTO).then_some(info & 0xffff)
    }

    fn start(&self, mut id: u32) -> Option<usize> {
        for _ in 0..MAX_DEPTH {
            let at = *self.starts.get(id as usize)? as usize;
            let kind = (u32_at(self.types, at + 4).ok()? >> 24) & 0x1f;
            if !matches!(
                kind,
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG
            ) {
                return Some(at);
            }
            id = u32_at(self.types, at + 8).ok()?;
        }
        None
    }

    /// Offset in bits and type of a member, and whether it is a bit field.
    fn member(&self, id: u32, name: &[u8]) -> Option<(u32, u32, bool)> {
        let mut left = MOST_LOOKED_AT;
        self.find(id, name, MAX_DEPTH, &mut left)
    }

    /// The same, while there is something left of how much may be looked at.
    fn find(&self, id: u32, name: &[u8], depth: u32, left: &mut u32) -> Option<(u32, u32, bool)> {
        let start = self.start(id)?;
        let info = u32_at(self.types, start + 4).ok()?;
        if depth == 0 || !matches!((info >> 24) & 0x1f, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        // With the flag, the upper byte of an offset is the width of a bit field.
        let has_widths = info >> 31 == 1;
        for member in 0..(info & 0xffff) as usize {
            *left = left.checked_sub(1)?;
            let at = start + 12 + 12 * member;
            let (named, of) = (
                u32_at(self.types, at).ok()?,
                u32_at(self.types, at + 4).ok()?,
            );
            let raw = u32_at(self.types, at + 8).ok()?;
            let bits = if has_widths { raw & 0x00ff_ffff } else { raw };
            if named == 0 {
                if let Some((inner, found, is_bit_field)) = self.find(of, name, depth - 1, left) {
                    return Some((bits.checked_add(inner)?, found, is_bit_field));
                }
            } else if self.name(named) == name {
                return Some((bits, of, has_widths && raw >> 24 != 0));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arbitrary_bytes_are_refused_or_read_without_a_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        let kernel = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
        for round in 0..300 {
            let mut bytes: Vec<u8> = if round % 2 == 0 && !kernel.is_empty() {
                kernel[..random.usize(..20_000).min(kernel.len())].to_vec()
            } else {
                let length = random.usize(..600);
                std::iter::repeat_with(|| random.u8(..))
                    .take(length)
                    .collect()
            };
            if bytes.len() >= HEADER_LEN {
                bytes[..2].copy_from_slice(&MAGIC.to_ne_bytes());
                bytes[4..8].copy_from_slice(&(HEADER_LEN as u32).to_ne_bytes());
                let body = (bytes.len() - HEADER_LEN) as u32;
                for (at, value) in [(8, 0), (12, body / 2), (16, body / 2), (20, body / 2)] {
                    bytes[at..at + 4].copy_from_slice(&u32::to_ne_bytes(value));
                }
            }
            if let Ok(members) = Members::parse(&bytes) {
                for name in members.structs.keys() {
                    let name = String::from_utf8_lossy(name).into_owned();
                    let _found = members.offset(&name, "a.b");
                }
            }
        }
    }

    fn file(words: &[u32], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut data = Vec::new();
        data.extend(MAGIC.to_ne_bytes());
        data.extend([1, 0]);
        for word in [
            24,
            0,
            types.len() as u32,
            types.len() as u32,
            strings.len() as u32,
        ] {
            data.extend(word.to_ne_bytes());
        }
        data.extend(&types);
        data.extend(strings);
        data
    }

    #[test]
    fn types_that_contain_each_other_many_times_over_are_given_up() {
        // struct outer { struct outer; struct outer; … }
        let many = 1000;
        let mut words = vec![1, (KIND_STRUCT << 24) | many, 8];
        words.extend((0..many).flat_map(|_| [0, 1, 0]));
        let data = file(&words, b"\0outer\0");
        let members = Members::parse(&data).unwrap();
        assert_eq!(members.offset("outer", "a"), None);
        assert_eq!(members.bit_offset("outer", "a"), None);
    }

    #[test]
    fn members_of_anonymous_structs_are_found_as_the_compiler_places_them() {
        // struct outer { int a; union { int b; struct { int c; int d; }; }; } written by hand.
        let strings = b"\0outer\0a\0b\0c\0d\0int\0";
        let at = |name: &str| {
            let needle = format!("\0{name}\0");
            (strings
                .windows(needle.len())
                .position(|w| w == needle.as_bytes())
                .unwrap()
                + 1) as u32
        };
        let composite = |kind: u32, count: u32| (kind << 24) | count;
        let words: Vec<u32> = [
            vec![at("int"), KIND_INT << 24, 4, 32],
            vec![
                0,
                composite(KIND_STRUCT, 2),
                8,
                at("c"),
                1,
                0,
                at("d"),
                1,
                32,
            ],
            vec![0, composite(KIND_UNION, 2), 8, at("b"), 1, 0, 0, 2, 0],
            vec![
                at("outer"),
                composite(KIND_STRUCT, 2),
                12,
                at("a"),
                1,
                0,
                0,
                3,
                32,
            ],
        ]
        .concat();
        let data = file(&words, strings);
        let members = Members::parse(&data).unwrap();

        assert_eq!(members.offset("outer", "a"), Some(0));
        assert_eq!(members.offset("outer", "b"), Some(4));
        assert_eq!(members.offset("outer", "d"), Some(8));
        assert_eq!(members.offset("outer", "e"), None);
        assert_eq!(members.offset("absent", "a"), None);
    }
}
