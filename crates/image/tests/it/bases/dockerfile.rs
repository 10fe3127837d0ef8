//! Dockerfiles over a real Debian in a real registry, carried out in real sandboxes.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use hangar_image::{
    base::{
        BaseError, BaseMaker, BaseSettings, Made, Note, Notes,
        dockerfile::{Dockerfile, Room, Rooms},
    },
    oci::{Annotations, Export, ExportLayer, Squeeze, export},
};
use hangar_sandbox::{Engine, EngineConfig, ExecSpec, Root, SandboxSpec, layers::LayerStore};

use super::debian::made_once_and_neutral;
use crate::oci::{
    judges::text,
    made::Bench,
    pull::{Running, push, registries, registry},
};

/// Sandboxes without any network.
struct Alone(Engine);

#[async_trait]
impl Rooms for Alone {
    async fn open(&self, spec: SandboxSpec) -> Result<Room, hangar_sandbox::Error> {
        Ok(Room { sandbox: self.0.create(spec).await?, serving: Box::new(()) })
    }
}

/// Nothing may be run.
struct Nobody;

#[async_trait]
impl Rooms for Nobody {
    async fn open(&self, spec: SandboxSpec) -> Result<Room, hangar_sandbox::Error> {
        panic!("{spec:?}")
    }
}

struct Yard {
    bench: Bench,
    data: PathBuf,
    registry: Running,
    maker: BaseMaker,
    store: Arc<LayerStore>,
    rooms: Alone,
    steps: Arc<Mutex<Vec<String>>>,
    notes: Notes,
}

impl Yard {
    /// A machine whose registry has a Debian.
    async fn new() -> Self {
        let bench = Bench::new();
        let registry = registry(&bench);
        let data = bench.fresh();
        let store = Arc::new(LayerStore::open(&data).unwrap());
        let settings = BaseSettings { registries: registries(&registry), ..BaseSettings::default() };
        let maker = BaseMaker::open(&data, Arc::clone(&store), settings).unwrap();
        let rooms = Alone(Engine::new(EngineConfig::new(&data)).await.unwrap());
        let steps = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&steps);
        let notes: Notes = Arc::new(move |note| match note {
            Note::Step(step) => heard.lock().unwrap().push(step),
            Note::Output(_) | Note::Warning(_) => {}
        });
        let yard = Self { bench, data, registry, maker, store, rooms, steps, notes };
        let debian = made_once_and_neutral(&yard.data, &yard.maker, &yard.store).await;
        let image = Export {
            // Without the account: Dockerfiles make users of their own.
            layers: debian.layers[1..]
                .iter()
                .map(|id| ExportLayer { tree: yard.store.tree(id), made_by: "mmdebstrap".into() })
                .collect(),
            config: debian.config,
            annotations: Annotations::default(),
            name: "debian:1".into(),
            squeeze: Squeeze::Zstd,
        };
        let file = yard.bench.fresh().join("debian.tar");
        export(&image, &file, yard.bench.directory.path()).unwrap();
        push(&yard.registry, &format!("oci-archive:{}", text(&file)), "debian:1");
        yard
    }

    fn debian(&self) -> String {
        format!("{}/debian:1", self.registry.address)
    }

    async fn build(&self, context: &Path, dockerfile: &str) -> Result<Made, BaseError> {
        self.steps.lock().unwrap().clear();
        let ignore = fs::read_to_string(context.join(".dockerignore")).unwrap_or_default();
        let wanted = Dockerfile {
            name: "Dockerfile".into(),
            text: dockerfile.replace("DEBIAN", &self.debian()),
            ignore,
            context: context.to_owned(),
            target: String::new(),
            args: BTreeMap::from([("GREETING".to_owned(), "servus".to_owned())]),
        };
        self.maker.dockerfile(&wanted, &self.rooms, &self.notes).await
    }

    /// Instructions carried out by the last build.
    fn carried_out(&self) -> usize {
        self.steps.lock().unwrap().len()
    }

    async fn output(&self, made: &Made, script: &str) -> String {
        let root = Root::tree(made.layers.iter().map(|layer| self.store.tree(layer)).collect());
        let mut spec = SandboxSpec::new("look", root, self.bench.fresh().join("session"));
        spec.session_dir = self.data.join(format!("look-{}", self.carried_out()));
        spec.env.extend(made.config.env.clone());
        let sandbox = self.rooms.0.create(spec).await.unwrap();
        let done = sandbox.exec(&ExecSpec::shell(script)).await.unwrap();
        sandbox.destroy().await;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.ended.status.success(), "{script}: {said}");
        String::from_utf8(done.stdout).unwrap()
    }
}

