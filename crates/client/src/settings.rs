//! Where a person's hangars and tokens are kept: `~/.config/hangar/client.toml`, readable by that person alone.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use hangar_protocol::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};
use std::io::Write as _;

use crate::{client::parse_url, secret::Token};

/// Permission bits that would let somebody else read the tokens.
const OTHERS: u32 = 0o077;
/// The mode of a directory this program makes for the file.
const DIRECTORY_MODE: u32 = 0o700;
const HEADER: &str =
    "# Written by `hangar up` and `hangar login`. It holds tokens: keep it to yourself (mode 0600).\n\n";

/// The file's content: every hangar this person has signed in to, and which of them is meant when nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    default: Option<String>,
    #[serde(default)]
    servers: BTreeMap<String, Entry>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(hidden)")
    }
}

/// The hangar to talk to, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its address without a trailing slash.
    pub url: String,
    /// The person's token there.
    pub token: Token,
    /// Where the token came from, for error messages.
    pub origin: Origin,
}

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `HANGAR_TOKEN`.
    Environment,
    /// The settings file.
    File,
}

impl Settings {
    /// Where the file is: `$XDG_CONFIG_HOME/hangar/client.toml`, else `$HOME/.config/hangar/client.toml`.
    ///
    /// # Errors
    /// A refusal when neither variable is set.
    pub fn path() -> Result<PathBuf, Refusal> {
        let directory = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")));
        config.map(|config| config.join("hangar/client.toml")).ok_or_else(|| {
            Refusal::new(
                RefusalCode::Unauthenticated,
                "Neither HOME nor XDG_CONFIG_HOME is set, so there is no place for a token.",
                "Set HANGAR_URL and HANGAR_TOKEN, or HOME.",
            )
        })
    }

    /// Reads the file; a missing one is an empty one.
    ///
    /// # Errors
    /// A refusal when it cannot be read, is not of the right form, or others may read it.
    pub fn load(path: &Path) -> Result<Self, Refusal> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(cannot(path, "read", &error)),
        };
        let mode = fs::metadata(path).map_err(|error| cannot(path, "read", &error))?.permissions().mode();
        if mode & OTHERS != 0 {
            return Err(Refusal::new(
                RefusalCode::Forbidden,
                format!("{} holds tokens and others on this machine may read it.", path.display()),
                format!("Run `chmod 600 {}`.", path.display()),
            ));
        }
        // The parser's message would quote the line, and the line may hold the token: only the place is told.
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            Refusal::new(
                RefusalCode::BadRequest,
                format!("{} is not of the right form (line {line}).", path.display()),
                "Remove the file and sign in again with `hangar login`.",
            )
        })
    }

    /// Writes the file whole or not at all, readable by this person alone.
    ///
    /// # Errors
    /// A refusal when the disk or the permissions do not allow it.
    pub fn save(&self, path: &Path) -> Result<(), Refusal> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let text = toml::to_string(self).map_err(|error| {
            Refusal::new(RefusalCode::Internal, format!("The settings cannot be written as TOML: {error}."), "")
        })?;
        let write = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(parent)?;
            // A temporary file is made with mode 0600, so that the tokens are never readable by others, not even for a moment.
            let mut file = tempfile::NamedTempFile::new_in(parent)?;
            file.write_all(HEADER.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error| cannot(path, "write", &error))
    }

    /// Remembers a token and makes its server the one that is meant when nothing else is said. Gives back the server that
    /// was meant before, when it was another one.
    ///
    /// # Errors
    /// A refusal when `url` is not an address.
    pub fn remember(&mut self, url: &str, token: &Token) -> Result<Option<String>, Refusal> {
        let url = normal(url)?;
        self.servers.insert(url.clone(), Entry { token: token.reveal().to_owned() });
        Ok(self.default.replace(url.clone()).filter(|before| *before != url))
    }

    /// The token kept for a server.
    #[must_use]
    pub fn token_of(&self, url: &str) -> Option<Token> {
        let url = normal(url).ok()?;
        self.servers.get(&url).map(|entry| Token::new(&entry.token))
    }

    /// Chooses the server: `env_url` and `env_token` (the variables `HANGAR_URL` and `HANGAR_TOKEN`) win over the file. A
    /// token of the file is only ever sent to the address it was kept for.
    ///
    /// # Errors
    /// A refusal that says how to sign in.
    pub fn choose(&self, env_url: Option<&str>, env_token: Option<&str>) -> Result<Server, Refusal> {
        let given = |value: Option<&str>| value.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(url) = given(env_url).or_else(|| self.default.clone()) else {
            return Err(Refusal::new(
                RefusalCode::Unauthenticated,
                "This terminal knows no hangar yet.",
                "Start one with `hangar up`, or sign in to one with `hangar login --url URL`.",
            ));
        };
        let url = normal(&url)?;
        if let Some(token) = given(env_token) {
            return Ok(Server { url, token: Token::new(&token), origin: Origin::Environment });
        }
        match self.token_of(&url) {
            Some(token) => Ok(Server { url, token, origin: Origin::File }),
            None => Err(Refusal::new(
                RefusalCode::Unauthenticated,
                format!("There is no token for {url}."),
                format!("Run `hangar login --url {url}`, or set HANGAR_TOKEN."),
            )),
        }
    }

    /// Chooses the server as [`Settings::choose`] does, from this process's environment and this person's file.
    ///
    /// # Errors
    /// Those of [`Settings::load`] and [`Settings::choose`].
    pub fn discover() -> Result<Server, Refusal> {
        let url = std::env::var("HANGAR_URL").ok();
        let token = std::env::var("HANGAR_TOKEN").ok();
        let complete = [&url, &token].iter().all(|value| value.as_ref().is_some_and(|text| !text.trim().is_empty()));
        let settings = if complete { Self::default() } else { Self::load(&Self::path()?)? };
        settings.choose(url.as_deref(), token.as_deref())
    }
}

