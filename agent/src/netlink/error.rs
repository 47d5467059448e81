//! What can go wrong between the kernel and us.

use std::io;

/// What went wrong between the kernel and us.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("cannot open a netlink socket for {family}")]
    Open {
        /// Part of the kernel.
        family: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The kernel does not send us its messages.
    #[error(
        "the kernel does not let us receive the messages of {family} (CAP_NET_ADMIN is needed in the network namespace)"
    )]
    Subscribe {
        /// Part of the kernel.
        family: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A request did not get out.
    #[error("cannot send the request for {what}")]
    Send {
        /// What was asked for.
        what: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Nothing came, or too much.
    #[error("cannot receive {what}")]
    Receive {
        /// What was asked for.
        what: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The kernel said no.
    #[error("the kernel refused the request for {what}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The kernel cannot do it.
    #[error("this kernel does not offer {what} (is the module {module} there?)")]
    Absent {
        /// What was asked for.
        what: &'static str,
        /// Kernel module or modules.
        module: &'static str,
    },
    /// The answer makes no sense.
    #[error("the kernel's answer to the request for {what} is malformed")]
    Malformed {
        /// What was asked for.
        what: &'static str,
    },
}
