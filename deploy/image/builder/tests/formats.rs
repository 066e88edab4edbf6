//! What the builder writes, read by other people's programs, and written twice.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use measurement::{PartitionTable, Uki};
use postern_image::cpio::Archive;
use postern_image::disk::{BYTES, Disk};
use postern_image::{formats, uki};

/// Stands for an image: its bytes tell where they are.
fn content() -> Vec<u8> {
    (0..1_000_001_u32).flat_map(u32::to_le_bytes).collect()
}

/// Runs a program of the system. In CI it has to be there.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let said = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok();
    if said.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{program} is needed");
        eprintln!("SKIPPED in part: {program} is not installed");
    }
    said
}

fn text(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// A part of a file; the files are as large as disks.
fn part(file: &str, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    std::os::unix::fs::FileExt::read_exact_at(&std::fs::File::open(file).unwrap(), &mut bytes, at).unwrap();
    bytes
}

#[test]
fn other_programs_find_the_partition_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, file) = (path(folder.path(), "disk.raw"), content());
    let disk = Disk::with(&file).unwrap();
    disk.write(Path::new(&raw)).unwrap();
    assert_eq!(std::fs::metadata(&raw).unwrap().len(), BYTES);
    PartitionTable::parse(&disk.table()).unwrap();
    if let Some(said) = run("sfdisk", &["--verify", &raw]) {
        assert!(text(&said).contains("No errors detected"), "{said:?}");
        let dump = text(&run("sfdisk", &["--dump", &raw]).unwrap());
        assert!(
            dump.contains("label: gpt") && dump.contains("start=        2048, size=      131072"),
            "{dump}"
        );
        assert!(dump.contains("C12A7328-F81F-11D2-BA4B-00A0C93EC93B"), "{dump}");
    }
    let partition = format!("{raw}@@1M");
    let copy = path(folder.path(), "copy.efi");
    if let Some(said) = run("mcopy", &["-n", "-i", &partition, "::/EFI/BOOT/BOOTX64.EFI", &copy]) {
        text(&said);
        assert!(std::fs::read(&copy).unwrap() == file, "the file comes out as it went in");
    }
    let alone = path(folder.path(), "partition");
    std::fs::write(&alone, part(&raw, 1 << 20, 64 << 20)).unwrap();
    if let Some(said) = run("fsck.vfat", &["-n", &alone]) {
        text(&said);
    }
}

#[test]
fn googles_archive_unpacks_to_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::with(&content()).unwrap();
    let (raw, archive) = (path(folder.path(), "raw"), path(folder.path(), "image.tar.gz"));
    disk.write(Path::new(&raw)).unwrap();
    formats::write_gcp(&disk, Path::new(&archive)).unwrap();
    let Some(listed) = run("tar", &["-tvzf", &archive]) else { return };
    let listed = text(&listed);
    assert!(listed.contains("1073741824") && listed.trim_end().ends_with("disk.raw"), "{listed}");
    text(&run("tar", &["-xzf", &archive, "-C", folder.path().to_str().unwrap()]).unwrap());
    let compared = run("cmp", &[&raw, &path(folder.path(), "disk.raw")]).unwrap();
    assert!(compared.status.success(), "{compared:?}");
    assert!(std::fs::metadata(&archive).unwrap().len() < 4 << 20, "holes are not stored");
}

#[test]
fn azures_disk_is_the_disk_and_a_footer() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::with(&content()).unwrap();
    let vhd = path(folder.path(), "image.vhd");
    formats::write_vhd(&disk, Path::new(&vhd)).unwrap();
    assert_eq!(std::fs::metadata(&vhd).unwrap().len(), BYTES + 512);
    let footer = part(&vhd, BYTES, 512);
    let sum: u32 = footer
        .iter()
        .enumerate()
        .filter(|(at, _)| !(64..68).contains(at))
        .map(|(_, byte)| u32::from(*byte))
        .sum();
    assert_eq!(u32::from_be_bytes(footer[64..68].try_into().unwrap()), !sum);
    assert_eq!(u64::from_be_bytes(footer[48..56].try_into().unwrap()) % (1 << 20), 0, "whole mebibytes");
    if let Some(said) = run("qemu-img", &["info", "-f", "vpc", &vhd]) {
        let said = text(&said);
        assert!(said.contains("(1073741824 bytes)"), "{said}");
    }
}

#[test]
fn everything_is_written_the_same_twice() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let disk = Disk::with(&content()).unwrap();
        let (google, azure) =
            (folder.path().join(format!("{name}.tgz")), folder.path().join(format!("{name}.vhd")));
        formats::write_gcp(&disk, &google).unwrap();
        formats::write_vhd(&disk, &azure).unwrap();
        let azure = azure.to_str().unwrap().to_owned();
        (std::fs::read(google).unwrap(), part(&azure, 0, 68 << 20), part(&azure, BYTES, 512))
    };
    assert!(write("a") == write("b"));
}

#[test]
fn a_disk_has_limits() {
    assert!(Disk::with(&vec![1; 70 << 20]).is_err());
    assert!(Disk::with(&vec![1; 60 << 20]).is_ok());
}

#[test]
fn the_archive_is_what_cpio_reads() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Archive::default();
    archive.folder("dev");
    archive.program("init", b"a program");
    archive.file("modules.txt", b"12345");
    let bytes = archive.finish();
    assert_eq!(bytes.len() % 512, 0);
    let file = path(folder.path(), "archive");
    std::fs::write(&file, &bytes).unwrap();
    let Some(listed) = run("cpio", &["-tv", "--quiet", "-F", &file]) else { return };
    let listed = text(&listed);
    assert!(listed.contains("-r-x------   1 root") && listed.contains("drwxr-xr-x   2 root"), "{listed}");
    assert!(listed.lines().count() == 3 && listed.contains(" 5 Jan  1  1970 modules.txt"), "{listed}");
}

#[test]
fn an_image_has_the_sections_that_are_measured() {
    // The smallest executables that there are: headers only.
    let stub = executable();
    let parts = uki::Parts { stub: &stub, kernel: &stub, initrd: b"initrd", command_line: "postern.x=1" };
    let image = uki::write(&parts).unwrap();
    let read = Uki::parse(&image).unwrap();
    assert_eq!((read.command_line(), read.initrd()), ("postern.x=1", b"initrd".as_slice()));
    assert_eq!(image, uki::write(&parts).unwrap());
    assert!(uki::write(&uki::Parts { stub: b"no executable", ..parts }).is_err());
    let mut full = stub.clone();
    full[0x98 + 240..0x98 + 280].fill(1);
    assert!(uki::write(&uki::Parts { stub: &full, ..parts }).is_err(), "no room for headers");
}

fn executable() -> Vec<u8> {
    let mut file = vec![0; 1024];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[0x80]);
    put(0x80, b"PE\0\0");
    put(0x94, &[240]);
    put(0x98, &0x20b_u16.to_le_bytes());
    put(0x98 + 32, &0x1000_u32.to_le_bytes());
    put(0x98 + 36, &0x200_u32.to_le_bytes());
    put(0x98 + 56, &0x1000_u32.to_le_bytes());
    put(0x98 + 60, &1024_u32.to_le_bytes());
    put(0x98 + 108, &16_u32.to_le_bytes());
    file
}
