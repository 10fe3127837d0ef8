//! A real registry on this machine's loopback: Debian's `docker-registry`.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use hangar_image::oci::{Credential, Digest, Limits, Registries, Registry};

use super::{
    judges::{demo, run, text},
    made::Bench,
};

const PASSWORD: &str = "a-secret-of-the-registry";
/// The password above, as htpasswd keeps it.
const HTPASSWD: &str = "puller:$2b$04$xSkGD/f2hzt5xjcdgzXJ3u0Ue.PdtyHt/ZwQMD7k6NhZi5b9HmkEq\n";

/// Ends with its value.
pub(crate) struct Running {
    process: Child,
    pub address: String,
    data: std::path::PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

pub(crate) fn registry(bench: &Bench) -> Running {
    let directory = bench.fresh();
    fs::write(directory.join("htpasswd"), HTPASSWD).unwrap();
    // Free a moment ago; nobody else asks for this one in the meantime but by bad luck, upon which the registry says so and the test fails.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let data = directory.join("data");
    let config = format!(
        "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\nauth:\n  htpasswd:\n    realm: test\n    path: {}\n",
        text(&data),
        text(&directory.join("htpasswd"))
    );
    fs::write(directory.join("config.yml"), config).unwrap();
    let mut process = Command::new("docker-registry")
        .args(["serve", text(&directory.join("config.yml"))])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("docker-registry is needed for this test: run scripts/install.sh test ({error})")
        });
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let said: Vec<_> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.contains("listening on")).collect();
    assert!(process.try_wait().unwrap().is_none(), "the registry ended: {said:#?}");
    // Its log goes on; nobody must let it wait.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Running { process, address, data }
}

pub(crate) fn registries(running: &Running) -> Registries {
    let credential = Credential { user: "puller".into(), password: PASSWORD.into() };
    Registries {
        credentials: [(running.address.clone(), credential)].into(),
        plain_http: vec![running.address.clone()],
        authorities: vec![],
    }
}

pub(crate) fn push(running: &Running, from: &str, name: &str) {
    let to = format!("docker://{}/{name}", running.address);
    let credentials = format!("puller:{PASSWORD}");
    run(
        "skopeo",
        &["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "--dest-creds", &credentials, from, &to],
    );
}

async fn pull(
    bench: &Bench,
    image: &str,
    registries: &Registries,
) -> Result<(Digest, std::path::PathBuf), hangar_image::oci::Error> {
    let registry = Registry::new(image, registries)?;
    let resolved = registry.resolve().await?;
    let layout = bench.fresh();
    registry.fetch(&resolved, &layout, Limits::default()).await?;
    Ok((resolved.digest, layout))
}

/// Whether a text is in any file below.
fn is_in(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => is_in(&entry.path(), text),
            kind if kind.is_file() => {
                fs::read(entry.path()).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
            }
            _ => false,
        }
    })
}

#[tokio::test]
async fn an_image_is_pulled_by_tag_and_by_digest_and_its_credential_is_written_nowhere() {
    let (bench, there) = (Bench::new(), Bench::new());
    let running = registry(&bench);
    let (file, exported, layers) = demo(&bench, hangar_image::oci::Squeeze::Gzip);
    push(&running, &format!("oci-archive:{}", text(&file)), "acme/app:main");
    let registries = registries(&running);
    let image = format!("{}/acme/app", running.address);
    let (digest, layout) = pull(&there, &format!("{image}:main"), &registries).await.unwrap();
    assert_eq!(digest, exported.digest);
    let imported = there.import(&layout).unwrap();
    assert_eq!((imported.layers, imported.digest), (layers, exported.digest));
    let (pinned, _) = pull(&there, &format!("{image}@{digest}"), &registries).await.unwrap();
    assert_eq!(pinned, digest);
    assert!(is_in(there.directory.path(), "c0ffee") && !is_in(there.directory.path(), PASSWORD));
    assert!(!format!("{registries:?}").contains(PASSWORD));

    let without = Registries { credentials: [].into(), ..registries.clone() };
    let refused = pull(&there, &format!("{image}:main"), &without).await.unwrap_err().to_string();
    assert!(refused.contains("cannot pull") && !refused.contains(PASSWORD), "{refused}");
    let missing = pull(&there, &format!("{image}:other"), &registries).await.unwrap_err().to_string();
    assert!(missing.contains("cannot pull") && !missing.contains(PASSWORD), "{missing}");
    let zeros = format!("sha256:{}", "0".repeat(64));
    assert!(pull(&there, &format!("{image}@{zeros}"), &registries).await.is_err());
    assert!(pull(&there, "not a name", &registries).await.unwrap_err().to_string().contains("cannot be understood"));
    // Another registry gets no credential, and TLS is asked for where nothing else is said.
    let tls = Registries { plain_http: vec![], ..registries.clone() };
    assert!(pull(&there, &format!("{image}:main"), &tls).await.is_err());
}

#[tokio::test]
async fn a_registry_whose_content_was_changed_is_not_believed() {
    let (bench, there) = (Bench::new(), Bench::new());
    let running = registry(&bench);
    let (file, exported, _) = demo(&bench, hangar_image::oci::Squeeze::Gzip);
    push(&running, &format!("oci-archive:{}", text(&file)), "acme/app:main");
    let manifest = fs::read(blob_data(&running.data, exported.digest)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layer: Digest = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let at = blob_data(&running.data, layer);
    let mut bytes = fs::read(&at).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&at, bytes).unwrap();
    let image = format!("{}/acme/app:main", running.address);
    let error = pull(&there, &image, &registries(&running)).await.unwrap_err().to_string();
    assert!(error.contains("digest"), "{error}");
    assert_eq!(there.store.list().unwrap(), []);
}

/// Where the registry keeps a blob.
fn blob_data(data: &Path, digest: Digest) -> std::path::PathBuf {
    let hex = digest.hex();
    data.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
}
