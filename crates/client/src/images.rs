//! Images, their builds, and the sandboxes that are kept ready.

use futures::TryStream;
use hangar_protocol::{
    RepoPath,
    api::{BuildInfo, BuildLog, ImageInfo, ImportedImage, NewBuild, PoolInfo, Warm, Warming},
};
use reqwest::{Body, Method, Response, header};

use crate::{
    client::{Client, Pace},
    error::Error,
};

/// How the layers of an exported image are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pack {
    /// Small and fast; docker before 23 does not read it.
    Zstd,
    /// Every program reads it.
    Gzip,
    /// Not at all.
    None,
}

/// A file that is on its way here.
#[derive(Debug)]
pub struct Download {
    /// The image in it: another one than asked for where its layers had to be made one.
    pub image: String,
    /// The digest by which other programs call it.
    pub digest: String,
    /// How many bytes come.
    pub bytes: u64,
    response: Response,
    client: Client,
}

impl Download {
    /// The next piece; `None` when all of it is here.
    ///
    /// # Errors
    /// When the connection breaks before the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let piece = self.response.chunk().await;
        let piece = piece.map_err(|error| Error::transport(self.client.url(), &error))?;
        Ok(piece.map(Into::into))
    }
}

impl Client {
    /// `GET /images`: every image, by repository, the newest first.
    pub async fn images(&self) -> Result<Vec<ImageInfo>, Error> {
        self.get("/api/v1/images").await
    }

    /// `GET /images/{image}/export`: an image as one file. Answers when the server has packed it, which may take minutes.
    pub async fn export_image(&self, image: &str, pack: Pack) -> Result<Download, Error> {
        let pack = match pack {
            Pack::Zstd => "zstd",
            Pack::Gzip => "gzip",
            Pack::None => "none",
        };
        let request = self.request(Method::GET, &format!("/api/v1/images/{image}/export?pack={pack}"));
        let response = self.send_unlimited(request).await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (image, digest) = (header("x-hangar-image"), header("x-hangar-digest"));
        let (Some(image), Some(digest), Some(bytes)) = (image, digest, response.content_length()) else {
            return Err(self.strange("a file without its name and size".to_owned()));
        };
        Ok(Download { image, digest, bytes, response, client: self.clone() })
    }

    /// `POST /images`: brings in a file that a hangar gave out. `pieces` are its bytes, `bytes` says how many. Answers when the image is unpacked.
    pub async fn import_image<S>(&self, pieces: S, bytes: u64) -> Result<ImportedImage, Error>
    where
        S: TryStream<Ok = Vec<u8>, Error = std::io::Error> + Send + 'static,
    {
        let request = self.request(Method::POST, "/api/v1/images");
        let request = request.header(header::CONTENT_TYPE, "application/x-tar").header(header::CONTENT_LENGTH, bytes);
        let response = self.send_unlimited(request.body(Body::wrap_stream(pieces))).await?;
        self.json(response).await
    }

    /// `GET /images/builds`: the builds that wait or run, and the last that ended.
    pub async fn builds(&self) -> Result<Vec<BuildInfo>, Error> {
        self.get("/api/v1/images/builds").await
    }

    /// `POST /images/builds`: builds an image now. Answers at once; the build runs on.
    pub async fn build_image(&self, repo: RepoPath) -> Result<BuildInfo, Error> {
        self.post("/api/v1/images/builds", &NewBuild { repo }, Pace::Ordinary).await
    }

    /// `GET /images/builds/{build}/log`: what a build has said from the byte `from` on.
    pub async fn build_log(&self, build: u32, from: u64) -> Result<BuildLog, Error> {
        self.get(&format!("/api/v1/images/builds/{build}/log?from={from}")).await
    }

    /// `DELETE /images/builds/{build}`: ends a build.
    pub async fn cancel_build(&self, build: u32) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &format!("/api/v1/images/builds/{build}"));
        self.send(request, Pace::Ordinary).await.map(drop)
    }

    /// `GET /pool`: the sandboxes that are kept ready.
    pub async fn pool(&self) -> Result<PoolInfo, Error> {
        self.get("/api/v1/pool").await
    }

    /// `POST /warm`: says that a session on this repository will probably begin soon.
    pub async fn warm(&self, repo: RepoPath) -> Result<Warming, Error> {
        self.post("/api/v1/warm", &Warm { repo }, Pace::Ordinary).await
    }
}
