"""Makes the fixtures and the expected values of the measurement tests with other people's programs, and with a second
writing of the formats where there is none.

    pip install -r requirements.txt
    cargo install nitro-tpm-pcr-compute
    python crosscheck.py            # compares with vectors.json
    python crosscheck.py --write    # writes firmware.bin, image.efi and vectors.json
"""

import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import uuid

from sevsnpmeasure import guest, vcpu_types
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vmm_types import VMMType

HERE = pathlib.Path(__file__).parent
SIZE = 16384


def firmware() -> bytes:
    """An image with OVMF's tables and nothing else in it."""
    data = bytearray(hashlib.shake_256(b"postern test firmware").digest(SIZE))
    sev = [(0x800000, 0x3000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3), (0x80F000, 0x1000, 4), (0x810000, 0x1000, 0x10)]
    sev_at = 0x100
    data[sev_at:sev_at + 16] = struct.pack("<4sIII", b"ASEV", 16 + 12 * len(sev), 1, len(sev))
    for index, section in enumerate(sev):
        struct.pack_into("<III", data, sev_at + 16 + 12 * index, *section)
    tdx_at = 0x400
    tdx = [
        (0x2000, 0x2000, 0xFFFFE000, 0x2000, 0, 1),
        (0, 0, 0x810000, 0x10000, 3, 0),
        (0, 0, 0x809000, 0x2000, 2, 0),
        (0, 0, 0x0, 0x800000, 4, 2),
    ]
    data[tdx_at:tdx_at + 16] = struct.pack("<4sIII", b"TDVF", 16 + 32 * len(tdx), 1, len(tdx))
    for index, section in enumerate(tdx):
        struct.pack_into("<IIQQII", data, tdx_at + 16 + 32 * index, *section)
    entries = b""
    for guid, content in [
        ("dc886566-984a-4798-a75e-5585a7bf67cc", struct.pack("<I", SIZE - sev_at)),
        ("e47a6535-984a-4798-865e-4685a7bf8ec2", struct.pack("<I", SIZE - tdx_at)),
        ("7255371f-3a3b-4b04-927b-1da6efa8d454", struct.pack("<II", 0x810C00, 0x400)),
        ("00f771de-1a7e-4fcb-890e-68c77e2fb44e", struct.pack("<I", 0x80B004)),
    ]:
        entries += content + struct.pack("<H", len(content) + 18) + uuid.UUID(guid).bytes_le
    table = entries + struct.pack("<H", len(entries) + 18) + uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
    data[SIZE - 32 - len(table):SIZE - 32] = table
    return bytes(data)


def executable(sections, trailer=b"") -> bytes:
    """A PE32+ file with these sections."""
    headers = 0x400
    out = bytearray(headers)
    out[0:2] = b"MZ"
    struct.pack_into("<I", out, 0x3C, 0x80)
    out[0x80:0x84] = b"PE\0\0"
    struct.pack_into("<HHIIIHH", out, 0x84, 0x8664, len(sections), 0, 0, 0, 240, 0x2022)
    optional = 0x98
    struct.pack_into("<H", out, optional, 0x20B)
    struct.pack_into("<II", out, optional + 32, 0x1000, 0x200)
    struct.pack_into("<III", out, optional + 56, 0x10000, headers, 0xAABBCCDD)
    struct.pack_into("<H", out, optional + 68, 10)
    struct.pack_into("<I", out, optional + 108, 16)
    address = 0x1000
    for index, (name, content) in enumerate(sections):
        raw = len(content) + (-len(content)) % 0x200
        struct.pack_into("<8sIIIIIIHHI", out, optional + 240 + 40 * index, name.encode(), len(content), address, raw, len(out), 0, 0, 0, 0, 0x40000040)
        out += content.ljust(raw, b"\0")
        address += raw + (-raw) % 0x1000
    return bytes(out) + trailer


COMMAND_LINE = "console=null postern.commitment=launch"
INITRD = hashlib.shake_256(b"postern test initrd").digest(700)


def image():
    text = hashlib.shake_256(b"postern test kernel").digest(3000)
    kernel = executable([(".text", text)], trailer=b"after the sections".ljust(64, b"\0"))
    magic = b"#### LoaderInfo: systemd-stub 257.13-1~deb13u1 ####"
    stub = [(".text", b"stub code"), (".sbat", b"sbat,1,x\n"), (".sdmagic", magic)]
    return executable(stub + [(".cmdline", COMMAND_LINE.encode()), (".linux", kernel), (".initrd", INITRD)]), kernel


def authenticode(file: bytes, algorithm: str) -> bytes:
    """All of these fixtures' bytes but the checksum and the directory entry of signatures."""
    optional = 0x98
    kept = file[:optional + 64] + file[optional + 68:optional + 144] + file[optional + 152:]
    return hashlib.new(algorithm, kept).digest()


