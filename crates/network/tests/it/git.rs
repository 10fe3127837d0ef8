//! git over https with a token that the sandbox does not have, against git's own server program.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path as UrlPath, Request},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::any,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hangar_network::How;
use tokio::io::AsyncWriteExt;

use crate::{
    border::{Border, with_app},
    namespaces::text,
    world::PUBLIC,
};

const TOKEN: &str = "ghs_0123456789abcdefghij";
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A directory of bare repositories behind a token, as a git host serves it.
fn host(folder: Arc<PathBuf>) -> Router {
    let served = move |request: Request| serve(Arc::clone(&folder), request);
    Router::new().route("/moved/{*rest}", any(moved)).route("/git/{*rest}", any(served))
}

async fn moved(UrlPath(rest): UrlPath<String>, request: Request) -> Redirect {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::temporary(&format!("https://other.test/git/{rest}{query}"))
}

async fn serve(folder: Arc<PathBuf>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let wanted = format!("Basic {}", STANDARD.encode(format!("x-access-token:{TOKEN}")));
    if head.headers.get(header::AUTHORIZATION).is_none_or(|value| value.as_bytes() != wanted.as_bytes()) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")]).into_response();
    }
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    let text = |name: header::HeaderName| {
        head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &*folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "app")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path().trim_start_matches("/git"))
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text(header::CONTENT_TYPE))
        .env("HTTP_CONTENT_ENCODING", text(header::CONTENT_ENCODING))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&body).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap().stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut headers = HeaderMap::new();
    let mut status = StatusCode::OK;
    for line in std::str::from_utf8(&output[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        match name {
            "Status" => status = value[..3].parse().unwrap(),
            name => drop(headers.insert(header::HeaderName::try_from(name).unwrap(), value.parse().unwrap())),
        }
    }
    (status, headers, Body::from(output[end + 4..].to_vec())).into_response()
}

fn sh(folder: &Path, script: &str) {
    let output = std::process::Command::new("bash").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

fn with_git<F: Future<Output = ()>>(rules: &[&str], test: impl FnOnce(Border) -> F) {
    let folder = tempfile::tempdir().unwrap();
    sh(
        folder.path(),
        "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b\n\
         git init -q -b main work; cd work; head -c 3000000 /dev/urandom >large; git add .; git commit -qm one; cd ..\n\
         git clone -q --bare work repo.git; git -C repo.git config http.receivepack true",
    );
    let app = host(Arc::new(folder.path().to_owned()));
    with_app(app, rules, |border| async move {
        border.world.name("git.test", PUBLIC);
        border.world.name("other.test", PUBLIC);
        test(border).await;
        drop(folder);
    });
}

const AS: &str = "export GIT_TERMINAL_PROMPT=0 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b\n";

#[test]
fn git_fetches_and_pushes_with_a_token_it_does_not_have() {
    with_git(&["git.test"], |border| async move {
        let clone =
            format!("{AS} git clone -q https://git.test/git/repo.git got && cd got && git log --oneline | wc -l");
        let said = border.shell(&clone).await;
        assert!(said.contains("terminal prompts disabled"), "without the token there is nothing: {said}");
        border.inject("git.test", TOKEN, How::basic("x-access-token"));
        assert_eq!(border.shell(&clone).await, "1\n");
        let push = "cd got; head -c 3000000 /dev/urandom >more; git add .; git commit -qm two; git push -q origin HEAD:refs/heads/hangar/x; git ls-remote origin | wc -l; grep -r ghs_ .git || echo no token";
        assert_eq!(border.shell(&format!("{AS}{push}")).await, "3\nno token\n");
    });
}

#[test]
fn git_may_carry_a_placeholder_in_its_address() {
    with_git(&["git.test"], |border| async move {
        let placeholder = border.credential("git.test", TOKEN).as_str().to_owned();
        let url = format!("https://x-access-token:{placeholder}@git.test/git/repo.git");
        let said = border.shell(&format!("{AS} git clone -q {url} got && git -C got log --oneline | wc -l")).await;
        assert_eq!(said, "1\n");
    });
}

#[test]
fn a_git_host_that_moves_does_not_take_the_token_along() {
    with_git(&["git.test", "other.test"], |border| async move {
        border.inject("git.test", TOKEN, How::basic("x-access-token"));
        let placeholder = border.credential("git.test", TOKEN).as_str().to_owned();
        let plain = "https://git.test/moved/repo.git".to_owned();
        for url in [plain, format!("https://x-access-token:{placeholder}@git.test/moved/repo.git")] {
            let said = border.shell(&format!("{AS} git -c http.followRedirects=true clone -q {url} got")).await;
            assert!(said.contains("fatal"), "{said}");
        }
        let seen = border.world.seen.requests();
        let (at_home, elsewhere): (Vec<_>, Vec<_>) = seen.iter().partition(|request| request.contains("/moved/"));
        let token = STANDARD.encode(format!("x-access-token:{TOKEN}"));
        assert!(at_home.iter().any(|request| request.contains(&token)), "{at_home:?}");
        assert!(!elsewhere.is_empty(), "git followed");
        assert!(!elsewhere.iter().any(|request| request.contains(&token) || request.contains(TOKEN)), "{elsewhere:?}");
    });
}
