//! Images that would do harm. Each is refused in words that fit, and nothing outside of its own directory changes.

use std::{collections::BTreeMap, fs, path::Path};

use hangar_image::oci::Limits;
use serde_json::{Value, json};

use super::made::{Bench, Entry, gzip, layout, layout_packed, layout_with, said, tar};

/// Everything about a directory of the host that an image could have changed.
fn look(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut seen: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), fs::read(&path).unwrap_or_default())
        })
        .collect();
    seen.sort();
    seen
}

/// A layer's entries and what the refusal says.
#[rustfmt::skip]
fn refused(host: &str) -> Vec<(&'static str, Vec<Entry>, &'static str)> {
    let long = "n".repeat(256);
    let deep = "d/".repeat(129);
    let very_long = "long/".repeat(900) + "file";
    let file = |name: &str| Entry::file(name, "x");
    vec![
        ("a path upwards", vec![file("../canary")], "leads upwards"),
        ("a path upwards in its middle", vec![file("usr/../../canary")], "leads upwards"),
        ("an absolute path", vec![file(&format!("{host}/canary"))], "absolute path"),
        ("two slashes", vec![file("//etc/passwd")], "absolute path"),
        ("an absolute path in a record", vec![said(&[("path", format!("{host}/canary").as_bytes())]), file("fine")], "absolute path"),
        ("a long name upwards", vec![Entry::odd(b'L', "././@LongLink", "../../canary\0"), file("fine")], "leads upwards"),
        ("a zero byte in a record", vec![said(&[("path", b"fine\0/../../canary")]), file("fine")], "zero byte"),
        ("a name that is too long", vec![said(&[("path", long.as_bytes())]), file("fine")], "too long a name"),
        ("a path that is too long", vec![said(&[("path", very_long.as_bytes())]), file("fine")], "too long a path"),
        ("a tree that is too deep", vec![said(&[("path", deep.as_bytes())]), Entry::directory("fine")], "too deep"),
        ("a file through a link", vec![Entry::symlink("out", host), file("out/canary")], "yet has entries"),
        ("a file through a relative link", vec![Entry::symlink("a/out", "../../../../../../../tmp"), file("a/out/canary")], "yet has entries"),
        ("a file through two links", vec![Entry::symlink("one", "two"), Entry::symlink("two", host), file("one/canary")], "yet has entries"),
        ("a file through a magic link", vec![Entry::symlink("self", "/proc/self/root"), file("self/tmp/canary")], "yet has entries"),
        ("a file below a file", vec![file("a"), file("a/b")], "yet has entries"),
        ("a gone file through a link", vec![Entry::symlink("out", host), file("out/.wh.canary")], "yet has entries"),
        ("a hidden directory through a link", vec![Entry::symlink("out", host), file("out/.wh..wh..opq")], "yet has entries"),
        ("a hard link upwards", vec![Entry::hard_link("own", "../../canary")], "leads out of its layer"),
        ("a hard link to an absolute path", vec![Entry::hard_link("own", format!("{host}/canary"))], "leads out of its layer"),
        ("a hard link through a link", vec![Entry::symlink("out", host), Entry::hard_link("own", "out/canary")], "no file of its layer"),
        ("a hard link to nothing", vec![Entry::hard_link("own", "nothing")], "no file of its layer"),
        ("a hard link to a directory", vec![Entry::directory("d"), Entry::hard_link("own", "d")], "no file of its layer"),
        ("a hard link to what is gone", vec![file(".wh.x"), Entry::hard_link("own", "x")], "no file of its layer"),
        ("a hard link to itself", vec![file("a"), Entry::hard_link("a", "a")], "to itself"),
        ("a gone parent directory", vec![file(".wh...")], "nothing that could be gone"),
        ("a gone directory itself", vec![file("a/.wh..")], "nothing that could be gone"),
        ("a gone nothing", vec![file("a/.wh.")], "nothing that could be gone"),
        ("a path through what is gone", vec![file(".wh.a/b")], "reserved"),
        ("a hidden root", vec![file(".wh..wh..opq")], "hides the whole root"),
        ("a root that is a link", vec![Entry::symlink("./", host)], "replace the root"),
        ("a root that is a file", vec![file(".")], "replace the root"),
        ("a link to nothing", vec![Entry::symlink("a", "")], "link to nothing"),
        ("an owner of the host's", vec![file("a").owner(2_000_000, 0)], "above 65535"),
        ("a group of the host's in a record", vec![said(&[("gid", b"70000")]), file("a")], "above 65535"),
        ("two sizes", vec![said(&[("size", b"512")]), file("a")], "two sizes"),
        ("a sparse file", vec![Entry::odd(b'S', "a", vec![0; 512])], "sparse"),
        ("a sparse file in records", vec![said(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"99999999999999")]), file("a")], "sparse"),
        ("an unknown kind", vec![Entry::odd(b'Z', "a", "")], "kind that layers do not have"),
        ("a link with content", vec![Entry::odd(b'2', "a", "content")], "has content"),
        ("a record that is cut", vec![Entry::odd(b'x', "said", "99 path=a\n"), file("a")], "do not fit their format"),
        ("a record without length", vec![Entry::odd(b'x', "said", "path=/etc/passwd\n"), file("a")], "do not fit their format"),
        ("a record of length zero", vec![Entry::odd(b'x', "said", "0 \n"), file("a")], "do not fit their format"),
        ("an announcement without its entry", vec![Entry::odd(b'L', "././@LongLink", "name\0")], "missing"),
        ("megabytes of name", vec![Entry::odd(b'L', "././@LongLink", vec![b'n'; 2 * 1024 * 1024]), file("a")], "said about one file"),
        ("a file that says to be large", vec![file("a").says_size(1 << 30)], "ends before its content"),
        ("a file larger than any", vec![file("a").says_size(9 * (1 << 30))], "bytes in one file"),
        ("megabytes of attributes", vec![said(&[("SCHILY.xattr.user.a", &[b'x'; 70_000])]), file("a")], "extended attributes"),
    ]
}

