//! Where the facts of a socket are kept.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_SK_STORAGE_GET_F_CREATE},
    cty::c_void,
    helpers::generated::bpf_sk_storage_get,
};
use weir_ebpf_common::netflow::{Facts, ListenKey, NAME_LEN};

use crate::{
    maps::{FACTS, LISTENERS, SOCKETS},
    read::{Probe, local_port, namespace},
};

/// Facts by socket.
pub(crate) trait Store {
    /// The facts of a socket, if it has any.
    fn get<'a>(sock: *mut c_void) -> Option<&'a mut Facts>;
    /// The facts of a socket, empty ones if it has none yet. `None` if the kernel has no room.
    fn get_or_create<'a>(sock: *mut c_void) -> Option<&'a mut Facts>;
    /// Called for a socket that starts to listen, when its facts are complete.
    fn publish_listener(sock: *mut c_void, facts: &Facts);
    /// Called for a socket that stops listening.
    fn withdraw_listener(sock: *mut c_void);
    /// Gives an accepted socket the facts of its listener.
    fn inherit(sock: *mut c_void);
    /// Called when a socket is closed for good.
    fn forget(sock: *mut c_void);
}

/// In the socket: no map to size, freed with the socket, inherited by accepted ones.
pub(crate) struct InSocket;

impl InSocket {
    #[inline(always)]
    fn lookup<'a>(sock: *mut c_void, flags: u64) -> Option<&'a mut Facts> {
        // SAFETY: the helper checks the socket; what it returns lives as long as the socket, longer than this run.
        unsafe {
            bpf_sk_storage_get(SOCKETS.as_ptr(), sock, core::ptr::null_mut(), flags)
                .cast::<Facts>()
                .as_mut()
        }
    }
}

impl Store for InSocket {
    #[inline(always)]
    fn get<'a>(sock: *mut c_void) -> Option<&'a mut Facts> {
        Self::lookup(sock, 0)
    }

    #[inline(always)]
    fn get_or_create<'a>(sock: *mut c_void) -> Option<&'a mut Facts> {
        Self::lookup(sock, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
    }

    #[inline(always)]
    fn publish_listener(_: *mut c_void, _: &Facts) {}

    #[inline(always)]
    fn withdraw_listener(_: *mut c_void) {}

    /// The kernel has copied them when it made the socket.
    #[inline(always)]
    fn inherit(_: *mut c_void) {}

    #[inline(always)]
    fn forget(_: *mut c_void) {}
}

/// In a map, keyed by the socket's address. The address is reused at once, so entries go when the socket closes.
pub(crate) struct ByAddress;

impl ByAddress {
    #[inline(always)]
    fn insert<'a>(sock: *mut c_void, facts: &Facts) -> Option<&'a mut Facts> {
        let key = sock as u64;
        FACTS.insert(key, facts, u64::from(BPF_ANY)).ok()?;
        Self::get(sock)
    }

    #[inline(always)]
    fn listen_key(sock: *mut c_void) -> ListenKey {
        let tcp = sock.cast_const().cast();
        ListenKey {
            netns: namespace::<Probe>(tcp),
            port: u32::from(local_port::<Probe>(tcp)),
        }
    }
}

impl Store for ByAddress {
    #[inline(always)]
    fn get<'a>(sock: *mut c_void) -> Option<&'a mut Facts> {
        let key = sock as u64;
        // SAFETY: map memory; an entry that is evicted meanwhile stays readable for this run.
        FACTS
            .get_ptr_mut(key)
            .and_then(|facts| unsafe { facts.as_mut() })
    }

    #[inline(always)]
    fn get_or_create<'a>(sock: *mut c_void) -> Option<&'a mut Facts> {
        if let Some(facts) = Self::get(sock) {
            return Some(facts);
        }
        let empty = Facts {
            connect_ns: 0,
            established_ns: 0,
            name: [0; NAME_LEN / 8],
            cgroup: 0,
            pid: 0,
            direction: 0,
            owner: 0,
            adopted: 0,
            closed: 0,
        };
        Self::insert(sock, &empty)
    }

    #[inline(always)]
    fn publish_listener(sock: *mut c_void, facts: &Facts) {
        // A full map means that accepted sockets start without an owner; the pass over open files finds it.
        let _full = LISTENERS.insert(Self::listen_key(sock), facts, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn withdraw_listener(sock: *mut c_void) {
        let _absent = LISTENERS.remove(Self::listen_key(sock));
    }

    #[inline(always)]
    fn inherit(sock: *mut c_void) {
        // SAFETY: map memory, read only.
        match unsafe { LISTENERS.get(Self::listen_key(sock)) } {
            Some(facts) => drop(Self::insert(sock, facts)),
            None => Self::forget(sock),
        }
    }

    #[inline(always)]
    fn forget(sock: *mut c_void) {
        let _absent = FACTS.remove(sock as u64);
    }
}
