//! `hangar image export` and `hangar image import`: images as files.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use hangar_client::{Client, Download, Pack};
use hangar_protocol::{
    Refusal, RefusalCode,
    api::{ImageInfo, ImportedImage},
};
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio_util::io::ReaderStream;

use super::{
    bad_request, connect,
    ended::{Ended, Failure, Outcome},
    image::short,
    progress::{Progress, Sent},
    terminal::{Look, Terminal},
    words,
};

/// The file that stands for standard output.
const STANDARD: &str = "-";
/// Read from a file at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Between two looks how much was sent.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Write an image to a file that another hangar, docker, podman and skopeo read
///
/// The file is a tar of an OCI layout. An image over the base `host` is written without the machine's programs: another hangar can use it, other
/// programs cannot run it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar image export acme/website website.tar          the newest image of the repository
  hangar image export 4f2a91 old.tar                    the image whose id begins so
  hangar image export acme/website - | docker load")]
pub(super) struct Export {
    /// An image's id or its beginning, or a repository for its newest image.
    #[arg(value_name = "IMAGE|REPO")]
    image: String,

    /// The file to write, which must not exist; `-` for standard output.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How its layers are packed: docker before 23 does not read zstd.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Packing::Zstd)]
    pack: Packing,
}

/// How layers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Packing {
    Zstd,
    Gzip,
    None,
}

/// Bring in an image that a hangar exported (owners)
///
/// Its repository must be here, with the commit that the image was built from. New sessions start from it unless a later image was built here.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar image import website.tar")]
pub(super) struct Import {
    /// The file that `hangar image export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What `export --json` prints.
#[derive(Serialize)]
struct Exported {
    image: String,
    digest: String,
    bytes: u64,
    file: PathBuf,
}

impl Export {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let to_standard = self.file.as_os_str() == STANDARD;
        if to_standard && terminal.is_json() {
            return Err(bad_request("Standard output cannot hold both the image and --json.", "Name a file."));
        }
        if !to_standard && self.file.symlink_metadata().is_ok() {
            return Err(bad_request(
                format!("{} exists already.", self.file.display()),
                "Name another file, or remove it first.",
            ));
        }
        let client = connect()?;
        let images = client.images().await?;
        let image = which_image(&images, &self.image)?;
        let pack = match self.pack {
            Packing::Zstd => Pack::Zstd,
            Packing::Gzip => Pack::Gzip,
            Packing::None => Pack::None,
        };
        let mut progress = Progress::new(terminal);
        let what = format!("{} at {}", image.repo, short(&image.commit));
        progress.step(terminal, &format!("The server packs {what} ({})", words::bytes(image.bytes)));
        let mut download = client.export_image(&image.id, pack).await?;
        let written = match to_standard {
            true => to_output(&mut download, &mut progress, terminal).await,
            false => to_file(&mut download, &self.file, &mut progress, terminal).await,
        };
        progress.end();
        written?;
        let Download { image: id, digest, bytes, .. } = download;
        let exported = Exported { image: id, digest, bytes, file: self.file };
        if terminal.is_json() {
            terminal.json(&exported)?;
        } else {
            tell(&exported, image, terminal);
        }
        Ok(Ended::Well)
    }
}

fn tell(exported: &Exported, asked: &ImageInfo, terminal: &mut Terminal) {
    let Exported { image, bytes, file, .. } = exported;
    let place = if file.as_os_str() == STANDARD { "standard output".to_owned() } else { file.display().to_string() };
    let text = format!("{}: image {} is in {place} ({}).", asked.repo, short(image), words::bytes(*bytes));
    terminal.remark(Look::Good, &text);
    if *image != asked.id {
        terminal.remark(
            Look::Faint,
            "Its layers were made one, which gives it another id: not all of them can be said in such a file.",
        );
    }
    if asked.base == "host" {
        terminal.remark(
            Look::Faint,
            "The machine's own programs (base `host`) are not in it: only another hangar can use it.",
        );
    }
}

/// Written beside its place and moved there when whole.
async fn to_file(
    download: &mut Download,
    file: &Path,
    progress: &mut Progress,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = |error: std::io::Error| {
        Failure::from(Refusal::new(
            RefusalCode::Unavailable,
            format!("{} cannot be written: {error}.", file.display()),
            "Look whether the directory exists and its disk has room.",
        ))
    };
    let mut part = NamedTempFile::with_prefix_in(".hangar-export-", folder).map_err(cannot)?;
    copy(download, part.as_file_mut(), progress, terminal).await?.map_err(cannot)?;
    part.as_file().sync_all().map_err(cannot)?;
    part.persist_noclobber(file).map_err(|error| cannot(error.error))?;
    Ok(())
}

async fn to_output(download: &mut Download, progress: &mut Progress, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    copy(download, &mut out, progress, terminal).await??;
    Ok(out.flush()?)
}

/// The outer error is the connection's, the inner one of the place it is written to.
async fn copy(
    download: &mut Download,
    to: &mut impl std::io::Write,
    progress: &mut Progress,
    terminal: &mut Terminal,
) -> Result<std::io::Result<()>, Failure> {
    let (mut done, all) = (0, download.bytes);
    while let Some(piece) = download.next().await? {
        if let Err(error) = to.write_all(&piece) {
            return Ok(Err(error));
        }
        done += piece.len() as u64;
        progress.bytes(terminal, "Fetching the file", done, all);
    }
    Ok(Ok(()))
}

