//! What is mounted into one sandbox: gathered as descriptors or as paths, whichever the rights allow.

use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use hangar_protocol::guest::{
    HOME, WORKSPACE,
    setup::{Access, Mount, Source},
};

use crate::{
    error::Error,
    mounts::{self, Allow},
    rights::Rights,
    slot::IdRange,
    spec::SandboxSpec,
};

/// Gathers mounts, as descriptors or as paths, whichever the rights allow.
pub(crate) struct Plan {
    pub rights: Rights,
    pub mounts: Vec<Mount>,
    pub descriptors: Vec<OwnedFd>,
}

impl Plan {
    pub(crate) fn bind(&mut self, target: &str, path: &Path, allow: Allow) -> Result<(), Error> {
        match self.rights {
            Rights::Root => self.descriptor(target, mounts::copy(path, allow)?, path.is_dir()),
            Rights::Rootless => {
                let access = match allow {
                    Allow::Read => Access::ReadOnly,
                    Allow::Write => Access::ReadWrite,
                    Allow::Device => Access::Device,
                };
                self.fresh(target, Source::Bind { path: path.to_string_lossy().into_owned(), access });
            }
        }
        Ok(())
    }

    pub(crate) fn fresh(&mut self, target: &str, source: Source) {
        self.mounts.push(Mount { target: target.into(), source });
    }

    fn descriptor(&mut self, target: &str, mount: OwnedFd, directory: bool) {
        let index = self.descriptors.len();
        self.descriptors.push(mount);
        self.fresh(target, Source::Fd { index, directory });
    }

    /// The workspace and the home.
    pub(crate) fn session(&mut self, spec: &SandboxSpec, range: IdRange, stage: &Path) -> Result<(), Error> {
        let session = Session::of(&spec.session_dir);
        session.make(&spec.session_dir, self.rights)?;
        match self.rights {
            Rights::Root => {
                self.descriptor(HOME, mounts::home(&session.home, range)?, true);
                self.descriptor(WORKSPACE, mounts::workspace(&spec.clone, &session.changes, range, stage)?, true);
            }
            Rights::Rootless => {
                let text = |path: &Path| path.to_string_lossy().into_owned();
                self.fresh(HOME, Source::Bind { path: text(&session.home), access: Access::ReadWrite });
                let source = Source::Overlay {
                    lower: vec![text(&spec.clone)],
                    upper: text(&session.changes.join("upper")),
                    work: text(&session.changes.join("work")),
                };
                self.fresh(WORKSPACE, source);
            }
        }
        Ok(())
    }
}

/// The directories of a session on the host.
pub(crate) struct Session {
    /// `upper` and `work` of the overlay.
    pub changes: PathBuf,
    /// The agent's home.
    pub home: PathBuf,
}

impl Session {
    pub(crate) fn of(directory: &Path) -> Self {
        Self { changes: directory.join("workspace"), home: directory.join("home") }
    }

    /// Makes what is missing.
    fn make(&self, directory: &Path, rights: Rights) -> Result<(), Error> {
        if !directory.is_dir() {
            fs::create_dir_all(directory).map_err(Error::host(directory))?;
            // What is below belongs to ids that own nothing; still nobody else on the host needs to read it.
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(Error::host(directory))?;
        }
        for directory in [self.changes.join("upper"), self.changes.join("work"), self.home.clone()] {
            if directory.is_dir() {
                continue;
            }
            fs::create_dir_all(&directory).map_err(Error::host(&directory))?;
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).map_err(Error::host(&directory))?;
            match rights {
                Rights::Root => {
                    let agent = IdRange::DISK.agent();
                    std::os::unix::fs::chown(&directory, Some(agent), Some(agent)).map_err(Error::host(&directory))?;
                }
                Rights::Rootless => {}
            }
        }
        Ok(())
    }
}