/// A package with a program, a user of its own and files of several owners.
fn package(directory: &Path) {
    let root = directory.join("package");
    let write = |path: &str, text: &str, mode: u32| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    write(
        "DEBIAN/control",
        "Package: demo\nVersion: 1.0\nArchitecture: all\nDepends: adduser, passwd\nMaintainer: nobody <nobody@example.org>\nDescription: a demo\n",
        0o644,
    );
    write(
        "DEBIAN/postinst",
        "#!/bin/sh\nset -e\nadduser --system --group --no-create-home demo\nchown -R demo:demo /var/lib/demo\nchmod 2750 /var/lib/demo\n",
        0o755,
    );
    write("usr/bin/demo", "#!/bin/sh\necho it works\n", 0o755);
    write("var/lib/demo/state", "state", 0o640);
    let done = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build", text(&root), text(&directory.join("demo.deb"))])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    fs::remove_dir_all(root).unwrap();
}

const WHOLE: &str = r#"# syntax=docker/dockerfile:1
ARG FROM=DEBIAN
FROM ${FROM} AS Build
ARG GREETING=hello
ENV WHO=world PATH=/opt/bin:$PATH
WORKDIR /src/app
COPY . .
RUN echo "$GREETING $WHO" > greeting && \
    # why this is here

    id -u > uid && \
    pwd > where
