//! Users by name or number, as the stack of layers knows them.

use crate::{base::account, oci::layer::merged::Merged};

/// Whom a command runs as, or whose a file becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    pub home: String,
}

/// Highest id a sandbox has.
const ID_MAX: u32 = 65_535;

impl User {
    /// Reads `user`, `user:group`, `id`, `id:id`; empty is root.
    pub(super) fn find(words: &str, layers: &Merged) -> Result<Self, String> {
        let (user, group) = words.split_once(':').map_or((words, ""), |(user, group)| (user, group));
        let passwd = account::read(layers, "etc/passwd").unwrap_or_default();
        let entries: Vec<Vec<&str>> = passwd.lines().map(|line| line.split(':').collect()).collect();
        let entry = entries.iter().find(|entry| entry.first() == Some(&user) || entry.get(2) == Some(&user));
        let mut found = match (entry, number(user)) {
            _ if user.is_empty() => Self { uid: 0, gid: 0, name: "root".into(), home: "/root".into() },
            (Some(entry), _) => {
                let field = |index: usize| entry.get(index).copied().unwrap_or_default();
                let ids = number(field(2)).zip(number(field(3)));
                let (uid, gid) = ids.ok_or_else(|| format!("the user `{user}` has no id that a sandbox has"))?;
                Self { uid, gid, name: field(0).into(), home: field(5).into() }
            }
            (None, Some(uid)) => Self { uid, gid: 0, name: user.into(), home: "/".into() },
            (None, None) => return Err(format!("there is no user `{user}` in `/etc/passwd`")),
        };
        if !group.is_empty() {
            let groups = account::read(layers, "etc/group").unwrap_or_default();
            let by_name = groups.lines().find_map(|line| {
                let mut fields = line.split(':');
                (fields.next() == Some(group)).then(|| fields.nth(1).and_then(number)).flatten()
            });
            found.gid = by_name
                .or_else(|| number(group))
                .ok_or_else(|| format!("there is no group `{group}` in `/etc/group`"))?;
        }
        Ok(found)
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= ID_MAX)
}