def register(algorithm: str, events) -> str:
    value = bytes(hashlib.new(algorithm).digest_size)
    for event in events:
        value = hashlib.new(algorithm, value + event).digest()
    return value.hex()


def mrtd(data: bytes, two_passes: bool) -> str:
    running = hashlib.sha384()
    for raw_at, raw, address, memory, _, attributes in struct.iter_unpack("<IIQQII", data[0x410:0x410 + 4 * 32]):
        if attributes & 2:
            continue

        def add(page):
            running.update(b"MEM.PAGE.ADD".ljust(16, b"\0") + struct.pack("<Q", address + page).ljust(112, b"\0"))

        def extend(page):
            for chunk in range(page, page + 4096, 256) if attributes & 1 else []:
                running.update(b"MR.EXTEND".ljust(16, b"\0") + struct.pack("<Q", address + chunk).ljust(112, b"\0"))
                running.update(data[raw_at + chunk:raw_at + chunk + 256])

        pages = range(0, memory, 4096)
        if two_passes:
            [add(page) for page in pages]
            [extend(page) for page in pages]
        else:
            [(add(page), extend(page)) for page in pages]
    return running.hexdigest()


def events(uki: bytes, kernel: bytes, algorithm: str):
    digest = lambda data: hashlib.new(algorithm, data).digest()
    start = [digest(b"Calling EFI Application from Boot Option"), digest(bytes(4))]
    own, inner = authenticode(uki, algorithm), authenticode(kernel, algorithm)
    exits = [digest(b"Exit Boot Services Invocation"), digest(b"Exit Boot Services Returned with Success")]
    sections = []
    for name, content in [(".linux", kernel), (".cmdline", COMMAND_LINE.encode()), (".initrd", INITRD), (".sbat", b"sbat,1,x\n")]:
        sections += [digest(name.encode() + b"\0"), digest(content)]
    late = [digest(COMMAND_LINE.encode("utf-16-le") + b"\0\0"), digest(INITRD)]
    return start, own, inner, exits, sections, late


def vectors():
    fw, (uki, kernel) = firmware(), image()
    paths = {"fw": HERE / "firmware.bin", "uki": HERE / "image.efi"}
    snp = []
    for vmm, kind in [("qemu", VMMType.QEMU), ("ec2", VMMType.ec2), ("gce", VMMType.gce)]:
        for model in ["EPYC-v4", "EPYC-Genoa", "EPYC-Turin"] if vmm == "qemu" else [""]:
            for vcpus in [1, 2, 4]:
                for booted in [True, False]:
                    if booted and vmm != "qemu":
                        continue
                    signature = vcpu_types.CPU_SIGS.get(model, 0)
                    value = guest.calc_launch_digest(
                        SevMode.SEV_SNP, vcpus, signature, str(paths["fw"]), str(paths["uki"]) if booted else "", "", "", 1, vmm_type=kind)
                    snp.append({"vmm": vmm, "model": model, "processors": vcpus, "kernel": booted, "measurement": value.hex()})
    registers = []
    for algorithm in ["sha256", "sha384"]:
        start, own, inner, exits, sections, late = events(uki, kernel, algorithm)
        registers.append({
            "bank": algorithm,
            "pcr4_disk": register(algorithm, start + [own, inner]),
            "pcr4_direct": register(algorithm, [own] + start + [inner]),
            "pcr9": register(algorithm, late),
            "pcr11": register(algorithm, sections),
        })
    start, own, inner, exits, sections, late = events(uki, kernel, "sha384")
    tool = json.loads(subprocess.run(["nitro-tpm-pcr-compute", "--image", paths["uki"]], check=True, capture_output=True).stdout)
    return {
        "sources": "SNP: sev-snp-measure 0.0.13; nitro: nitro-tpm-pcr-compute 1.1.2; the rest: crosscheck.py",
        "snp": snp,
        "registers": registers,
        "nitro_pcr4_sha384": tool["Measurements"]["PCR4"],
        "mrtd": {"single_pass": mrtd(fw, False), "two_passes": mrtd(fw, True)},
        "rtmr1_direct": register("sha384", [own] + start + [inner] + exits),
        "rtmr2": register("sha384", sections + late),
    }


if "--write" in sys.argv:
    (HERE / "firmware.bin").write_bytes(firmware())
    (HERE / "image.efi").write_bytes(image()[0])
    (HERE / "vectors.json").write_text(json.dumps(vectors(), indent=1) + "\n")
assert (HERE / "firmware.bin").read_bytes() == firmware() and (HERE / "image.efi").read_bytes() == image()[0]
assert json.loads((HERE / "vectors.json").read_text()) == vectors(), "vectors.json differs"
print("equal")
