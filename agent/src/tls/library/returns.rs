//! The instructions with which a function returns.

use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic};
use object::Architecture;

/// More are in no function that is of interest; each costs a probe.
const MOST: usize = 64;
/// `ret` of aarch64 (Arm ARM, C6.2: RET X30).
const RET: u32 = 0xd65f_03c0;

/// Where they are, in bytes from the beginning of the function. `None` if the code cannot be read, or has none.
pub(super) fn returns(architecture: Architecture, code: &[u8]) -> Option<Vec<u64>> {
    let found = match architecture {
        Architecture::X86_64 => x86_64(code)?,
        Architecture::Aarch64 => aarch64(code),
        _ => return None,
    };
    (!found.is_empty() && found.len() <= MOST).then_some(found)
}

fn x86_64(code: &[u8]) -> Option<Vec<u64>> {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut found = Vec::new();
    while decoder.can_decode() {
        let at = decoder.position() as u64;
        let instruction = decoder.decode();
        // A probe that is not at the beginning of an instruction would break the program.
        if instruction.code() == Code::INVALID {
            return None;
        }
        if instruction.mnemonic() == Mnemonic::Ret {
            found.push(at);
        }
    }
    Some(found)
}

fn aarch64(code: &[u8]) -> Vec<u64> {
    let (words, _) = code.as_chunks();
    let is_ret = |word: &[u8; 4]| u32::from_le_bytes(*word) == RET;
    words
        .iter()
        .enumerate()
        .filter(|(_, word)| is_ret(word))
        .map(|(index, _)| 4 * index as u64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_found_and_bytes_that_only_look_like_them_are_not() {
        // mov eax, 0xc3c3c3c3; ret; nop; ret 8
        let code = [0xb8, 0xc3, 0xc3, 0xc3, 0xc3, 0xc3, 0x90, 0xc2, 8, 0];
        assert_eq!(returns(Architecture::X86_64, &code), Some(vec![5, 7]));
        // The last instruction is cut off.
        assert_eq!(returns(Architecture::X86_64, &code[..8]), None);
        assert_eq!(returns(Architecture::X86_64, &[0x90]), None);
        let words = [0xaa00_03e0_u32, RET, 0xd503_201f, RET];
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(returns(Architecture::Aarch64, &code), Some(vec![4, 12]));
    }
}
