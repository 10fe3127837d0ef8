//! The images that containers start from: mount points, links, and the guest. Everything else is mounted.

use std::{collections::HashMap, path::Path};

use bollard::{Docker as Api, body_full, query_parameters as query};
use futures::TryStreamExt;
use tokio::sync::Mutex;

use super::{DOOR_INSIDE, LABEL, container::Root, daemon};
use crate::{backends::ground::GUEST, error::Error, namespace::slot};

/// Images of one engine. There is one for each set of names at the top of a root, hence hardly ever more than one or two.
pub(super) struct Images {
    api: Api,
    engine: String,
    made: Mutex<HashMap<Vec<u8>, String>>,
}

impl Images {
    pub(super) fn new(api: Api, engine: String) -> Self {
        Self { api, engine, made: Mutex::default() }
    }

    /// The image for this root; made where there is none yet.
    pub(super) async fn of(&self, root: &Root) -> Result<String, Error> {
        root.check()?;
        let archive = archive(root).map_err(Error::kernel("pack an image for Docker"))?;
        let mut made = self.made.lock().await;
        if let Some(name) = made.get(&archive) {
            return Ok(name.clone());
        }
        let (repo, tag) = (format!("hangar-{}", self.engine), made.len().to_string());
        let mut options = query::CreateImageOptionsBuilder::new().from_src("-").repo(&repo).tag(&tag).build();
        options.changes = vec![format!("LABEL {LABEL}={}", self.engine)];
        let progress = self.api.create_image(Some(options), Some(body_full(archive.clone().into())), None);
        progress.try_collect::<Vec<_>>().await.map_err(daemon("take the image"))?;
        let name = format!("{repo}:{tag}");
        made.insert(archive, name.clone());
        Ok(name)
    }
}

fn archive(root: &Root) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let header = |kind, mode| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(0);
        header
    };
    for name in root.directories.iter().map(String::as_str).chain([DOOR_INSIDE.trim_start_matches('/')]) {
        archive.append_data(&mut header(tar::EntryType::Directory, 0o755), format!("{name}/"), std::io::empty())?;
    }
    for (name, target) in &root.links {
        archive.append_link(&mut header(tar::EntryType::Symlink, 0o777), name, target)?;
    }
    let mut guest = header(tar::EntryType::Regular, 0o755);
    guest.set_size(slot::GUEST.len() as u64);
    archive.append_data(&mut guest, Path::new(GUEST.trim_start_matches('/')), slot::GUEST)?;
    archive.into_inner()
}

/// Removes the images of this engine.
pub(super) async fn sweep(api: &Api, engine: &str) -> Result<(), Error> {
    let ours = HashMap::from([("label".to_owned(), vec![format!("{LABEL}={engine}")])]);
    let options = query::ListImagesOptionsBuilder::new().all(true).filters(&ours).build();
    for image in api.list_images(Some(options)).await.map_err(daemon("list images"))? {
        let options = query::RemoveImageOptionsBuilder::new().force(true).build();
        if let Err(error) = api.remove_image(&image.id, Some(options), None).await {
            tracing::warn!(%error, image = image.id, "an image of hangar's stays with the Docker daemon");
        }
    }
    Ok(())
}
