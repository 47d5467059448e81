//! The table of functions that every Go program carries, also without symbols.
//!
//! Format: Go's `src/runtime/symtab.go` and `src/debug/gosym/pclntab.go`. Its versions are told apart by their first
//! word. Every number in it may be wrong: the file is somebody else's.

use object::{Object as _, ObjectSection as _, ReadRef};

/// Where functions have their arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convention {
    /// On the stack: Go 1.16 and before.
    Stack,
    /// In registers.
    Registers,
}

/// First words of the table.
const GO_1_16: u32 = 0xffff_fffa;
const GO_1_18: u32 = 0xffff_fff0;
const GO_1_20: u32 = 0xffff_fff1;
/// Functions of a program that are looked at.
const MOST_FUNCTIONS: usize = 4 << 20;
/// Names of the sections that it is in.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// Where versions before 1.18 say which they are, and how that begins.
const BUILD_INFO: &str = ".go.buildinfo";
const BUILD_INFO_MAGIC: &[u8] = b"\xff Go buildinf:";

/// The table, and what is needed to read it.
pub(super) struct Pclntab<'a> {
    data: &'a [u8],
    /// From which addresses of functions count.
    text: u64,
    functions: usize,
    names: usize,
    /// Where the list of functions is, and the functions themselves count from.
    list: usize,
    is_relative: bool,
    convention: Convention,
}

impl<'a> Pclntab<'a> {
    /// Finds it in a file. `None` if there is none that can be read.
    pub(super) fn of(file: &object::File<'a, impl ReadRef<'a>>) -> Option<Self> {
        let section = SECTIONS
            .iter()
            .find_map(|name| file.section_by_name(name))?;
        let text = file
            .section_by_name(".text")
            .map_or(0, |text| text.address());
        let mut table = Self::parse(section.data().ok()?, text)?;
        if !table.is_relative && says_go_1_17(file) && cfg!(target_arch = "x86_64") {
            table.convention = Convention::Registers;
        }
        Some(table)
    }

    /// Reads the head of a table. `text` is where the code begins, for versions of the table that do not say it.
    pub(super) fn parse(data: &'a [u8], text: u64) -> Option<Self> {
        let magic = u32::from_le_bytes(*data.first_chunk()?);
        let is_relative = match magic {
            GO_1_16 => false,
            GO_1_18 | GO_1_20 => true,
            _ => return None,
        };
        // Zeros, the least length of an instruction, the size of a pointer.
        if data.get(4..6)? != [0, 0] || *data.get(7)? != 8 {
            return None;
        }
        let word = |index: usize| word(data, 8 + 8 * index);
        // Functions, files, (address of the code,) then offsets: names, units, file names, tables, functions.
        let first = if is_relative { 3 } else { 2 };
        let said = if is_relative { word(2)? } else { 0 };
        Some(Self {
            data,
            text: if said == 0 && is_relative { text } else { said },
            functions: usize::try_from(word(0)?).ok()?.min(MOST_FUNCTIONS),
            names: usize::try_from(word(first)?).ok()?,
            list: usize::try_from(word(first + 4)?).ok()?,
            is_relative,
            convention: if is_relative {
                Convention::Registers
            } else {
                Convention::Stack
            },
        })
    }

    pub(super) fn convention(&self) -> Convention {
        self.convention
    }

    /// Where the functions of these names begin, and how long they are.
    pub(super) fn find<const N: usize>(&self, names: [&str; N]) -> [Option<(u64, u64)>; N] {
        let mut found = [None; N];
        for index in 0..self.functions {
            let Some((start, end, name)) = self.function(index) else {
                break;
            };
            let is_it = |wanted: &str| {
                let length = wanted.len();
                name.get(..length) == Some(wanted.as_bytes()) && name.get(length) == Some(&0)
            };
            if let Some(at) = names.iter().position(|wanted| is_it(wanted))
                && let Some(function) = found.get_mut(at)
            {
                *function = end.checked_sub(start).map(|length| (start, length));
            }
        }
        found
    }

    /// Beginning and end of a function, and its name with what follows.
    fn function(&self, index: usize) -> Option<(u64, u64, &'a [u8])> {
        let (start, end, at) = if self.is_relative {
            let entry = self.list.checked_add(index.checked_mul(8)?)?;
            let half = |at: usize| half(self.data, entry.checked_add(at)?);
            let address = |at| self.text.checked_add(u64::from(half(at)?));
            (address(0)?, address(8)?, half(4)? as usize)
        } else {
            let entry = self.list.checked_add(index.checked_mul(16)?)?;
            let word = |at: usize| word(self.data, entry.checked_add(at)?);
            (word(0)?, word(16)?, usize::try_from(word(8)?).ok()?)
        };
        // The function's own description: its address, then where its name is.
        let address_size = if self.is_relative { 4 } else { 8 };
        let about = self.list.checked_add(at)?.checked_add(address_size)?;
        let name = self.names.checked_add(half(self.data, about)? as usize)?;
        Some((start, end, self.data.get(name..)?))
    }
}

fn word(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

fn half(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

/// Go 1.17 has the table of 1.16 but passes arguments in registers on x86-64. It keeps a pointer to a string with its
/// version (Go's `src/debug/buildinfo/buildinfo.go`).
fn says_go_1_17<'a>(file: &object::File<'a, impl ReadRef<'a>>) -> bool {
    let at_address = |address: u64, length: u64| {
        file.sections()
            .find_map(|section| section.data_range(address, length).ok()?)
    };
    let version = || -> Option<&[u8]> {
        let data = file.section_by_name(BUILD_INFO)?.data().ok()?;
        if !data.starts_with(BUILD_INFO_MAGIC) {
            return None;
        }
        let string = at_address(word(data, 16)?, 16)?;
        let length = word(string, 8)?.min(64);
        at_address(word(string, 0)?, length)
    };
    version().is_some_and(|version| version.starts_with(b"go1.17"))
}

#[cfg(test)]
mod tests;
