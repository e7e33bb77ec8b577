//! Mail as files. A file appears whole under its final name or not at all, and an older one is never overwritten.

use std::io;
use std::path::Path;

use tokio::fs;
use tokio::io::AsyncWriteExt;

/// Creates the directory and says which number comes next there.
pub(super) async fn prepare(directory: &Path) -> io::Result<u32> {
    fs::create_dir_all(directory).await?;
    let mut last = 0;
    let mut entries = fs::read_dir(directory).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        let number = Path::new(&name)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse().ok());
        last = last.max(number.unwrap_or(0));
    }
    Ok(last + 1)
}

/// Writes `<number>.eml`; on the disk, not only in its cache, since the sender is told that the mail is safe.
pub(super) async fn write(directory: &Path, number: u32, raw: &[u8]) -> io::Result<()> {
    let part = directory.join(format!("{number:06}.part"));
    let mut file = fs::File::create(&part).await?;
    file.write_all(raw).await?;
    file.sync_data().await?;
    fs::rename(&part, directory.join(format!("{number:06}.eml"))).await
}
