//! Maps of the object, its read-only globals, and the counters.

use core::arch::asm;

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use weir_ebpf_common::{offsets::Offsets, tls};

use crate::{
    call::{Call, Caller, Written},
    connection::{Connection, Key},
};

/// Filled in by the agent before the programs are loaded.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Global<Offsets> = Global::new(Offsets::ABSENT);

/// The agent is woken at once only when this many bytes wait; else it looks by itself. Filled in by the agent.
#[unsafe(no_mangle)]
pub(crate) static TLS_WAKE_AT: Global<u64> = Global::new(0);

/// Pieces of streams. The agent sets the real size.
#[map]
pub(crate) static TLS_PIECES: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Processes that begin to run another executable.
#[map]
pub(crate) static TLS_EXECS: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);

/// Counters, one for each index in [`tls::count`].
#[map]
pub(crate) static TLS_COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(tls::count::LEN, 0);

/// The chosen processes. The agent adds and removes; what they fork is added here.
#[map]
pub(crate) static TLS_PROCESSES: HashMap<u32, u32> = HashMap::with_max_entries(16_384, 0);

/// Executables of chosen processes: whoever runs one later is chosen at once.
#[map]
pub(crate) static TLS_EXECUTABLES: LruHashMap<tls::Executable, u32> =
    LruHashMap::with_max_entries(1024, 0);

/// Calls that are under way.
#[map]
pub(crate) static TLS_CALLS: LruHashMap<Caller, Call> = LruHashMap::with_max_entries(16_384, 0);

/// What threads have written to connections whose socket is not known, and have not sent yet.
#[map]
pub(crate) static TLS_WRITTEN: LruHashMap<u64, Written> = LruHashMap::with_max_entries(4096, 0);

/// What is known of connections. The agent sets the real size.
#[map]
pub(crate) static TLS_CONNECTIONS: LruHashMap<Key, Connection> = LruHashMap::with_max_entries(1, 0);

/// What a connection begins with: zeros.
#[map]
pub(crate) static TLS_EMPTY: Array<Connection> = Array::with_max_entries(1, 0);

/// Adds one to a counter of this CPU. Programs at uprobes can be interrupted by others: the addition is atomic.
#[inline(always)]
pub(crate) fn count(index: u32) {
    if let Some(value) = TLS_COUNTS.get_ptr_mut(index) {
        // SAFETY: map memory, aligned.
        unsafe {
            asm!("lock *(u64 *)({to} + 0) += {number}", to = in(reg) value, number = in(reg) 1u64);
        }
    }
}

/// Whether to wake the agent with what is being written to the ring of pieces.
#[inline(always)]
pub(crate) fn wake() -> u64 {
    let waiting = TLS_PIECES.query(u64::from(BPF_RB_AVAIL_DATA));
    u64::from(if waiting > TLS_WAKE_AT.load() {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    })
}
