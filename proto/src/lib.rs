//! Wire contracts: agent to gateway (`flow`) and gateway to its users (`observe`).
//!
//! The messages are documented in the `.proto` files beside this crate.

mod latency;

pub use latency::LATENCY_BOUNDS_NS;

/// Agent to gateway: numbered batches of flow events and their acknowledgements.
pub mod flow {
    /// Version 1 of the contract.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes_without_reason,
        clippy::allow_attributes,
        clippy::clone_on_ref_ptr,
        reason = "generated; the .proto file has the documentation"
    )]
    pub mod v1 {
        tonic::include_proto!("weir.flow.v1");
    }
}

/// Gateway to its users: the live stream of Points, and the scripts that edit them.
pub mod observe {
    /// Version 1 of the contract.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes_without_reason,
        clippy::allow_attributes,
        clippy::clone_on_ref_ptr,
        clippy::too_many_lines,
        reason = "generated; the .proto file has the documentation"
    )]
    pub mod v1 {
        tonic::include_proto!("weir.observe.v1");
    }
}