#[test]
fn hostile_layers_are_refused_and_nothing_outside_changes() {
    let bench = Bench::new();
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("canary"), "alive").unwrap();
    let (beside, before) = (bench.directory.path().to_owned(), look(host.path()));
    fs::write(beside.join("canary"), "alive").unwrap();
    let cases = refused(host.path().to_str().unwrap());
    assert!(cases.len() >= 25);
    let mut wrong = Vec::new();
    for (name, entries, words) in cases {
        let said = match bench.import_layers(&[tar(&entries)]) {
            Ok(_) => "taken in".to_owned(),
            Err(error) => error.to_string(),
        };
        if said == "taken in" || !said.contains(words) {
            wrong.push(format!("{name}: {said}"));
        }
        assert_eq!(look(host.path()), before, "{name}");
        assert_eq!(fs::read(beside.join("canary")).unwrap(), b"alive", "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(bench.store.list().unwrap(), [], "nothing of a refused image becomes a layer");
}

#[test]
fn device_files_are_left_out_and_counted() {
    let bench = Bench::new();
    let devices =
        [Entry::device("dev/null", (1, 3)), Entry::device("dev/sda", (8, 0)), Entry::odd(b'4', "dev/loop", "")];
    // One that would be a mark of overlayfs, for nothing that an image may hide.
    let forged = Entry::device("etc/passwd", (0, 0));
    let entries: Vec<_> = devices.into_iter().chain([forged, Entry::file("etc/hosts", "x")]).collect();
    let imported = bench.import_layers(&[tar(&entries)]).unwrap();
    assert_eq!(imported.devices_left_out, 4);
    let tree = bench.store.tree(&imported.layers[0]);
    assert!(!tree.join("dev/null").exists() && !tree.join("dev/sda").exists());
    assert!(fs::symlink_metadata(tree.join("etc/passwd")).is_err());
    assert!(tree.join("etc/hosts").exists());
}

#[test]
fn attributes_that_mean_something_to_the_host_are_left_out() {
    let bench = Bench::new();
    let mut capability = vec![1, 0, 0, 2];
    capability.resize(20, 0xff);
    let records: Vec<(&str, &[u8])> = vec![
        ("SCHILY.xattr.security.capability", &capability),
        ("SCHILY.xattr.security.selinux", b"system_u:object_r:etc_t:s0\0"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.mime", b"text\nplain"),
    ];
    let entries = [said(&records), Entry::file("a", "x").mode(0o6755)];
    let imported = bench.import_layers(&[tar(&entries)]).unwrap();
    assert_eq!(imported.attributes_left_out, 5);
    let file = bench.store.tree(&imported.layers[0]).join("a");
    let mut names = vec![0; 4096];
    let length = rustix::fs::listxattr(&file, &mut names).unwrap();
    assert_eq!(&names[..length], b"user.mime\0");
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(&file, "user.mime", &mut value).unwrap();
    assert_eq!(&value[..length], b"text\nplain");
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(&file).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o755, "set-id bits are off");
}

type Change = fn(&mut BTreeMap<&str, Value>);

#[test]
fn images_that_are_not_what_they_say_are_refused() {
    let bench = Bench::new();
    let layer = tar(&[Entry::file("a", "x")]);
    let with = |change: Change| layout_with(&bench.fresh(), &[(layer.clone(), layer.clone())], &change);
    let check = |name: &str, image: &Path, words: &str| {
        let error = bench.import(image).expect_err(name).to_string();
        assert!(error.contains(words), "{name}: {error}");
    };

    let diff_id = layout_packed(&bench.fresh(), &[(layer.clone(), tar(&[Entry::file("a", "y")]))]);
    check("another diff_id", &diff_id, "instead of");
    let changed = layout(&bench.fresh(), std::slice::from_ref(&layer));
    let blob = changed.join("blobs/sha256").join(hangar_image::oci::Digest::of(&layer).hex());
    let mut bytes = layer.clone();
    bytes.extend([0; 512]);
    fs::write(&blob, &bytes).unwrap();
    check("a blob that was changed behind its end", &changed, "instead of");
    fs::remove_file(&blob).unwrap();
    check("a blob that is missing", &changed, "is missing");
    std::os::unix::fs::symlink("/etc/passwd", &blob).unwrap();
    check("a blob that is a link to the host", &changed, "is missing");

    let cut = gzip(&layer);
    let cut = layout_packed(&bench.fresh(), &[(cut[..cut.len() - 12].to_vec(), layer.clone())]);
    check("a packed layer that is cut", &cut, "");
    check(
        "another architecture",
        &with(|d| {
            if !d.contains_key("manifest") {
                d.get_mut("config").unwrap()["architecture"] = json!("s390x")
            }
        }),
        "image for s390x",
    );
    check(
        "another system",
        &with(|d| {
            if !d.contains_key("manifest") {
                d.get_mut("config").unwrap()["os"] = json!("windows")
            }
        }),
        "image for windows",
    );
    check(
        "no diff_ids",
        &with(|d| {
            if !d.contains_key("manifest") {
                d.get_mut("config").unwrap()["rootfs"]["diff_ids"] = json!([])
            }
        }),
        "different numbers",
    );
    check(
        "another algorithm",
        &with(|d| {
            if let Some(index) = d.get_mut("index") {
                index["manifests"][0]["digest"] = json!("sha512:00")
            }
        }),
        "no sha256 digest",
    );
    check(
        "a digest that is a path",
        &with(|d| {
            if let Some(index) = d.get_mut("index") {
                index["manifests"][0]["digest"] = json!("sha256:../../../etc/passwd")
            }
        }),
        "no sha256 digest",
    );
    check(
        "no layers",
        &with(|d| {
            if let Some(manifest) = d.get_mut("manifest") {
                manifest["layers"] = json!([])
            }
        }),
        "no layers",
    );
    check(
        "too many layers",
        &with(|d| {
            if let Some(manifest) = d.get_mut("manifest") {
                let one = manifest["layers"][0].clone();
                manifest["layers"] = json!(vec![one; 201])
            }
        }),
        "200 layers",
    );
    check(
        "an encrypted layer",
        &with(|d| {
            if let Some(manifest) = d.get_mut("manifest") {
                manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+encrypted")
            }
        }),
        "is not supported",
    );
    check(
        "something else",
        &with(|d| {
            if let Some(manifest) = d.get_mut("manifest") {
                manifest["layers"][0]["mediaType"] = json!("application/vnd.cncf.helm.chart.content.v1")
            }
        }),
        "is not supported",
    );
    let not_json = with(|_| {});
    fs::write(not_json.join("index.json"), "{").unwrap();
    check("an index that is none", &not_json, "cannot be read");
    fs::write(not_json.join("index.json"), vec![b' '; 5 << 20]).unwrap();
    check("an index of megabytes", &not_json, "manifest or configuration");
    let nothing = bench.fresh().join("nothing");
    fs::write(&nothing, "hello").unwrap();
    check("no archive", &nothing, "");
    check("an empty directory", &bench.fresh(), "neither");
    assert_eq!(bench.store.list().unwrap(), [], "nothing of a refused image becomes a layer");
}

#[test]
fn a_bomb_is_stopped_by_its_ratio_by_its_bytes_and_by_its_files() {
    let bench = Bench::new();
    let small = Limits { bytes: 8 << 20, file_bytes: 8 << 20, files: 100, ratio: 50, ratio_from_bytes: 1 << 20 };
    let check = |name: &str, image: &Path, words: &str| {
        let error = bench.import_within(image, small).expect_err(name).to_string();
        assert!(error.contains(words), "{name}: {error}");
    };
    let zeros = tar(&[Entry::file("zeros", vec![0; 4 << 20])]);
    check("gzip", &layout_packed(&bench.fresh(), &[(gzip(&zeros), zeros.clone())]), "times the packed size");
    let squeezed = zstd::encode_all(&*zeros, 3).unwrap();
    check("zstd", &layout_packed(&bench.fresh(), &[(squeezed, zeros.clone())]), "times the packed size");
    let whole = gzip(&{
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir_all("", layout(&bench.fresh(), &[zeros])).unwrap();
        tar.into_inner().unwrap()
    });
    let file = bench.fresh().join("image.tar.gz");
    fs::write(&file, whole).unwrap();
    check("a packed archive", &file, "times the packed size");
    let nine = tar(&[Entry::file("a", vec![1; 5 << 20]), Entry::file("b", vec![1; 4 << 20])]);
    check("bytes", &layout(&bench.fresh(), &[nine]), "bytes in all files");
    let one = |name: &str| tar(&[Entry::file(name, vec![1; 5 << 20])]);
    check("bytes over several layers", &layout(&bench.fresh(), &[one("a"), one("b")]), "bytes in all files");
    let many: Vec<_> = (0..101).map(|n| Entry::file(format!("f{n}"), "")).collect();
    check("files", &layout(&bench.fresh(), &[tar(&many)]), "files");
    let again: Vec<_> = (0..101).map(|_| Entry::file("same", "")).collect();
    check("one file again and again", &layout(&bench.fresh(), &[tar(&again)]), "files");
}