/// The image of this id or beginning of one, or the newest one of this repository.
fn which_image<'a>(images: &'a [ImageInfo], named: &str) -> Result<&'a ImageInfo, Refusal> {
    let of_repo = |image: &&ImageInfo| image.newest && (image.repo.to_string() == named || image.repo.name() == named);
    let by_id = |image: &&ImageInfo| !named.is_empty() && image.id.starts_with(named);
    let mut fitting = images.iter().filter(|image| of_repo(image) || by_id(image));
    let exact = images.iter().find(|image| image.newest && image.repo.to_string() == named);
    match (exact, fitting.next(), fitting.next()) {
        (Some(exact), _, _) => Ok(exact),
        (None, Some(only), None) => Ok(only),
        (None, Some(_), Some(_)) => Err(Refusal::new(
            RefusalCode::BadRequest,
            format!("More than one image fits {named:?}."),
            "Write more of its id, or owner/name.",
        )),
        (None, None, _) => Err(Refusal::new(
            RefusalCode::NotFound,
            format!("There is no image {named:?}, and no repository of this name has one."),
            match images.is_empty() {
                true => "There is none yet: hangar image build OWNER/NAME",
                false => "`hangar image ls` lists them.",
            },
        )),
    }
}

impl Import {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let cannot = |error: std::io::Error| {
            bad_request(
                format!("{} cannot be read: {error}.", self.file.display()),
                "Name a file that `hangar image export` wrote.",
            )
        };
        let file = tokio::fs::File::open(&self.file).await.map_err(cannot)?;
        let meta = file.metadata().await.map_err(cannot)?;
        if !meta.is_file() {
            return Err(bad_request(
                format!("{} is no file.", self.file.display()),
                "Name a file that `hangar image export` wrote.",
            ));
        }
        let client = connect()?;
        let imported = send(&client, file, meta.len(), terminal).await?;
        if terminal.is_json() {
            terminal.json(&imported)?;
            return Ok(Ended::Well);
        }
        let ImportedImage { image, new, remarks } = &imported;
        let how = match (*new, image.newest) {
            (false, _) => "was here already.",
            (true, true) => "is here. New sessions start from it.",
            (true, false) => "is here.",
        };
        terminal.remark(
            Look::Good,
            &format!("{}: image {} at {} {how}", image.repo, short(&image.id), short(&image.commit)),
        );
        for remark in remarks {
            terminal.remark(Look::Notice, &words::harmless(remark));
        }
        Ok(Ended::Well)
    }
}

async fn send(
    client: &Client,
    file: tokio::fs::File,
    bytes: u64,
    terminal: &mut Terminal,
) -> Result<ImportedImage, Failure> {
    let mut progress = Progress::new(terminal);
    let sent = Sent::default();
    let counted = sent.clone();
    let pieces = ReaderStream::with_capacity(file, PIECE_BYTES).map(move |piece| {
        piece.map(|piece| {
            counted.add(piece.len());
            piece.to_vec()
        })
    });
    progress.step(terminal, &format!("Sending {}", words::bytes(bytes)));
    let importing = client.import_image(pieces, bytes);
    tokio::pin!(importing);
    let mut unpacking = false;
    let answer = loop {
        tokio::select! {
            answer = &mut importing => break answer,
            () = tokio::time::sleep(LOOK_AGAIN) => {
                let done = sent.bytes();
                if done < bytes {
                    progress.bytes(terminal, "Sending", done, bytes);
                } else if !unpacking {
                    unpacking = true;
                    progress.step(terminal, "The server unpacks and checks it");
                }
            }
        }
    };
    progress.end();
    Ok(answer?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, repo: &str, newest: bool) -> ImageInfo {
        ImageInfo {
            id: id.to_owned(),
            repo: repo.parse().unwrap(),
            commit: "c".repeat(40),
            base: "host".to_owned(),
            recipe: "detected".to_owned(),
            built_ms: 1,
            duration_ms: 1,
            bytes: 1,
            layers: 1,
            newest,
            notes: vec![],
        }
    }

    #[test]
    fn an_image_is_meant_by_its_id_or_its_repository() {
        let images = [
            image("aa11", "acme/web", true),
            image("ab22", "acme/web", false),
            image("cc33", "other/web", true),
            image("dd44", "acme/api", true),
        ];
        let found =
            |named: &str| which_image(&images, named).map(|image| image.id.clone()).map_err(|refusal| refusal.code);
        assert_eq!(found("aa"), Ok("aa11".to_owned()));
        assert_eq!(found("ab22"), Ok("ab22".to_owned()), "one that was replaced");
        assert_eq!(found("acme/web"), Ok("aa11".to_owned()), "the newest one");
        assert_eq!(found("api"), Ok("dd44".to_owned()));
        assert_eq!(found("web"), Err(RefusalCode::BadRequest), "two repositories are called so");
        assert_eq!(found("a"), Err(RefusalCode::BadRequest), "two ids begin so");
        assert_eq!(found("zz"), Err(RefusalCode::NotFound));
        assert_eq!(found(""), Err(RefusalCode::NotFound));
    }
}
