//! Hosts that are allowed together under one word.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::host::Target;

/// A built-in list of hosts. What is in it: `docs/network.md` and [`Group::patterns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Package registries of the common languages and of Debian and Ubuntu. Only those that serve published packages.
    Registries,
    /// `hangar.internal`: git of this session. It is always allowed; the group is there so that a list can say so.
    Forge,
    /// Where browsers, toolchains and their parts are downloaded by installers (Playwright, rustup, Node, uv's Pythons).
    Toolchains,
}

const REGISTRIES: &[&str] = &[
    "crates.io",
    "static.crates.io",
    "index.crates.io",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "npm.jsr.io",
    "jsr.io",
    "pypi.org",
    "files.pythonhosted.org",
    "proxy.golang.org",
    "sum.golang.org",
    "rubygems.org",
    "index.rubygems.org",
    "repo.maven.apache.org",
    "repo1.maven.org",
    "plugins.gradle.org",
    "api.nuget.org",
    "repo.packagist.org",
    "hex.pm",
    "repo.hex.pm",
    "pub.dev",
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "security.ubuntu.com",
    "ports.ubuntu.com",
    "dl-cdn.alpinelinux.org",
];
const FORGE: &[&str] = &[hangar_protocol::guest::BORDER_HOST];
const TOOLCHAINS: &[&str] = &[
    "static.rust-lang.org",
    "sh.rustup.rs",
    "nodejs.org",
    "go.dev",
    "dl.google.com",
    "astral.sh",
    "releases.astral.sh",
    "cdn.playwright.dev",
    "playwright.download.prss.microsoft.com",
    "mise.jdx.dev",
    "mise-versions.jdx.dev",
];

impl Group {
    /// All groups.
    pub const ALL: [Self; 3] = [Self::Registries, Self::Forge, Self::Toolchains];

    /// The word for it in `hangar.toml`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Registries => "registries",
            Self::Forge => "forge",
            Self::Toolchains => "toolchains",
        }
    }

    /// The hosts, as patterns. They are reached at the ports 80 and 443.
    #[must_use]
    pub fn patterns(self) -> &'static [&'static str] {
        match self {
            Self::Registries => REGISTRIES,
            Self::Forge => FORGE,
            Self::Toolchains => TOOLCHAINS,
        }
    }

    pub(crate) fn matches(self, target: &Target) -> bool {
        match target {
            Target::Name(name) => self.patterns().contains(&name.as_str()),
            Target::Address(_) => false,
        }
    }
}

impl FromStr for Group {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|group| group.word() == word).ok_or(())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostPattern;

    #[test]
    fn every_host_of_a_group_is_a_plain_name() {
        for group in Group::ALL {
            for pattern in group.patterns() {
                assert!(matches!(pattern.parse::<HostPattern>(), Ok(HostPattern::Name(_))), "{pattern}");
            }
            assert_eq!(group.word().parse(), Ok(group));
        }
    }
}
