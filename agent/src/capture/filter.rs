//! The classic BPF program that chooses packets in the kernel: TCP and UDP of some ports, over IPv4 and IPv6.
//!
//! It sees packets from the IP header on (`SOCK_DGRAM`), so that neither VLAN tags nor link types matter. Classic BPF has
//! no loops; IPv6 extension headers are walked a bounded number of times.

use socket2::SockFilter;

/// IPv6 extension headers before the transport header that are walked. More are in no honest packet.
const MOST_EXTENSIONS: usize = 4;

/// `SKF_AD_OFF + SKF_AD_PKTTYPE` and `SKF_AD_OFF + SKF_AD_HATYPE` of `include/uapi/linux/filter.h`.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
const LINK_TYPE: u32 = 0xffff_f000 + 28;

const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE_AT: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
const LOAD_HALF_AT: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_KEPT: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_MEM;
const KEEP: u32 = libc::BPF_ST;
const SET_X: u32 = libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM;
const SET_X_TO_IPV4_HEADER: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const ADD: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K;
const ADD_X: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X;
const SHIFT_LEFT: u32 = libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K;
/// `BPF_MISC | BPF_TAX`.
const A_TO_X: u32 = libc::BPF_MISC;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

const TCP: u32 = 6;
const UDP: u32 = 17;

/// A place in the program to jump to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Next,
    Ip,
    Ipv6,
    Ports,
    Accept,
    Drop,
    /// The walk over an extension header: its kinds, and its end.
    Fragment(usize),
    Authentication(usize),
    Options(usize),
    Advance(usize),
}

enum Line {
    Plain(u32, u32),
    Jump(u32, u32, Label, Label),
    Mark(Label),
}

/// The program for packets from or to one of `ports`.
pub(crate) fn of_ports(ports: &[u16]) -> Vec<SockFilter> {
    let mut lines = Vec::new();
    not_seen_elsewhere(&mut lines);
    ipv4(&mut lines);
    ipv6(&mut lines);
    lines.push(Line::Mark(Label::Ports));
    for offset in [0, 2] {
        lines.push(Line::Plain(LOAD_HALF_AT, offset));
        for port in ports {
            lines.push(Line::Jump(
                IF_EQUAL,
                u32::from(*port),
                Label::Accept,
                Label::Next,
            ));
        }
    }
    lines.extend([
        Line::Mark(Label::Drop),
        Line::Plain(RETURN, 0),
        Line::Mark(Label::Accept),
        Line::Plain(RETURN, u32::MAX),
    ]);
    assemble(&lines)
}

/// Not what is for other hosts (a bridge's ports see it), and of loopback only one side: it shows each packet as it
/// goes and as it comes.
fn not_seen_elsewhere(lines: &mut Vec<Line>) {
    lines.extend([
        Line::Plain(LOAD_WORD, PACKET_TYPE),
        Line::Jump(
            IF_EQUAL,
            u32::from(libc::PACKET_OTHERHOST),
            Label::Drop,
            Label::Next,
        ),
        Line::Jump(
            IF_EQUAL,
            u32::from(libc::PACKET_OUTGOING),
            Label::Next,
            Label::Ip,
        ),
        Line::Plain(LOAD_WORD, LINK_TYPE),
        Line::Jump(
            IF_EQUAL,
            u32::from(libc::ARPHRD_LOOPBACK),
            Label::Drop,
            Label::Next,
        ),
        Line::Mark(Label::Ip),
    ]);
}

fn ipv4(lines: &mut Vec<Line>) {
    lines.extend([
        Line::Plain(LOAD_BYTE, 0),
        Line::Plain(AND, 0xf0),
        Line::Jump(IF_EQUAL, 0x40, Label::Next, Label::Ipv6),
        Line::Plain(LOAD_HALF, 6),
        // Only a first fragment has ports.
        Line::Jump(IF_ANY_BIT, 0x1fff, Label::Drop, Label::Next),
        Line::Plain(SET_X_TO_IPV4_HEADER, 0),
        Line::Plain(LOAD_BYTE, 9),
        Line::Jump(IF_EQUAL, UDP, Label::Ports, Label::Next),
        Line::Jump(IF_EQUAL, TCP, Label::Ports, Label::Drop),
    ]);
}