fn normal(url: &str) -> Result<String, Refusal> {
    Ok(parse_url(url)?.as_str().trim_end_matches('/').to_owned())
}

fn cannot(path: &Path, what: &str, error: &io::Error) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("Cannot {what} {}: {error}.", path.display()),
        "Check the directory's owner and free space, or set HANGAR_URL and HANGAR_TOKEN instead.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_servers() -> Settings {
        let mut settings = Settings::default();
        assert_eq!(settings.remember("https://hangar.example.com/", &Token::new("hgr_far")).unwrap(), None);
        let before = settings.remember("http://127.0.0.1:7433", &Token::new("hgr_near")).unwrap();
        assert_eq!(before.as_deref(), Some("https://hangar.example.com"));
        settings
    }

    #[test]
    fn a_token_is_only_sent_where_it_belongs() {
        let settings = two_servers();
        let chosen =
            |url, token| settings.choose(url, token).map(|server| (server.url, server.token.reveal().to_owned()));
        let pair = |url: &str, token: &str| Ok((url.to_owned(), token.to_owned()));
        assert_eq!(chosen(None, None), pair("http://127.0.0.1:7433", "hgr_near"));
        assert_eq!(chosen(Some("https://hangar.example.com"), None), pair("https://hangar.example.com", "hgr_far"));
        assert_eq!(chosen(Some("http://127.0.0.1:7433/"), Some("hgr_env")), pair("http://127.0.0.1:7433", "hgr_env"));
        assert_eq!(chosen(Some(""), Some("")), pair("http://127.0.0.1:7433", "hgr_near"));
        assert_eq!(chosen(Some("http://evil.example"), None).unwrap_err().code, RefusalCode::Unauthenticated);
        assert_eq!(Settings::default().choose(None, None).unwrap_err().code, RefusalCode::Unauthenticated);
        assert_eq!(Settings::default().choose(Some("nonsense"), Some("x")).unwrap_err().code, RefusalCode::BadRequest);
    }

    #[test]
    fn the_file_is_private_and_survives_the_round() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config/hangar/client.toml");
        assert_eq!(Settings::load(&path).unwrap(), Settings::default());
        two_servers().save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Settings::load(&path).unwrap(), two_servers());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Settings::load(&path).unwrap_err().code, RefusalCode::Forbidden);
    }

    #[test]
    fn a_broken_file_is_told_by_its_line_and_never_quoted() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("client.toml");
        let mut two = two_servers();
        two.save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap().replace("token = \"hgr_far\"", "token = hgr_far");
        fs::write(&path, text).unwrap();
        let refusal = Settings::load(&path).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::BadRequest);
        assert!(!refusal.to_string().contains("hgr_far"), "{refusal}");
        assert!(refusal.message.contains("(line "), "{refusal}");
        two.servers.clear();
        assert!(!format!("{:?}", two_servers()).contains("hgr_"), "tokens are not printed");
    }
}
