//! Arguments and results of kernel functions whose place depends on the kernel.

/// Argument `$index` of a function, or its result after the last one. The load is written out: the compiler would
/// merge the loads of several branches into one from a computed address, which the verifier refuses.
macro_rules! argument {
    ($ctx:expr, $index:literal) => {{
        let value: u64;
        let at: *mut aya_ebpf::cty::c_void = aya_ebpf::EbpfContext::as_ptr($ctx);
        // SAFETY: reads one word of the context, which the verifier checks against the function's arguments.
        unsafe {
            core::arch::asm!(
                concat!("{value} = *(u64 *)({at} + 8 * ", $index, ")"),
                at = in(reg) at,
                value = out(reg) value,
            );
        }
        value
    }};
}
