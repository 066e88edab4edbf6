//! The register page with which each virtual processor starts, as hypervisors fill it and SEV-SNP measures it.
//!
//! Offsets: AMD64 Architecture Programmer's Manual, volume 2, table B-4. Values: what QEMU, EC2 and GCE put there, read
//! from the open tool `sev-snp-measure` (IBM) and checked against it.

use crate::bytes::put;
use crate::firmware::PAGE;
use crate::vmm::Vmm;

/// Where the first processor begins.
pub(crate) const RESET_VECTOR: u32 = 0xffff_fff0;

/// What differs between hypervisors.
struct Differences {
    code: u16,
    stack: u16,
    task: u16,
    page_attributes: u64,
    rdx: u64,
    mxcsr: u32,
    x87_control: u16,
}

const fn differences(vmm: Vmm, at: u32) -> Differences {
    match vmm {
        Vmm::Qemu { signature } => Differences {
            code: 0x9b,
            stack: 0x93,
            task: 0x8b,
            page_attributes: 0x0007_0406_0007_0406,
            #[expect(clippy::as_conversions, reason = "widening, and no From in constants")]
            rdx: signature as u64,
            mxcsr: 0x1f80,
            x87_control: 0x37f,
        },
        Vmm::Ec2 => Differences {
            code: if at == RESET_VECTOR { 0x9a } else { 0x9b },
            stack: 0x92,
            task: 0x83,
            page_attributes: 0x0007_0406_0007_0406,
            // 0 until 2026; the published measurements of running instances need this.
            rdx: 0x600,
            mxcsr: 0,
            x87_control: 0,
        },
        Vmm::Gce => Differences {
            code: 0x9b,
            stack: 0x93,
            task: 0x8b,
            page_attributes: 0x0007_0106,
            rdx: 0x600,
            mxcsr: 0,
            x87_control: 0,
        },
    }
}

/// The page of a processor that begins at `at`.
pub(crate) fn page(vmm: Vmm, at: u32, features: u64) -> Vec<u8> {
    let own = differences(vmm, at);
    let mut page = vec![0; PAGE];
    let base = u64::from(at & 0xffff_0000);
    let segments: [(usize, u16, u16, u64); 10] = [
        (0x00, 0, 0x93, 0),
        (0x10, 0xf000, own.code, base),
        (0x20, 0, own.stack, 0),
        (0x30, 0, 0x93, 0),
        (0x40, 0, 0x93, 0),
        (0x50, 0, 0x93, 0),
        (0x60, 0, 0, 0),
        (0x70, 0, 0x82, 0),
        (0x80, 0, 0, 0),
        (0x90, 0, own.task, 0),
    ];
    for (offset, selector, attributes, base) in segments {
        let limit = 0xffff_u32.to_le_bytes();
        let bytes =
            [&selector.to_le_bytes()[..], &attributes.to_le_bytes(), &limit, &base.to_le_bytes()].concat();
        put(&mut page, offset, &bytes);
    }
    let registers: [(usize, u64); 11] = [
        (0x0d0, 0x1000),                 // EFER: KVM sets SVME
        (0x148, 0x40),                   // CR4: KVM sets MCE
        (0x158, 0x10),                   // CR0
        (0x160, 0x400),                  // DR7
        (0x168, 0xffff_0ff0),            // DR6
        (0x170, 0x2),                    // RFLAGS
        (0x178, u64::from(at & 0xffff)), // RIP
        (0x268, own.page_attributes),    // PAT
        (0x310, own.rdx),                // RDX
        (0x3b0, features),               // SEV_FEATURES
        (0x3e8, 0x1),                    // XCR0
    ];
    for (offset, value) in registers {
        put(&mut page, offset, &value.to_le_bytes());
    }
    put(&mut page, 0x408, &own.mxcsr.to_le_bytes());
    put(&mut page, 0x410, &own.x87_control.to_le_bytes());
    page
}
