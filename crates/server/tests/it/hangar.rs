//! A server for one test, and a person who asks it.

use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, LazyLock, Mutex},
};

use hangar::{Config, Server};
use hangar_protocol::{Refusal, RefusalCode, api::ErrorBody};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Everything every test of this program logged, at the most talkative level.
pub(crate) static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    subscriber.with_writer(move || writer.clone()).init();
    log
});

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A running server with a directory of its own.
pub(crate) struct Hangar {
    pub(crate) server: Server,
    pub(crate) dir: TempDir,
    pub(crate) owner: Person,
}

/// Somebody who asks with a personal access token.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) http: reqwest::Client,
}

/// A configuration on a free port, whatever the machine has set.
pub(crate) fn config(data: &Path) -> Config {
    LazyLock::force(&LOG);
    let mut config = Config::in_directory(data.join("data"));
    config.http.port = 0;
    config.people.owner = Some("jane".parse().unwrap());
    config.people.owner_name = Some("Jane Doe".to_owned());
    config.people.owner_email = Some("jane@example.org".to_owned());
    config
}

impl Hangar {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = config(dir.path());
        change(&mut config);
        Self::start_in(dir, config).await
    }

    pub(crate) async fn start_in(dir: TempDir, config: Config) -> Self {
        let server = hangar::serve(config).await.unwrap();
        let token = server.owner_token("tests").await.unwrap().reveal().clone();
        let url = format!("http://{}", server.address());
        let owner = Person { url, token, http: client() };
        Self { server, dir, owner }
    }

    /// What is left of a server that ran and ended: its directory. It runs on a runtime of its own, so that nothing of it
    /// can linger in this one.
    pub(crate) async fn past() -> TempDir {
        let ran = tokio::task::spawn_blocking(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { Hangar::start().await.end().await })
        });
        ran.await.unwrap()
    }

    /// Ends the server and gives its directory back.
    pub(crate) async fn end(self) -> TempDir {
        self.server.shut_down().await;
        self.dir
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.owner.url)
    }

    /// A request by nobody.
    pub(crate) fn stranger(&self, method: Method, path: &str) -> RequestBuilder {
        self.owner.http.request(method, self.url(path))
    }

    /// The code of a new sign-in link of the owner.
    pub(crate) async fn code(&self) -> String {
        code_of(&self.server.owner_link().await.unwrap().url)
    }

    /// Signs a browser in and gives the cookie's `name=value`.
    pub(crate) async fn cookie(&self) -> String {
        let answer = self.sign_in(&self.code().await).await;
        assert_eq!(answer.status(), 204);
        let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        set.split(';').next().unwrap().to_owned()
    }

    pub(crate) async fn sign_in(&self, code: &str) -> Response {
        self.stranger(Method::POST, "/api/v1/sign-in").json(&json!({"code": code})).send().await.unwrap()
    }

    /// Lets `login` in and gives them a token.
    pub(crate) async fn member(&self, login: &str) -> Person {
        let body = json!({"user": login, "name": "Some Body", "email": "some@example.org", "role": "member"});
        let link: Value = self.owner.post("/api/v1/users", &body).await.ok(201).await;
        let answer = self.sign_in(&code_of(link["url"].as_str().unwrap())).await;
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let asked = self.stranger(Method::POST, "/api/v1/tokens").header("cookie", cookie).header("x-hangar", "1");
        let made: Value = asked.json(&json!({"label": "tests"})).send().await.unwrap().ok(201).await;
        Person { token: made["secret"].as_str().unwrap().to_owned(), ..self.owner.clone() }
    }

    /// A repository with one commit.
    pub(crate) async fn repo(&self, name: &str) {
        let _: Value = self.owner.post("/api/v1/repos", &json!({"repo": name})).await.ok(201).await;
    }
}

impl Person {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }
}

/// What tests expect of an answer.
pub(crate) trait Expect {
    /// This status, and a body of this form.
    async fn ok<T: DeserializeOwned>(self, status: u16) -> T;
    /// A refusal of this kind, under its status.
    async fn refused(self, code: RefusalCode) -> Refusal;
}

impl Expect for Response {
    async fn ok<T: DeserializeOwned>(self, status: u16) -> T {
        let (found, url, text) = (self.status(), self.url().clone(), self.text().await.unwrap());
        assert_eq!(found, StatusCode::from_u16(status).unwrap(), "{url}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{url}: {error} in {text}"))
    }

    async fn refused(self, code: RefusalCode) -> Refusal {
        let (status, url, text) = (self.status(), self.url().clone(), self.text().await.unwrap());
        let body: ErrorBody = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{url}: {error} in {text}"));
        assert_eq!((status.as_u16(), body.error.code), (code.http_status(), code), "{url}: {text}");
        assert!(!body.error.message.is_empty());
        body.error
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

pub(crate) fn code_of(link: &str) -> String {
    link.split_once("/sign-in#").unwrap().1.to_owned()
}
