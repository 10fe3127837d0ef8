//! Images, their builds, and the sandboxes that are kept ready.

use hangar_protocol::{
    RepoPath,
    api::{BuildInfo, BuildLog, ImageInfo, NewBuild, PoolInfo, Warm, Warming},
};
use reqwest::Method;

use crate::{
    client::{Client, Pace},
    error::Error,
};

impl Client {
    /// `GET /images`: every image, by repository, the newest first.
    pub async fn images(&self) -> Result<Vec<ImageInfo>, Error> {
        self.get("/api/v1/images").await
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
