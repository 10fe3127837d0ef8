//! A forge with three people, served on loopback, and stock git to use it with. Everything is gone when it is dropped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use hangar_forge::http::{Faces, router};
use hangar_forge::{
    Access, Doorkeeper, ForgeConfig, ForgeUser, Limits, LocalForge, NewRepo, Owner, RepoPath, Repository, Result, Token,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Knows alice (owner of acme), bob (writer), ron (reader) and eve (nobody there) by the tokens `tok_<login>`.
pub(crate) struct Door {
    users: HashMap<String, ForgeUser>,
}

impl Door {
    fn new() -> Self {
        let names = [("alice", 1), ("bob", 2), ("ron", 3), ("eve", 4)];
        let user = |(login, id): (&str, i64)| (format!("tok_{login}"), person(login, id));
        let mut users: HashMap<String, ForgeUser> = names.into_iter().map(user).collect();
        let narrow = ForgeUser { ceiling: Access::Read, ..person("alice", 1) };
        users.insert("tok_alice_readonly".into(), narrow);
        Self { users }
    }
}

pub(crate) fn person(login: &str, id: i64) -> ForgeUser {
    let mut name = login.to_owned();
    name[..1].make_ascii_uppercase();
    ForgeUser {
        id,
        login: login.parse().unwrap(),
        name: format!("{name} Test"),
        email: format!("{login}@example.com"),
        ceiling: Access::Admin,
    }
}

#[async_trait]
impl Doorkeeper for Door {
    async fn user(&self, token: &Token) -> Result<Option<ForgeUser>> {
        Ok(self.users.get(token.reveal()).cloned())
    }

    async fn access(&self, user: &ForgeUser, repo: &RepoPath) -> Result<Access> {
        Ok(match (user.login.as_str(), repo.owner.as_str()) {
            (login, owner) if login == owner => Access::Admin,
            ("alice", "acme") => Access::Admin,
            ("bob", "acme") => Access::Write,
            ("ron", "acme") => Access::Read,
            _ => Access::None,
        })
    }

    async fn may_create(&self, user: &ForgeUser, owner: &Owner) -> Result<bool> {
        Ok(user.login == *owner || (user.login.as_str(), owner.as_str()) == ("alice", "acme"))
    }
}

pub(crate) struct House {
    pub(crate) forge: LocalForge,
    pub(crate) base: String,
    pub(crate) root: TempDir,
    /// Dropped with the house, which ends the server.
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl House {
    pub(crate) async fn build() -> Self {
        Self::build_with(Limits::default()).await
    }

    pub(crate) async fn build_with(limits: Limits) -> Self {
        Self::open(tempfile::tempdir().unwrap(), limits).await
    }

    async fn open(root: TempDir, limits: Limits) -> Self {
        let config = ForgeConfig { data_dir: root.path().join("forge"), limits };
        let forge = LocalForge::open(config).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = router(Faces { forge: forge.clone(), door: Arc::new(Door::new()), base_url: base.clone() });
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            axum::serve(listener, app).with_graceful_shutdown(until).await.unwrap();
        });
        Self { forge, base, root, stop, server }
    }

    /// Closes everything and opens it again from disk.
    pub(crate) async fn restart(self) -> Self {
        let Self { forge, root, stop, server, .. } = self;
        drop(stop);
        drop(forge);
        server.await.unwrap();
        // The lock is free when the last task of a closed connection has let go of its clone of the forge.
        let lock = std::fs::File::open(root.path().join("forge/lock")).unwrap();
        tokio::task::spawn_blocking(move || lock.lock().unwrap()).await.unwrap();
        Self::open(root, Limits::default()).await
    }

    /// `acme/web` with three commits' worth of small files on `main`, made with stock git.
    pub(crate) async fn web(&self) -> Repository {
        let dir = self.dir("seed");
        git(&dir, &["init", "-q", "-b", "main"]).await;
        write(&dir, "README.md", "# web\n");
        write(&dir, "src/app.txt", "one\ntwo\nthree\n");
        commit(&dir, "alice", "First commit").await;
        let new = NewRepo { path: path("acme/web"), description: "The web shop".into() };
        self.forge.import(new, hangar_forge::ImportSource::Repository(dir)).await.unwrap()
    }

    /// A fresh directory.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let dir = self.root.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// The address of a repository for git, with a token.
    pub(crate) fn url(&self, login: &str, repo: &str) -> String {
        format!("{}/{repo}.git", self.base.replace("http://", &format!("http://{login}:tok_{login}@")))
    }

    /// A clone of a repository by stock git.
    pub(crate) async fn clone(&self, login: &str, repo: &str, into: &str) -> PathBuf {
        let dir = self.root.path().join(into);
        git(self.root.path(), &["clone", "-q", &self.url(login, repo), dir.to_str().unwrap()]).await;
        dir
    }

    /// Commits one file on a new branch and pushes it.
    pub(crate) async fn push_branch(&self, login: &str, branch: &str, file: &str, text: &str) -> String {
        let dir = self.clone(login, "acme/web", &format!("clone-{}-{login}", branch.replace('/', "-"))).await;
        git(&dir, &["checkout", "-q", "-B", branch, "origin/main"]).await;
        write(&dir, file, text);
        commit(&dir, login, &format!("Change {file}")).await;
        git(&dir, &["push", "-q", "origin", branch]).await;
        let sha = git(&dir, &["rev-parse", "HEAD"]).await.out;
        std::fs::remove_dir_all(dir).unwrap();
        sha
    }

    /// A REST call: status and body.
    pub(crate) async fn api(&self, method: &str, route: &str, login: &str, body: Value) -> (u16, Value) {
        let response = self.raw(method, route, Some(&format!("tok_{login}")), &[], body).await;
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let value =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        (status, value)
    }

    pub(crate) async fn raw(
        &self,
        method: &str,
        route: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Value,
    ) -> reqwest::Response {
        let mut request =
            reqwest::Client::new().request(method.parse().unwrap(), format!("{}/api/v3{route}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }
}

pub(crate) fn path(text: &str) -> RepoPath {
    text.parse().unwrap()
}

pub(crate) fn write(dir: &Path, file: &str, text: &str) {
    let place = dir.join(file);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(place, text).unwrap();
}

pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Stock git as a user has it, with no configuration of this machine.
pub(crate) async fn try_git(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Said {
    let output = tokio::process::Command::new("git")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
    Said { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) async fn git(dir: &Path, args: &[&str]) -> Said {
    let said = try_git(dir, args, &[]).await;
    assert!(said.ok, "git {args:?}: {}", said.err);
    said
}

pub(crate) async fn commit(dir: &Path, login: &str, message: &str) {
    let user = person(login, 9);
    git(dir, &["add", "--all"]).await;
    let env = [
        ("GIT_AUTHOR_NAME", user.name.as_str()),
        ("GIT_AUTHOR_EMAIL", user.email.as_str()),
        ("GIT_COMMITTER_NAME", user.name.as_str()),
        ("GIT_COMMITTER_EMAIL", user.email.as_str()),
    ];
    let said = try_git(dir, &["commit", "-q", "-m", message], &env).await;
    assert!(said.ok, "{}", said.err);
}
