//! Images as files: given out, and taken in.

use std::time::Duration;

use axum::{
    Json,
    body::{Body, BodyDataStream},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, TryStreamExt as _};
use hangar_forge::ForgeError;
use hangar_image::{Adopted, BaseKind, ComingIn, ExchangeError, GivenOut, Image, ImageId, host, oci};
use hangar_protocol::{Refusal, RefusalCode, api::ImportedImage};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};

use super::{
    images::{image_info, must_be_there},
    repos::forge_path,
};
use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::{Asked, Named},
    gate::Asking,
};

/// The largest piece of a file that is read at once.
const PIECE_BYTES: usize = 256 * 1024;
/// How long whoever sends an image may send nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Of an image that is refused before it is read, so much is heard out, so that the refusal reaches whoever sends.
const HEARD_OUT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The same in time.
const HEARD_OUT_MAX: Duration = Duration::from_secs(20);
/// Says which image is in the file: another one than asked for where its layers had to be made one.
const IMAGE_HEADER: &str = "x-hangar-image";
/// Says the digest by which everybody calls the image in the file.
const DIGEST_HEADER: &str = "x-hangar-digest";

/// How layers are packed.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pack {
    /// Small and fast; docker before 23 does not read it.
    #[default]
    Zstd,
    /// Every program reads it.
    Gzip,
    /// Not at all.
    None,
}

/// How to pack it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Packed {
    /// `zstd`, `gzip` or `none`.
    #[serde(default)]
    #[param(inline)]
    pack: Pack,
}

/// An image as one file: a tar of an OCI layout that docker, podman and skopeo read and another hangar takes in. Answers when it is packed, which may
/// take minutes; `x-hangar-image` says which image it is, `x-hangar-digest` its digest.
#[utoipa::path(
    get, path = "/api/v1/images/{image}/export", tag = "images",
    params(("image" = String, Path, description = "The image's id."), Packed),
    responses((status = 200, description = "The file.", content_type = "application/x-tar", body = Vec<u8>))
)]
pub(crate) async fn export_image(
    State(app): State<App>,
    Named(image): Named<String>,
    Asked(Packed { pack }): Asked<Packed>,
) -> Answer<Response> {
    let no_image = || Refused::new(RefusalCode::NotFound, "There is no such image.", IMAGES_LISTED);
    let id: ImageId = image.parse().map_err(|_| no_image())?;
    let squeeze = match pack {
        Pack::Zstd => oci::Squeeze::Zstd,
        Pack::Gzip => oci::Squeeze::Gzip,
        Pack::None => oci::Squeeze::Not,
    };
    let given = app.images.export(&id, squeeze).await.map_err(|error| refusal(&error))?;
    Ok(answer(given))
}

fn answer(given: GivenOut) -> Response {
    let mut headers = HeaderMap::new();
    let name: String = given.image.target.repo.name().chars().filter(char::is_ascii_graphic).collect();
    let short: String = given.image.id.as_str().chars().take(10).collect();
    let words = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_LENGTH, given.exported.bytes.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}-{short}.tar\"", name.replace(['"', '\\'], "-")),
        ),
        (header::HeaderName::from_static(IMAGE_HEADER), given.image.id.to_string()),
        (header::HeaderName::from_static(DIGEST_HEADER), given.exported.digest.to_string()),
    ];
    for (name, value) in words {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    let GivenOut { file, .. } = &given;
    let Ok(file) = file.try_clone() else {
        return Refused::new(RefusalCode::Unavailable, "The file cannot be read.", "Try again.").into_response();
    };
    // The place among those on their way is given back when the last piece was read, or nobody reads any more.
    let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE_BYTES).inspect_ok(move |_| {
        let _ = &given;
    });
    (headers, Body::from_stream(pieces)).into_response()
}

/// Takes an image in that a hangar gave out: the body is the file. Owners only, because sessions of everybody start from it. Its repository must be here, with the image's
/// commit. It is the newest image of that repository unless a later one was built.
#[utoipa::path(
    post, path = "/api/v1/images", tag = "images",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file, a tar archive."),
    responses((status = 201, body = ImportedImage))
)]
pub(crate) async fn import_image(
    State(app): State<App>,
    asking: Asking,
    body: Body,
) -> Answer<(StatusCode, Json<ImportedImage>)> {
    let mut pieces = body.into_data_stream();
    let room = match asking.account.must_be_owner("bring images in") {
        Ok(()) => app.images.coming_in().map_err(|error| refusal(&error)),
        Err(refusal) => Err(refusal),
    };
    let coming = match room {
        Ok(coming) => coming,
        Err(refusal) => {
            hear_out(&mut pieces).await;
            return Err(refusal.into());
        }
    };
    if let Err(refusal) = keep(&mut pieces, &coming).await {
        hear_out(&mut pieces).await;
        return Err(refusal.into());
    }
    let came = coming.read().await.map_err(|error| refusal(&error))?;
    let image = came.image().clone();
    must_be_known(&app, &image).await?;
    let new = came.adopt().await.map_err(|error| refusal(&error))? == Adopted::New;
    tracing::info!(by = %asking.account.person.user, image = %image.id, target = %image.target, new, "an image was brought in");
    let info = ImportedImage { image: image_info(&app, &image), new, remarks: remarks(&app, &image) };
    Ok((StatusCode::CREATED, Json(info)))
}

