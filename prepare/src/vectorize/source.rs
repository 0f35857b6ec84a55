//! The input files: one pass for hashes and the places of the rows, then rows read where they lie.

use super::error::Error;
use super::progress::{Phase, Progress};
use evenkeel_shared::dataset::Source;
use evenkeel_shared::fsio::{PathError, WithPath};
use evenkeel_shared::ids::RowId;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Longest row that is read, in bytes.
pub(super) const ROW_LIMIT: u64 = 64 << 20;
const BUFFER_BYTES: usize = 1 << 20;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Where a line is: 16 bytes for each row of the input are all that is kept of it.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    /// Bytes without the line end; 0 for a blank line. Saturates: such a row is refused before it is read.
    bytes: u32,
    file: u32,
}

/// The input files with the places of their rows.
#[derive(Debug)]
pub(super) struct Sources {
    files: Vec<SourceFile>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct SourceFile {
    path: PathBuf,
    file: File,
    first_row: u64,
    metadata: Metadata,
    source: Source,
}

impl Sources {
    /// Reads all files once.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn scan(paths: &[PathBuf], progress: &dyn Progress) -> Result<Self, Error> {
        let mut opened = Vec::with_capacity(paths.len());
        for path in paths {
            let file = File::open(path).with_path("open", path)?;
            let metadata = file.metadata().with_path("read the size of", path)?;
            opened.push((path, file, metadata));
        }
        progress.begin(Phase::Reading, opened.iter().map(|(_, _, metadata)| metadata.len()).sum());
        let mut sources = Self { files: Vec::new(), places: Vec::new() };
        for (path, file, metadata) in opened {
            let first_row = sources.places.len() as u64;
            let index = sources.files.len() as u32;
            let blake3 = scan_file(path, &file, index, &mut sources.places, progress)?;
            let source = Source { path: path.to_string_lossy().into_owned(), bytes: metadata.len(), blake3 };
            sources.files.push(SourceFile { path: path.clone(), file, first_row, metadata, source });
        }
        progress.end();
        Ok(sources)
    }

    /// For the fingerprint.
    pub(super) fn sources(&self) -> Vec<Source> {
        self.files.iter().map(|file| file.source.clone()).collect()
    }

    /// The rows that are not blank, in input order, with their sizes in bytes.
    pub(super) fn rows(&self) -> impl Iterator<Item = (RowId, u64)> + '_ {
        let numbered = self.places.iter().enumerate().filter(|(_, place)| place.bytes > 0);
        numbered.map(|(row, place)| (RowId(row as u64), u64::from(place.bytes)))
    }

    /// Size of a row in bytes, without its line end.
    pub(super) fn row_bytes(&self, row: RowId) -> u64 {
        self.places.get(row.0 as usize).map_or(0, |place| place.bytes.into())
    }

    /// The file of a row and the line in it, from 1.
    pub(super) fn line(&self, row: RowId) -> (&str, u64) {
        let place = self.places.get(row.0 as usize);
        match place.and_then(|place| self.files.get(place.file as usize)) {
            Some(file) => (file.source.path.as_str(), row.0 - file.first_row + 1),
            None => ("", 0),
        }
    }

    /// Reads a row into `line`.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub(super) fn read(&self, row: RowId, line: &mut Vec<u8>) -> Result<(), PathError> {
        line.clear();
        let Some(place) = self.places.get(row.0 as usize) else { return Ok(()) };
        let Some(file) = self.files.get(place.file as usize) else { return Ok(()) };
        line.resize(place.bytes as usize, 0);
        file.file.read_exact_at(line, place.offset).with_path("read", &file.path)?;
        if row.0 == file.first_row && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        Ok(())
    }

    /// Refuses files that were written to since the scan: their rows would not be what was hashed.
    ///
    /// # Errors
    /// [`Error::SourceChanged`] with the path.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        for file in &self.files {
            let now = file.file.metadata().with_path("read the size of", &file.path)?;
            let stamp = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
            if stamp(&now) != stamp(&file.metadata) {
                return Err(Error::SourceChanged(file.path.clone()));
            }
        }
        Ok(())
    }
}

fn scan_file(
    path: &Path,
    mut file: &File,
    index: u32,
    places: &mut Vec<Place>,
    progress: &dyn Progress,
) -> Result<String, PathError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut position, mut start) = (0, 0);
    let mut blank = true;
    loop {
        let count = file.read(&mut buffer).with_path("read", path)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        let mut rest = read;
        while let Some(length) = rest.iter().position(|&byte| byte == b'\n') {
            blank &= rest[..length].iter().all(u8::is_ascii_whitespace);
            position += length as u64;
            places.push(place(index, start, position, blank));
            position += 1;
            (start, blank) = (position, true);
            rest = &rest[length + 1..];
        }
        blank &= rest.iter().all(u8::is_ascii_whitespace);
        position += rest.len() as u64;
        progress.advance(read.len() as u64);
    }
    if position > start {
        places.push(place(index, start, position, blank));
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn place(file: u32, start: u64, end: u64, blank: bool) -> Place {
    let bytes = if blank { 0 } else { u32::try_from(end - start).unwrap_or(u32::MAX) };
    Place { offset: start, bytes, file }
}

#[cfg(test)]
mod tests {
    use super::super::progress::Silent;
    use super::*;
    use std::fs;

    #[test]
    fn rows_are_numbered_through_all_files_blank_lines_included() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a"), folder.path().join("b"), folder.path().join("c")];
        fs::write(&paths[0], "\u{feff}one\r\n\n  \t\ntwo").unwrap();
        fs::write(&paths[1], "").unwrap();
        fs::write(&paths[2], "drei\n").unwrap();
        let sources = Sources::scan(&paths, &Silent).unwrap();
        let mut line = Vec::new();
        let rows: Vec<(u64, String, u64, bool)> = sources
            .rows()
            .map(|(row, _)| {
                sources.read(row, &mut line).unwrap();
                let (file, number) = sources.line(row);
                (row.0, String::from_utf8(line.clone()).unwrap(), number, file == paths[2].to_str().unwrap())
            })
            .collect();
        let expected = [(0, "one\r", 1, false), (3, "two", 4, false), (4, "drei", 1, true)]
            .map(|(a, b, c, d)| (a, b.to_owned(), c, d));
        assert_eq!(rows, expected);
        assert_eq!(sources.sources()[2].blake3, blake3::hash(b"drei\n").to_hex().to_string());
    }

    #[test]
    fn lines_longer_than_the_buffer_are_one_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let long = "x".repeat(3 * BUFFER_BYTES + 5);
        fs::write(&path, format!("{long}\nshort\n")).unwrap();
        let sources = Sources::scan(&[path], &Silent).unwrap();
        let sizes: Vec<u64> = sources.rows().map(|(_, bytes)| bytes).collect();
        assert_eq!(sizes, [long.len() as u64, 5]);
    }

    #[test]
    fn a_file_that_changes_in_between_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one\n").unwrap();
        let sources = Sources::scan(std::slice::from_ref(&path), &Silent).unwrap();
        sources.check_unchanged().unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .map(|mut f| std::io::Write::write_all(&mut f, b"x"))
            .unwrap()
            .unwrap();
        assert!(matches!(sources.check_unchanged(), Err(Error::SourceChanged(_))));
    }
}
