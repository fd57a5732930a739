//! A small writer of ISO 9660 volumes with Rock Ridge names, in memory: enough for a config drive.
//!
//! Sources: ECMA-119 and the Rock Ridge Interchange Protocol 1.12 (entries `SP` and `NM`; owner and
//! mode are left to the mount). Directories are limited to one sector and files to 4 GiB, which is
//! checked.

use std::collections::BTreeMap;

const SECTOR_BYTES: usize = 2048;
/// The first sector after the system area, the volume descriptors (two) and the path tables (two).
const FIRST_FREE: usize = 20;

/// Why a volume cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum VolumeError {
    #[error("the directory {0} has too many entries for a config drive")]
    Directory(String),
    #[error("the name {0} is too long for a config drive")]
    Name(String),
    #[error("the file {0} is too large for a config drive")]
    File(String),
}

struct Directory {
    /// Without slashes at its ends; the root's is empty.
    path: String,
    sector: usize,
    /// The index of its parent.
    parent: usize,
}

struct File<'a> {
    path: &'a str,
    sector: usize,
    bytes: &'a [u8],
}

/// Writes a volume with this label (at most 32 bytes) and these files by path, such as
/// `openstack/latest/user_data`. Equal input gives equal bytes, since there are no timestamps.
pub(super) fn write_volume(label: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, VolumeError> {
    let mut directories = vec![Directory { path: String::new(), sector: FIRST_FREE, parent: 0 }];
    for path in files.keys() {
        for (at, _) in path.match_indices('/') {
            let folder = &path[..at];
            if !directories.iter().any(|directory| directory.path == folder) {
                let parent = position(&directories, parent_of(folder));
                let sector = FIRST_FREE + directories.len();
                directories.push(Directory { path: folder.to_owned(), sector, parent });
            }
        }
    }
    let mut next = FIRST_FREE + directories.len();
    let mut placed = Vec::new();
    for (path, bytes) in files {
        u32::try_from(bytes.len()).map_err(|_| VolumeError::File(path.clone()))?;
        placed.push(File { path, sector: next, bytes });
        next += bytes.len().div_ceil(SECTOR_BYTES).max(1);
    }
    let mut image = vec![0; next * SECTOR_BYTES];
    let (little, big) = path_tables(&directories);
    if little.len() > SECTOR_BYTES {
        return Err(VolumeError::Directory("/".to_owned()));
    }
    copy_to_sector(&mut image, 16, &primary_descriptor(label, next, little.len()));
    copy_to_sector(&mut image, 17, b"\xffCD001\x01");
    copy_to_sector(&mut image, 18, &little);
    copy_to_sector(&mut image, 19, &big);
    for (index, directory) in directories.iter().enumerate() {
        copy_to_sector(&mut image, directory.sector, &directory_records(index, &directories, &placed)?);
    }
    for file in &placed {
        copy_to_sector(&mut image, file.sector, file.bytes);
    }
    Ok(image)
}

fn copy_to_sector(image: &mut [u8], sector: usize, bytes: &[u8]) {
    image[sector * SECTOR_BYTES..sector * SECTOR_BYTES + bytes.len()].copy_from_slice(bytes);
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn position(directories: &[Directory], path: &str) -> usize {
    directories.iter().position(|directory| directory.path == path).unwrap_or(0)
}

/// A number in both byte orders, as in most fields of ISO 9660.
#[allow(clippy::cast_possible_truncation, reason = "volumes are far below 2^32 sectors; file sizes are checked")]
fn both32(number: usize) -> [u8; 8] {
    let (little, big) = ((number as u32).to_le_bytes(), (number as u32).to_be_bytes());
    [little[0], little[1], little[2], little[3], big[0], big[1], big[2], big[3]]
}

fn both16(number: u16) -> [u8; 4] {
    let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
    [little[0], little[1], big[0], big[1]]
}

/// A unique name in upper case. Linux shows the Rock Ridge name instead.
fn iso_name(number: usize, is_directory: bool) -> Vec<u8> {
    if is_directory { format!("D{number:05}") } else { format!("F{number:05}.;1") }.into_bytes()
}

/// `system` is the Rock Ridge part.
fn directory_record(name: &[u8], sector: usize, length: usize, is_directory: bool, system: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0];
    record.extend(both32(sector));
    record.extend(both32(length));
    // 2000-01-01 00:00:00 UTC: years since 1900, month, day, hour, minute, second, offset.
    record.extend([100, 1, 1, 0, 0, 0, 0]);
    record.extend([if is_directory { 2 } else { 0 }, 0, 0]);
    record.extend(both16(1));
    #[allow(clippy::cast_possible_truncation, reason = "names are made here, or checked to be short")]
    record.push(name.len() as u8);
    record.extend(name);
    if record.len() % 2 == 1 {
        record.push(0);
    }
    record.extend(system);
    if record.len() % 2 == 1 {
        record.push(0);
    }
    #[allow(clippy::cast_possible_truncation, reason = "names are checked to be short")]
    let length = record.len() as u8;
    record[0] = length;
    record
}

fn directory_records(index: usize, directories: &[Directory], files: &[File<'_>]) -> Result<Vec<u8>, VolumeError> {
    let this = &directories[index];
    let parent = &directories[this.parent];
    // SP in the root's own record announces Rock Ridge.
    let sp: &[u8] = if index == 0 { b"SP\x07\x01\xbe\xef\x00" } else { b"" };
    let mut out = directory_record(b"\0", this.sector, SECTOR_BYTES, true, sp);
    out.extend(directory_record(b"\x01", parent.sector, SECTOR_BYTES, true, b""));
    for (number, directory) in directories.iter().enumerate().skip(1) {
        if directory.parent == index {
            let name = rock_ridge_name(name_of(&directory.path))?;
            out.extend(directory_record(&iso_name(number, true), directory.sector, SECTOR_BYTES, true, &name));
        }
    }
    for (number, file) in files.iter().enumerate() {
        if parent_of(file.path) == this.path {
            let name = rock_ridge_name(name_of(file.path))?;
            out.extend(directory_record(&iso_name(number, false), file.sector, file.bytes.len(), false, &name));
        }
    }
    if out.len() > SECTOR_BYTES {
        return Err(VolumeError::Directory(format!("/{}", this.path)));
    }
    Ok(out)
}

/// The `NM` entry, which has the real name.
fn rock_ridge_name(name: &str) -> Result<Vec<u8>, VolumeError> {
    match u8::try_from(name.len() + 5) {
        Ok(length) if length < 200 => {
            let mut entry = vec![b'N', b'M', length, 1, 0];
            entry.extend(name.bytes());
            Ok(entry)
        }
        _ => Err(VolumeError::Name(name.to_owned())),
    }
}

/// The table of directories, little-endian and big-endian.
#[allow(clippy::cast_possible_truncation, reason = "there are few sectors and directories")]
fn path_tables(directories: &[Directory]) -> (Vec<u8>, Vec<u8>) {
    let (mut little, mut big) = (Vec::new(), Vec::new());
    for (number, directory) in directories.iter().enumerate() {
        let name = if number == 0 { vec![0] } else { iso_name(number, true) };
        let (sector, parent) = (directory.sector as u32, directory.parent as u16 + 1);
        for (table, sector, parent) in [
            (&mut little, sector.to_le_bytes(), parent.to_le_bytes()),
            (&mut big, sector.to_be_bytes(), parent.to_be_bytes()),
        ] {
            table.extend([name.len() as u8, 0]);
            table.extend(sector);
            table.extend(parent);
            table.extend(&name);
            if name.len() % 2 == 1 {
                table.push(0);
            }
        }
    }
    (little, big)
}

#[allow(clippy::cast_possible_truncation, reason = "there are few sectors")]
fn primary_descriptor(label: &str, sectors: usize, path_table: usize) -> Vec<u8> {
    let padded = |text: &str, length: usize| {
        let mut field: Vec<u8> = text.bytes().take(length).collect();
        field.resize(length, b' ');
        field
    };
    let mut out = b"\x01CD001\x01\0".to_vec();
    out.extend(padded("LINUX", 32));
    out.extend(padded(label, 32));
    out.extend([0; 8]);
    out.extend(both32(sectors));
    out.extend([0; 32]);
    for number in [1, 1, SECTOR_BYTES as u16] {
        out.extend(both16(number));
    }
    out.extend(both32(path_table));
    out.extend(18_u32.to_le_bytes());
    out.extend([0; 4]);
    out.extend(19_u32.to_be_bytes());
    out.extend([0; 4]);
    out.extend(directory_record(b"\0", FIRST_FREE, SECTOR_BYTES, true, b""));
    // Volume set, publisher, preparer, application; copyright, abstract and bibliographic files.
    for length in [128, 128, 128, 128, 37, 37, 37] {
        out.extend(padded("", length));
    }
    // Creation, modification, expiration and effective times: not given.
    for _ in 0..4 {
        out.extend([b'0'; 16]);
        out.push(0);
    }
    out.extend([1, 0]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, usize)]) -> BTreeMap<String, Vec<u8>> {
        list.iter().map(|(path, length)| ((*path).to_owned(), vec![b'x'; *length])).collect()
    }

    #[test]
    fn the_layout_follows_the_standard() {
        let image = write_volume("config-2", &files(&[("openstack/latest/user_data", 3000), ("a", 0)])).unwrap();
        assert_eq!(&image[16 * SECTOR_BYTES..16 * SECTOR_BYTES + 7], b"\x01CD001\x01");
        assert_eq!(&image[16 * SECTOR_BYTES + 40..16 * SECTOR_BYTES + 48], b"config-2");
        assert_eq!(image.len() % SECTOR_BYTES, 0);
        // The root's record in the descriptor points at the root directory, whose first record is
        // itself.
        assert_eq!(image[16 * SECTOR_BYTES + 156 + 2], 20);
        assert_eq!(image[20 * SECTOR_BYTES + 2], 20);
        assert_eq!(image, write_volume("config-2", &files(&[("openstack/latest/user_data", 3000), ("a", 0)])).unwrap());
    }

    #[test]
    fn too_many_entries_and_long_names_are_refused() {
        let many: Vec<String> = (0..60).map(|number| format!("d/{number:040}")).collect();
        let many: Vec<(&str, usize)> = many.iter().map(|name| (name.as_str(), 1)).collect();
        assert_eq!(write_volume("x", &files(&many)), Err(VolumeError::Directory("/d".into())));
        let long = "n".repeat(250);
        assert_eq!(write_volume("x", &files(&[(&long, 1)])), Err(VolumeError::Name(long.clone())));
    }

    /// Reads it with another implementation, if one is installed.
    #[test]
    fn isoinfo_reads_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.iso");
        let mut given = files(&[("openstack/latest/user_data", 5000), ("openstack/2012-08-10/meta_data.json", 10)]);
        given.insert("openstack/latest/meta_data.json".into(), b"{\"uuid\": \"1\"}".to_vec());
        std::fs::write(&path, write_volume("config-2", &given).unwrap()).unwrap();
        let run = |arguments: &[&str]| {
            std::process::Command::new("isoinfo").args(["-R", "-i"]).arg(&path).args(arguments).output()
        };
        let Ok(listed) = run(&["-f"]) else {
            eprintln!("skipped: isoinfo is not installed");
            return;
        };
        let listed = String::from_utf8(listed.stdout).unwrap();
        for path in given.keys() {
            assert!(listed.lines().any(|line| line == format!("/{path}")), "{path} in {listed}");
        }
        let read = run(&["-x", "/openstack/latest/meta_data.json"]).unwrap().stdout;
        assert_eq!(String::from_utf8(read).unwrap(), "{\"uuid\": \"1\"}");
    }
}
