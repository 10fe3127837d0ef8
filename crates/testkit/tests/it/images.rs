//! Images through a real server: given out as files and taken in elsewhere; whole systems with package managers and services.

use std::{
    fs,
    net::{TcpStream, ToSocketAddrs as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use hangar_protocol::{
    RefusalCode::{self, BadRequest, Conflict, Forbidden, NotFound},
    api::{ImageInfo, ImportedImage, NewRepo},
    event::TurnOutcome,
};
use hangar_testkit::{Ran, Reply, Setting, Story, TestServer, Transcript, Watch, until, within};
use serde_json::Value;

/// Nothing is built unless a test asks for it.
const ON_DEMAND: &str = "images.every_minutes = 0";
/// Longer than any build here takes, also on a busy machine.
const BUILD_MAX: Duration = Duration::from_secs(600);
/// Between two looks how far a build is.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long to wait for a connection to a host that may not be reached from here.
const CONNECT_MAX: Duration = Duration::from_secs(10);

fn write(directory: &Path, files: &[(&str, &str)]) -> PathBuf {
    for (name, text) in files {
        let file = directory.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    directory.to_owned()
}

async fn add(server: &TestServer, name: &str, source: &Path) {
    let new = NewRepo { repo: name.parse().unwrap(), source: Some(source.display().to_string()) };
    within("the import", server.owner().client().add_repo(&new)).await.unwrap();
}

/// Builds over a longer time than other commands take.
async fn build(server: &TestServer, repo: &str) -> String {
    let asked: Value = serde_json::from_str(&server.run(&["image", "build", "--detach", repo]).await.well()).unwrap();
    let number = u32::try_from(asked["build"].as_u64().unwrap()).unwrap();
    // A whole system takes minutes on a busy machine.
    let deadline = Instant::now() + BUILD_MAX;
    loop {
        let log = within("how far the build is", server.owner().client().build_log(number, 0)).await.unwrap();
        if log.info.ended_ms.is_some() {
            assert_eq!(log.info.failure, None, "{}", log.text);
            return log.info.image.unwrap_or_else(|| panic!("no image: {:?}\n{}", log.info.status, log.text));
        }
        assert!(Instant::now() < deadline, "the build of {repo} does not end:\n{}", log.text);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn listed(server: &TestServer) -> Vec<ImageInfo> {
    serde_json::from_str(&server.run(&["image", "ls"]).await.well()).unwrap()
}

async fn refused(server: &TestServer, arguments: &[&str], code: RefusalCode, words: &str) {
    let refusal = server.run(arguments).await.refusal();
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.to_string().contains(words), "{words:?} in {refusal}");
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let done = Command::new("git").args(arguments).current_dir(directory).env("HOME", directory).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

async fn clone_url(server: &TestServer, repo: &str) -> String {
    let repos = server.owner().client().repos().await.unwrap();
    let url = &repos.iter().find(|known| known.repo.to_string() == repo).unwrap().clone_url;
    url.replacen("://", &format!("://x:{}@", server.owner().token()), 1)
}

#[tokio::test]
async fn an_image_is_carried_from_one_hangar_to_another() {
    let mut here = TestServer::start_with(Setting::default().configured(ON_DEMAND)).await;
    let recipe = "setup = ['mkdir -p ~/cache; echo warm > ~/cache/file']\n";
    let files = [(".hangar/environment.toml", recipe), ("a.txt", "one\n")];
    let source = write(&here.directory().join("app"), &files);
    add(&here, "acme/app", &source).await;
    refused(&here, &["image", "export", "acme/app", "x.tar"], NotFound, "hangar image build").await;
    let id = build(&here, "acme/app").await;

    let file = here.directory().join("app.tar");
    let (name, by_id) = (file.to_str().unwrap(), here.directory().join("again.tar"));
    let told: Value = serde_json::from_str(&here.run(&["image", "export", "acme/app", name]).await.well()).unwrap();
    assert_eq!(
        (told["image"].as_str(), told["bytes"].as_u64()),
        (Some(id.as_str()), Some(fs::metadata(&file).unwrap().len()))
    );
    let _ = here.run(&["image", "export", &id[..12], by_id.to_str().unwrap()]).await.well();
    assert!(fs::read(&file).unwrap() == fs::read(&by_id).unwrap(), "the same image gives the same bytes");
    refused(&here, &["image", "export", "acme/app", name], BadRequest, "exists already").await;
    refused(&here, &["image", "export", "acme/none", "y.tar"], NotFound, "hangar image ls").await;
    let standard = Ran::of(&mut here.command(&["image", "export", "acme/app", "-", "--pack", "none"])).await;
    assert!(standard.err.contains("standard output") && standard.well().contains("oci-layout"), "a tar file");

    // Another server, which knows neither the repository nor, later, its commit.
    let there_says = Transcript::new().on("look", [Reply::bash("cat ~/cache/file a.txt"), Reply::say("Seen.")]);
    let mut there = TestServer::start_with(Setting::new(there_says).configured(ON_DEMAND)).await;
    let import = ["image", "import", name];
    refused(&there, &import, NotFound, "hangar repo add").await;
    let other = write(&there.directory().join("app"), &[("a.txt", "another history\n")]);
    add(&there, "acme/app", &other).await;
    refused(&there, &import, Conflict, "does not have this commit").await;
    let work = there.directory().join("work");
    git(there.directory(), &["clone", "--quiet", &clone_url(&here, "acme/app").await, work.to_str().unwrap()]);
    git(&work, &["push", "--quiet", "--force", &clone_url(&there, "acme/app").await, "HEAD:main"]);

    what_is_no_image_is_refused(&there, &file).await;
    let brought: ImportedImage = serde_json::from_str(&there.run(&import).await.well()).unwrap();
    assert!(brought.new && brought.image.newest && brought.image.id == id, "{brought:?}");
    assert_eq!(brought.remarks, Vec::<String>::new(), "the machine is the same");
    assert_eq!((&brought.image, &brought.image.commit), (&listed(&here).await[0], &git(&work, &["rev-parse", "HEAD"])));
    let again: ImportedImage = serde_json::from_str(&there.run(&import).await.well()).unwrap();
    assert!(!again.new);
    assert_eq!(listed(&there).await.len(), 1);
    a_session_starts_from_it(&there).await;

    // What is on its way out holds no place once it is gone, and nothing is left of it.
    for server in [&here, &there] {
        let left = fs::read_dir(server.data().join("images/exchange")).unwrap().count();
        assert_eq!(left, 0);
    }
    let names = fs::read_dir(here.directory()).unwrap().flatten().map(|entry| entry.file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with(".hangar-export")));
    here.stop().await;
    there.stop().await;
}

async fn what_is_no_image_is_refused(there: &TestServer, good: &Path) {
    let mut bytes = fs::read(good).unwrap();
    let broken = there.directory().join("broken.tar");
    let import = ["image", "import", broken.to_str().unwrap()];
    fs::write(&broken, "no image at all").unwrap();
    refused(there, &import, BadRequest, "hangar image export").await;
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    refused(there, &import, BadRequest, "").await;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&broken, &bytes).unwrap();
    refused(there, &import, BadRequest, "").await;
    let nowhere = ["image", "import", "/nowhere.tar"];
    refused(there, &nowhere, BadRequest, "cannot be read").await;
    assert_eq!(listed(there).await, []);
    // Sessions of everybody start from an image: members bring none in.
    let member = there.let_in("mia", "Mia", "mia@example.org").await;
    let body = fs::read(good).unwrap();
    let sent = member.request(reqwest::Method::POST, "/api/v1/images").body(body).send();
    let refusal = hangar_testkit::refusal(within("the answer", sent).await.unwrap()).await;
    assert_eq!(refusal.code, Forbidden, "{refusal}");
}

async fn a_session_starts_from_it(server: &TestServer) {
    let session = server.owner().begin("acme/app", "Please look.").await.id;
    let mut watch = Watch::new(server.owner(), &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let story = Story::of(watch.events());
    assert!(story.to_string().contains(r#"ok: "warm\none"#), "{story}");
    assert!(story.kept().first().is_some_and(|kept| kept.starts_with("image_chosen")), "{:?}", story.kept());
}

/// A host that may be asked, with what `hangar.toml` needs for it: its addresses here may be those of an inner mirror.
fn reached(host: &str, port: u16) -> Option<String> {
    let addresses: Vec<_> = (host, port).to_socket_addrs().ok()?.collect();
    let found = addresses.iter().any(|address| TcpStream::connect_timeout(address, CONNECT_MAX).is_ok());
    let list: Vec<String> = addresses.iter().map(|address| format!("\"{}\"", address.ip())).collect();
    found.then(|| format!("[[trusted]]\nhost = \"{host}\"\naddresses = [{}]\n", list.join(", ")))
}

/// Where this machine has Debian from, and its host and port.
fn mirror() -> (String, String, u16) {
    let asked =
        Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)", "Codename: bookworm"]).output();
    let said = asked.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
    let own = said.lines().find(|line| line.starts_with("http") && line.trim_end_matches('/').ends_with("/debian"));
    let address = own.unwrap_or("http://deb.debian.org/debian").trim_end_matches('/').to_owned();
    let (scheme, rest) = address.split_once("://").unwrap();
    let authority = rest.split('/').next().unwrap();
    let usual = if scheme == "https" { 443 } else { 80 };
    let (host, port) =
        authority.split_once(':').map_or((authority, usual), |(host, port)| (host, port.parse().unwrap()));
    (address.clone(), host.to_owned(), port)
}

/// A Debian by mmdebstrap with PostgreSQL and Redis, a package by `apt-get` through the border, a schema seeded at build: a session finds all of it running.
#[tokio::test]
async fn a_debian_has_its_packages_and_its_services() {
    let (mirror, host, port) = mirror();
    let Some(trusted) = reached(&host, port) else {
        println!(
            "SKIPPED: no Debian mirror is reachable from here ({mirror}); nothing of bases by mmdebstrap was tested"
        );
        return;
    };
    let look = "set -e; psql --host=127.0.0.1 --username=postgres app --tuples-only --no-align --command='select name from thing'; \
                redis-cli -h 127.0.0.1 get seeded; jq --version; cat /etc/debian_version | cut -d. -f1; id -un";
    let says = Transcript::new().on("look", [Reply::bash(look), Reply::say("Seen.")]);
    let config = format!("{ON_DEMAND}\nbases.debian_mirror = \"{mirror}\"\n\n{trusted}");
    let mut server = TestServer::start_with(Setting::new(says).configured(&config)).await;
    let recipe = format!(
        r#"
base = {{ debian = "bookworm", packages = ["postgresql", "redis-server"] }}
setup = [
  {{ name = "jq", root = true, run = """
    echo 'deb {mirror} bookworm main' > /etc/apt/sources.list
    apt-get -o Acquire::Retries=3 update -q && apt-get -o Acquire::Retries=3 install -q -y --no-install-recommends jq
  """ }},
]
verify = "jq --version"

[network]
setup = ["{host}:{port}"]

[[services]]
name = "db"
uses = "postgresql"
database = "app"
seed = "psql --host=127.0.0.1 --username=postgres app --command=\"create table thing (name text); insert into thing values ('seeded row')\""

[[services]]
name = "cache"
uses = "redis"
seed = "redis-cli -h 127.0.0.1 set seeded yes"
"#
    );
    let source = write(&server.directory().join("shop"), &[(".hangar/environment.toml", &recipe), ("a.txt", "one\n")]);
    add(&server, "acme/shop", &source).await;
    build(&server, "acme/shop").await;
    let image = listed(&server).await.remove(0);
    assert_eq!((image.base.as_str(), image.notes.as_slice()), ("debian bookworm", &[] as &[String]));

    // From the first key on one is made, with its services.
    let repo = "acme/shop".parse().unwrap();
    until("a sandbox for whoever types", async || {
        server.owner().client().warm(std::clone::Clone::clone(&repo)).await.unwrap().ready.then_some(())
    })
    .await;
    let session = server.owner().begin("acme/shop", "Please look.").await.id;
    let mut watch = Watch::new(server.owner(), &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let story = Story::of(watch.events()).to_string();
    assert!(story.contains(r"seeded row\nyes\njq-1.6\n12\nagent"), "{story}");
    let pool = within("the pool", server.owner().client().pool()).await.unwrap();
    assert_eq!((pool.repos[0].hits, pool.repos[0].misses), (1, 0), "{pool:?}");
    server.stop().await;
}

/// Package managers of languages in a build over this machine's programs, from the registries that are allowed by default.
#[tokio::test]
async fn package_managers_fetch_through_the_border() {
    let managers = [
        (
            "pip",
            ["pypi.org", "files.pythonhosted.org"],
            "python3 -m venv .venv && .venv/bin/pip install --no-cache-dir six && .venv/bin/python -c 'import six'",
        ),
        (
            "npm",
            ["registry.npmjs.org", "registry.npmjs.org"],
            "npm install --no-audit --no-fund is-number@7.0.0 && node -e 'require(\"is-number\")(7) || process.exit(1)'",
        ),
    ];
    let mut config = format!("{ON_DEMAND}\n\n");
    let mut setup = String::new();
    for (manager, hosts, script) in managers {
        let trusted: Option<Vec<String>> = hosts.iter().map(|host| reached(host, 443)).collect();
        match trusted {
            Some(mut trusted) => {
                trusted.dedup();
                config.push_str(&trusted.concat());
                setup.push_str(&format!("  {{ name = \"{manager}\", run = '''{script}''' }},\n"));
            }
            None => println!("SKIPPED: {hosts:?} cannot be reached from here; {manager} in a build was not tested"),
        }
    }
    // Where a machine's way out has an authority of its own, its programs know it by this file.
    let authorities = "/etc/ssl/certs/ca-certificates.crt";
    let names = ["PIP_CERT", "NODE_EXTRA_CA_CERTS"];
    let env: String = names.iter().map(|name| format!("{name} = \"{authorities}\"\n")).collect();
    let recipe = format!("setup = [\n{setup}]\nwarm = ['true']\n[env]\n{env}");
    let mut server = TestServer::start_with(Setting::default().configured(&config)).await;
    let files = [
        (".hangar/environment.toml", recipe.as_str()),
        ("package.json", "{\"name\": \"app\", \"version\": \"1.0.0\", \"private\": true}\n"),
    ];
    let source = write(&server.directory().join("app"), &files);
    add(&server, "acme/app", &source).await;
    build(&server, "acme/app").await;
    server.stop().await;
}
