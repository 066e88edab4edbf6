//! Hypervisors, as far as a launch measurement shows them.

/// Who starts the guest: it fills the processors' registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vmm {
    /// QEMU, which also puts the processor's CPUID signature there.
    Qemu {
        /// CPUID `Fn0000_0001_EAX` of the `-cpu` model; see [`crate::snp::signature`].
        signature: u32,
    },
    /// Amazon EC2.
    Ec2,
    /// Google Compute Engine. It leaves firmware's zeroed memory unmeasured.
    Gce,
}