/// Goes from header to header, with the place of the one at hand in X and its kind in A.
fn ipv6(lines: &mut Vec<Line>) {
    lines.extend([
        Line::Mark(Label::Ipv6),
        Line::Jump(IF_EQUAL, 0x60, Label::Next, Label::Drop),
        Line::Plain(SET_X, 40),
        Line::Plain(LOAD_BYTE, 6),
    ]);
    for header in 0..MOST_EXTENSIONS {
        ipv6_extension(lines, header);
    }
    lines.extend([
        Line::Jump(IF_EQUAL, UDP, Label::Ports, Label::Next),
        Line::Jump(IF_EQUAL, TCP, Label::Ports, Label::Drop),
    ]);
}

fn ipv6_extension(lines: &mut Vec<Line>, at: usize) {
    let options = |kind| Line::Jump(IF_EQUAL, kind as u32, Label::Options(at), Label::Next);
    lines.extend([
        Line::Jump(IF_EQUAL, UDP, Label::Ports, Label::Next),
        Line::Jump(IF_EQUAL, TCP, Label::Ports, Label::Next),
        options(libc::IPPROTO_HOPOPTS),
        options(libc::IPPROTO_ROUTING),
        options(libc::IPPROTO_DSTOPTS),
        Line::Jump(
            IF_EQUAL,
            libc::IPPROTO_FRAGMENT as u32,
            Label::Fragment(at),
            Label::Next,
        ),
        Line::Jump(
            IF_EQUAL,
            libc::IPPROTO_AH as u32,
            Label::Authentication(at),
            Label::Drop,
        ),
        // A fragment header is 8 bytes long; only a first fragment has ports.
        Line::Mark(Label::Fragment(at)),
        Line::Plain(LOAD_HALF_AT, 2),
        Line::Jump(IF_ANY_BIT, 0xfff8, Label::Drop, Label::Next),
        Line::Plain(LOAD_BYTE_AT, 0),
        Line::Plain(KEEP, 0),
        Line::Plain(libc::BPF_LD | libc::BPF_IMM, 8),
        // Always taken: A is 8.
        Line::Jump(IF_EQUAL, 8, Label::Advance(at), Label::Drop),
        // Its length is in words of 4 bytes, less 2.
        Line::Mark(Label::Authentication(at)),
        Line::Plain(LOAD_BYTE_AT, 0),
        Line::Plain(KEEP, 0),
        Line::Plain(LOAD_BYTE_AT, 1),
        Line::Plain(ADD, 2),
        Line::Plain(SHIFT_LEFT, 2),
        // Always taken: A is not 0.
        Line::Jump(IF_EQUAL, 0, Label::Drop, Label::Advance(at)),
        // Their length is in words of 8 bytes, less 1.
        Line::Mark(Label::Options(at)),
        Line::Plain(LOAD_BYTE_AT, 0),
        Line::Plain(KEEP, 0),
        Line::Plain(LOAD_BYTE_AT, 1),
        Line::Plain(ADD, 1),
        Line::Plain(SHIFT_LEFT, 3),
        Line::Mark(Label::Advance(at)),
        Line::Plain(ADD_X, 0),
        Line::Plain(A_TO_X, 0),
        Line::Plain(LOAD_KEPT, 0),
    ]);
}

/// Jumps only go forward, and none further than a byte says: the longest program has fewer than 200 instructions.
fn assemble(lines: &[Line]) -> Vec<SockFilter> {
    let place = |label: Label| {
        let mut place = 0_usize;
        for line in lines {
            match line {
                Line::Mark(own) if *own == label => break,
                Line::Mark(_) => {}
                Line::Plain(..) | Line::Jump(..) => place += 1,
            }
        }
        place
    };
    let mut program = Vec::new();
    for line in lines {
        let after = program.len() + 1;
        let distance = |label| match label {
            Label::Next => 0,
            label => place(label).saturating_sub(after) as u8,
        };
        match *line {
            Line::Mark(_) => {}
            Line::Plain(code, k) => program.push(SockFilter::new(code as u16, 0, 0, k)),
            Line::Jump(code, k, yes, no) => {
                program.push(SockFilter::new(code as u16, distance(yes), distance(no), k))
            }
        }
    }
    program
}
