//! Repositories and models.

use hangar_protocol::{
    RepoPath,
    api::{AgentInfo, ModelInfo, NewRepo, RepoInfo, SavedPrompt},
};
use reqwest::Method;

use crate::{
    client::{Client, Pace},
    error::Error,
};

impl Client {
    /// `GET /repos`: the repositories hangar knows.
    pub async fn repos(&self) -> Result<Vec<RepoInfo>, Error> {
        self.get("/api/v1/repos").await
    }

    /// `POST /repos`: brings a repository into the embedded forge. Takes as long as copying it takes.
    pub async fn add_repo(&self, repo: &NewRepo) -> Result<RepoInfo, Error> {
        self.post("/api/v1/repos", repo, Pace::Slow).await
    }

    /// `GET /repos/{repo}/prompts`: what a prompt may begin with the name of.
    pub async fn saved_prompts(&self, repo: &RepoPath) -> Result<Vec<SavedPrompt>, Error> {
        self.get(&format!("/api/v1/repos/{repo}/prompts")).await
    }

    /// `GET /models`: the models a session can use.
    pub async fn models(&self) -> Result<Vec<ModelInfo>, Error> {
        self.get("/api/v1/models").await
    }

    /// `GET /agents`: the external agents that can work in a session.
    pub async fn agents(&self) -> Result<Vec<AgentInfo>, Error> {
        self.get("/api/v1/agents").await
    }

    /// `GET /api/v1/openapi.json`: the API's description of itself. Needs no token.
    pub async fn openapi(&self) -> Result<serde_json::Value, Error> {
        self.json(self.send(self.request(Method::GET, "/api/v1/openapi.json"), Pace::Ordinary).await?).await
    }
}
