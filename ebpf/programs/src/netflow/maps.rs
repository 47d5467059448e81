//! Maps of the object, its read-only globals, and the counters.

use crate::http::{Early, Head, Peers, Stream};
use aya_ebpf::{
    Global,
    bindings::{
        BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP,
        bpf_map_type::BPF_MAP_TYPE_SK_STORAGE,
    },
    cty::c_void,
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use weir_ebpf_common::{
    http::{HttpKey, HttpTally},
    loss,
    netflow::{
        Facts, ListenKey, TcpRecord,
        udp::{UdpFlow, UdpKey, UdpLast, UdpRecord},
    },
    offsets::Offsets,
};

/// Filled in by the agent before the programs are loaded.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Global<Offsets> = Global::new(Offsets::ABSENT);

/// The agent is woken at once only when this many bytes wait; else it looks by itself, several times a second.
/// Filled in by the agent.
#[unsafe(no_mangle)]
pub(crate) static WAKE_AT: Global<u64> = Global::new(0);

/// How many arguments `inet_csk_accept` has, 0 if the agent does not know.
#[unsafe(no_mangle)]
pub(crate) static ACCEPT_ARGUMENTS: Global<u32> = Global::new(0);

/// How many arguments `udp_recvmsg` has, 0 if the agent does not know.
#[unsafe(no_mangle)]
pub(crate) static UDP_RECEIVE_ARGUMENTS: Global<u32> = Global::new(0);

/// 1 if facts are kept in the sockets, 0 if by address. Filled in by the agent.
#[unsafe(no_mangle)]
pub(crate) static FACTS_IN_SOCKETS: Global<u32> = Global::new(0);

/// As `WAKE_AT`, for pieces of HTTP.
#[unsafe(no_mangle)]
pub(crate) static HTTP_WAKE_AT: Global<u64> = Global::new(0);

/// Pieces of HTTP streams. The agent sets the real size.
#[map]
pub(crate) static HTTP_EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// What is known of HTTP streams, in their sockets.
#[btf_map]
pub(crate) static HTTP_SOCKETS: SocketStorage<Stream, { NOT_CLONED }> = SocketStorage::new();

/// The request that waits for an answer, in sockets that speak HTTP.
#[btf_map]
pub(crate) static HTTP_HEADS: SocketStorage<Head, { NOT_CLONED }> = SocketStorage::new();

/// Requests, counted. The agent sets the real size, reads it once a period and takes out what is idle.
#[map]
pub(crate) static HTTP_TABLE: HashMap<HttpKey, HttpTally> =
    HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);

/// The number of the period, set by the agent when one begins.
#[map]
pub(crate) static HTTP_PERIOD: Array<u16> = Array::with_max_entries(1, 0);

/// What an entry of it begins with: zeros.
#[map]
pub(crate) static HTTP_EMPTY: Array<HttpTally> = Array::with_max_entries(1, 0);

/// What came for connections that have no socket yet. They get one at once, so few wait here.
#[map]
pub(crate) static HTTP_EARLY: LruHashMap<Peers, Early> = LruHashMap::with_max_entries(512, 0);

/// What an entry of it begins with: zeros.
#[map]
pub(crate) static HTTP_NO_PIECE: Array<Early> = Array::with_max_entries(1, 0);

/// 1 if the kernel may count simple exchanges itself. Filled in by the agent.
#[unsafe(no_mangle)]
pub(crate) static HTTP_COUNTS: Global<u32> = Global::new(0);

/// Nanoseconds after which a client that closes without an answer has lost its patience. Filled in by the agent.
#[unsafe(no_mangle)]
pub(crate) static HTTP_PATIENCE: Global<u64> = Global::new(0);

/// Ends and failures of connections. The agent sets the real size.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Counters, one for each index in [`loss`].
#[map]
pub(crate) static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(loss::LEN, 0);

/// Where the passes build a record: it is too big for their stack.
#[map]
pub(crate) static SCRATCH: PerCpuArray<TcpRecord> = PerCpuArray::with_max_entries(1, 0);

/// Facts by socket address, where sockets cannot hold them. The agent sets the real size.
#[map]
pub(crate) static FACTS: LruHashMap<u64, Facts> = LruHashMap::with_max_entries(1, 0);

/// Facts of listeners, where an accepted socket cannot inherit them. The agent sets the real size.
#[map]
pub(crate) static LISTENERS: HashMap<ListenKey, Facts> = HashMap::with_max_entries(1, 0);

/// Facts in the socket itself; an accepted socket starts with a copy of its listener's.
#[btf_map]
pub(crate) static SOCKETS: SocketStorage<Facts, { CLONED }> = SocketStorage::new();

/// The first flow of each UDP socket and its owner, in the socket itself.
#[btf_map]
pub(crate) static UDP_SOCKETS: SocketStorage<UdpRecord, { NOT_CLONED }> = SocketStorage::new();

/// Which UDP sockets have a first flow: whoever adds the cookie decides which one it is.
#[map]
pub(crate) static UDP_CLAIMS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(16_384, 0);

/// UDP flows with further peers. The agent sets the real size, reads it once a period and takes out what is idle.
#[map]
pub(crate) static UDP_FLOWS: HashMap<UdpKey, UdpFlow> =
    HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);

/// What a flow begins with: zeros.
#[map]
pub(crate) static UDP_EMPTY: Array<UdpFlow> = Array::with_max_entries(1, 0);

/// The incoming packet that each CPU has counted last.
#[map]
pub(crate) static UDP_LAST: PerCpuArray<UdpLast> = PerCpuArray::with_max_entries(1, 0);

const NOT_CLONED: usize = BPF_F_NO_PREALLOC as usize;
const CLONED: usize = (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize;

/// A socket storage map, as BTF describes one. aya-ebpf's own type has no `BPF_F_CLONE`.
#[repr(C)]
pub(crate) struct SocketStorage<T, const FLAGS: usize> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the fields are types for the loader to read; nothing dereferences them.
unsafe impl<T, const FLAGS: usize> Sync for SocketStorage<T, FLAGS> {}

impl<T, const FLAGS: usize> SocketStorage<T, FLAGS> {
    const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    /// The map as helpers take it.
    pub(crate) const fn as_ptr(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub(crate) fn count(index: u32) {
    add(index, 1);
}

/// Adds to a counter of this CPU.
#[inline(always)]
pub(crate) fn add(index: u32, number: u64) {
    if let Some(value) = COUNTS.get_ptr_mut(index) {
        // SAFETY: the pointer is to this CPU's own slot.
        unsafe { *value += number }
    }
}

/// Writes a record that `fill` completes in place to the ring, or counts that it was full.
#[inline(always)]
pub(crate) fn emit<T: 'static>(fill: impl FnOnce(&mut T)) {
    let Some(mut slot) = EVENTS.reserve::<T>(0) else {
        return count(loss::RING_FULL);
    };
    // SAFETY: the slot is reserved for a record, `fill` writes every field, and any bytes are a valid record.
    fill(unsafe { &mut *slot.as_mut_ptr() });
    let wake = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) > WAKE_AT.load();
    slot.submit(u64::from(if wake {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    }));
    count(loss::EMITTED);
}