RUN ["/bin/sh", "-c", "test ! -e secret.txt && test -e kept.txt"]
RUN <<EOF
set -e
useradd --create-home --uid 1234 dev
chown dev:dev where
EOF
COPY --chown=dev:dev --chmod=755 tool/* /opt/bin/
USER dev
RUN hello > /home/dev/said && id -un >> /home/dev/said

FROM nothing/else:unreachable AS unneeded
RUN false

FROM DEBIAN
COPY demo.deb /packages/
RUN apt-get install --yes --no-install-recommends /packages/demo.deb && rm -r /packages && adduser --disabled-password --gecos '' someone
COPY --from=build /src/app/greeting /src/app/uid /src/app/where /srv/
COPY --from=build /home/dev /srv/dev
COPY tool/hello /lib/hello
RUN mv /srv/dev /srv/renamed
COPY --from=build /src/app/uid /srv/renamed/
ENV MORE="two words"
LABEL one=1 two="2 2"
EXPOSE 80 53/udp
VOLUME /var/data
STOPSIGNAL SIGINT
HEALTHCHECK CMD true
ENTRYPOINT ["/usr/bin/demo"]
CMD --help
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_is_carried_out_as_docker_would_and_only_what_changed_again() {
    let yard = Yard::new().await;
    let context = yard.bench.fresh();
    for (path, content) in [
        (".dockerignore", "*.txt\n!kept.txt\nlogs\n"),
        ("secret.txt", "no"),
        ("kept.txt", "yes"),
        ("logs/today", "no"),
        ("tool/hello", "#!/bin/sh\necho hello from the tool\n"),
    ] {
        fs::create_dir_all(context.join(path).parent().unwrap()).unwrap();
        fs::write(context.join(path), content).unwrap();
    }
    symlink("kept.txt", context.join("link")).unwrap();
    package(&context);
    let made = yard.build(&context, WHOLE).await.unwrap_or_else(|error| panic!("{error}"));
    let said = yard
        .output(
            &made,
            "demo; cat /srv/greeting /srv/uid /srv/where /srv/renamed/said /srv/renamed/uid; stat -c '%U %G %a' /var/lib/demo /srv/renamed/said /srv/where; getent passwd someone agent | cut -d: -f1; test -L /lib && /bin/sh /usr/lib/hello; test ! -e /srv/dev; test ! -e /packages; echo $MORE; id -un",
        )
        .await;
    let expected = "it works\nservus world\n0\n/src/app\nhello from the tool\ndev\n0\ndemo demo 2750\nroot root 644\nroot root 644\nsomeone\nhello from the tool\ntwo words\nsomeone\n";
    assert_eq!(said, expected);
    let config = &made.config;
    assert_eq!(
        (config.entrypoint.clone(), config.cmd.clone()),
        (vec!["/usr/bin/demo".to_owned()], vec!["/bin/sh".into(), "-c".into(), "--help".into()])
    );
    assert_eq!(config.labels, BTreeMap::from([("one".into(), "1".into()), ("two".into(), "2 2".into())]));
    assert_eq!(config.exposed_ports.iter().map(String::as_str).collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
    assert_eq!((config.stop_signal.as_str(), config.volumes.len()), ("SIGINT", 1));

    // Nothing changed, not even by a new checkout; then something late did.
    let touched = fs::File::options().write(true).open(context.join("kept.txt")).unwrap();
    touched.set_modified(std::time::SystemTime::now()).unwrap();
    assert_eq!(yard.build(&context, WHOLE).await.unwrap(), made);
    assert_eq!(yard.carried_out(), 0);
    let changed = WHOLE.replace("COPY --from=build /src/app/uid /srv/renamed/\n", "RUN echo late > /srv/late\n");
    let later = yard.build(&context, &changed).await.unwrap();
    assert_eq!(yard.carried_out(), 1);
    assert_eq!(yard.output(&later, "cat /srv/late").await, "late\n");
    fs::write(context.join("logs/today"), "left out, so it does not count").unwrap();
    assert_eq!(yard.build(&context, WHOLE).await.unwrap(), made);
    assert_eq!(yard.carried_out(), 0);

    // The failure names the line, and what the command said.
    let failing = "FROM DEBIAN\n\nRUN echo about to fail && \\\n  ls /no/such/place\n";
    let error = yard.build(&context, failing).await.unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("about to fail") && error.contains("/no/such/place"), "{error}");

    // A renamed directory of a lower layer cannot be said in an image.
    let image = Export {
        layers: made
            .layers
            .iter()
            .map(|id| ExportLayer { tree: yard.store.tree(id), made_by: String::new() })
            .collect(),
        config: made.config.clone(),
        annotations: Annotations::default(),
        name: String::new(),
        squeeze: Squeeze::Not,
    };
    let exported = export(&image, &yard.bench.fresh().join("out.tar"), yard.bench.directory.path());
    assert!(exported.is_err_and(|error| error.to_string().contains("squash")));
    assert_eq!(fs::read_dir(yard.data.join("bases/work")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_context_reaches_nothing_of_the_host() {
    let bench = Bench::new();
    let data = bench.fresh();
    let store = Arc::new(LayerStore::open(&data).unwrap());
    let maker = BaseMaker::open(&data, Arc::clone(&store), BaseSettings::default()).unwrap();
    let notes: Notes = Arc::new(|_| {});
    let (host, context) = (bench.fresh(), bench.fresh());
    fs::write(host.join("canary"), "secret of the host").unwrap();
    fs::create_dir(context.join("one")).unwrap();
    fs::create_dir_all(context.join("two/out")).unwrap();
    fs::write(context.join("two/out/canary"), "overwritten").unwrap();
    symlink(&host, context.join("one/out")).unwrap();
    symlink(&host, context.join("direct")).unwrap();
    symlink(host.join("canary"), context.join("file")).unwrap();
    symlink("../../../../../../../../etc/passwd", context.join("upwards")).unwrap();
    fs::write(context.join("fine"), "fine").unwrap();
    let build = async |text: &str| {
        let wanted = Dockerfile {
            name: "Dockerfile".into(),
            text: format!("FROM scratch\n{text}\n"),
            context: context.clone(),
            ..Dockerfile::default()
        };
        maker.dockerfile(&wanted, &Nobody, &notes).await
    };
    for (text, words) in [
        ("COPY direct/canary /x", "there is no"),
        ("COPY file /x", "there is no"),
        ("COPY upwards /x", "there is no"),
        ("COPY ../../../../../../etc/passwd /x", "there is no"),
        ("COPY /etc/passwd /x", "there is no"),
        ("COPY one two /x/", "copied as a link"),
        ("COPY fine fine/deeper /x/", ""),
        ("COPY two one /x/", ""),
        ("COPY missing* /x/", "there is no"),
    ] {
        let error = build(text).await.expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
        assert_eq!(fs::read_to_string(host.join("canary")).unwrap(), "secret of the host", "{text}");
    }
    // Links themselves are copied, and lead nowhere but inside.
    let made = build("COPY one /x/\nCOPY fine /../../fine").await.unwrap();
    let trees: Vec<_> = made.layers.iter().map(|layer| store.tree(layer)).collect();
    assert!(trees.iter().any(|tree| fs::read_link(tree.join("x/out")).is_ok_and(|target| target == host)));
    assert!(trees.iter().any(|tree| tree.join("fine").exists()));
}

#[tokio::test]
async fn what_is_not_done_is_refused_with_its_line() {
    let bench = Bench::new();
    let data = bench.fresh();
    let store = Arc::new(LayerStore::open(&data).unwrap());
    let maker = BaseMaker::open(&data, store, BaseSettings::default()).unwrap();
    let notes: Notes = Arc::new(|_| {});
    for (text, words) in [
        (
            "FROM scratch\nRUN --mount=type=cache,target=/x true",
            "line 2 of the Dockerfile: `RUN --mount` is not supported",
        ),
        ("FROM scratch\n\nRUN --network=none true", "line 3 of the Dockerfile: `RUN --network`"),
        ("FROM scratch\nADD https://example.org/x /x", "line 2 of the Dockerfile: `ADD https://example.org/x` fetches"),
        ("FROM scratch\nADD rootfs.tar.gz /", "fetches or unpacks"),
        ("FROM scratch\nADD git@example.org:a/b /x", "fetches or unpacks"),
        ("FROM scratch\nCOPY --parents a /x", "`COPY --parents` is not supported"),
        ("FROM scratch\nCOPY --chmod=u+x a /x", "`--chmod=u+x` is no mode"),
        ("FROM scratch\nCOPY <<EOF /x\nhello\nEOF", "here-document"),
        ("FROM scratch\nONBUILD RUN true", "line 2 of the Dockerfile: `ONBUILD`"),
        ("FROM --platform=linux/s390x scratch", "`linux/s390x` is not this machine's"),
        ("FROM scratch\nUSER nobody-at-all\nRUN true", "line 3 of the Dockerfile: there is no user `nobody-at-all`"),
        ("FROM scratch\nENV A=${B:?no}", "line 2 of the Dockerfile"),
        ("ARG IMAGE\nFROM ${IMAGE}", "`FROM` has no image"),
        ("FROM scratch", "nothing is in the image"),
        ("RUN true", "the Dockerfile cannot be read"),
        ("FROM scratch\nNONSENSE x", "the Dockerfile cannot be read"),
        ("", "the Dockerfile cannot be read"),
    ] {
        let wanted =
            Dockerfile { name: "Dockerfile".into(), text: text.into(), context: data.clone(), ..Dockerfile::default() };
        let error = maker.dockerfile(&wanted, &Nobody, &notes).await.expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
        assert!(error.contains(';'), "it says what to do: {error}");
    }
}