/// Writes what comes to the file.
async fn keep(pieces: &mut BodyDataStream, coming: &ComingIn) -> Result<(), Refusal> {
    let path = coming.file();
    let failed = |error: std::io::Error| refusal(&ExchangeError::Disk { path: path.clone(), source: error });
    let mut file = tokio::fs::File::create(&path).await.map_err(failed)?;
    let mut bytes = 0_u64;
    loop {
        let piece = match tokio::time::timeout(SILENCE_MAX, pieces.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                return Err(Refusal::new(
                    RefusalCode::BadRequest,
                    format!("The image did not arrive whole: {error}."),
                    "Send it again.",
                ));
            }
            Err(_) => {
                return Err(Refusal::new(
                    RefusalCode::BadRequest,
                    format!("Nothing of the image arrived for {} s.", SILENCE_MAX.as_secs()),
                    "Send it again.",
                ));
            }
        };
        bytes = bytes.saturating_add(piece.len() as u64);
        if bytes > coming.bytes_max() {
            return Err(Refusal::new(
                RefusalCode::TooLarge,
                "The image is larger than the server takes.",
                "bases.image_gib in hangar.toml is the limit.",
            ));
        }
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)
}

/// Reads on for a while what is not wanted: a connection that is closed while somebody sends often loses the answer.
async fn hear_out(pieces: &mut BodyDataStream) {
    let rest = async {
        let mut bytes = 0;
        while let Some(Ok(piece)) = pieces.next().await {
            bytes += piece.len();
            if bytes > HEARD_OUT_BYTES_MAX {
                return;
            }
        }
    };
    // Whoever sends for longer finds the connection closed.
    let _ = tokio::time::timeout(HEARD_OUT_MAX, rest).await;
}

/// Sessions bring an image to their own commit by what changed since the image's: both must be known.
async fn must_be_known(app: &App, image: &Image) -> Answer<()> {
    let repos = std::iter::once((&image.target.repo, &image.commit))
        .chain(image.beside.iter().map(|beside| (&beside.repo, &beside.commit)));
    for (repo, commit) in repos {
        must_be_there(app, repo).await.map_err(|refused| match refused.0.code {
            RefusalCode::NotFound => Refused::new(
                RefusalCode::NotFound,
                format!("The image is of {repo}, and there is no such repository here."),
                format!("Bring it in first: hangar repo add URL --name {repo}"),
            ),
            _ => refused,
        })?;
        app.forge.resolve(&forge_path(repo)?, commit).await.map_err(|error| match error {
            ForgeError::NoCommit { .. } => Refused::new(
                RefusalCode::Conflict,
                format!("The image is of {repo} at {commit}, and the repository here does not have this commit."),
                "Push it here first, or build the image here: hangar image build",
            ),
            other => other.into(),
        })?;
    }
    Ok(())
}

fn remarks(app: &App, image: &Image) -> Vec<String> {
    let newest = app.images.newest(&image.target);
    let later = newest.is_some_and(|newest| newest.id != image.id);
    let elsewhere = image.base.kind == BaseKind::Host && image.base.digest != host(&app.toolchains).digest;
    let said = [
        (later, "A later image of this repository is in use; sessions go on starting from that one."),
        (
            elsewhere,
            "It was built over the programs of another machine (base `host`): what its set-up compiled may not run here. The next build begins afresh.",
        ),
    ];
    said.into_iter().filter(|(so, _)| *so).map(|(_, what)| what.to_owned()).collect()
}

const IMAGES_LISTED: &str = "`hangar image ls` lists the images.";

fn refusal(error: &ExchangeError) -> Refusal {
    let (code, hint) = match error {
        ExchangeError::NoImage(_) => (RefusalCode::NotFound, IMAGES_LISTED),
        ExchangeError::Busy => (RefusalCode::TooMany, "Try again when one of them is done."),
        ExchangeError::Unfit(_) => (RefusalCode::BadRequest, "Export it again, or build it here."),
        ExchangeError::Oci(error) => match error {
            oci::Error::NotAnImage { .. }
            | oci::Error::Refused { .. }
            | oci::Error::Digest { .. }
            | oci::Error::Unsupported { .. } => (RefusalCode::BadRequest, "Bring in what `hangar image export` wrote."),
            oci::Error::TooMuch { .. } => (RefusalCode::TooLarge, "bases.image_gib in hangar.toml is the limit."),
            oci::Error::NotExportable { .. } => (RefusalCode::Conflict, "Build the image afresh without it."),
            oci::Error::Host { .. }
            | oci::Error::Stream { .. }
            | oci::Error::Registry { .. }
            | oci::Error::Layers(_) => (RefusalCode::Unavailable, DISK),
        },
        ExchangeError::Disk { .. } | ExchangeError::Images(_) => (RefusalCode::Unavailable, DISK),
    };
    let text = error.to_string();
    let mut letters = text.trim_end_matches('.').chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    Refusal::new(code, format!("{first}{}.", letters.as_str()), hint)
}

const DISK: &str = "Look whether the disk is full or not writable; the server's log says more.";
