//! Where and how the server listens.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use axum::http::Uri;
use hangar_protocol::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};

use super::{Shape, keys::section};

/// The port hangar listens on unless told otherwise.
const PORT: u16 = 7433;

section! {
    /// `[http]`: where and how the server listens.
    HttpConfig in "http" {
        /// The address to listen on. `0.0.0.0` listens on all; set `public_url` then, because only names known to the server are answered.
        host: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST), Shape::Text;
        /// The port to listen on; 0 takes a free one.
        port: u16 = PORT, Shape::Number("TCP port");
        /// The address people type, e.g. `https://hangar.example.org`, when it is not the one listened on. With `https` cookies are marked `Secure`.
        public_url: Option<PublicUrl> = None, Shape::Text;
        /// How long a request may take, streams and git transfers excepted.
        request_timeout_s: u32 = 60, Shape::Number("seconds");
        /// Largest body of an API request.
        body_bytes_max: u32 = 2 * 1024 * 1024, Shape::Number("bytes");
        /// API requests answered at the same time, streams excepted; more are refused with 429.
        requests_at_once_max: u32 = 512, Shape::Number("requests");
        /// Streams one person may hold open at the same time; more are refused with 429.
        streams_per_person_max: u32 = 200, Shape::Number("streams");
    }
}

/// The address people type: scheme, host and port, without a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl {
    secure: bool,
    authority: String,
}

impl PublicUrl {
    /// `host` or `host:port`, in lower case, as a browser sends it in `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether it begins with `https`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }
}

impl FromStr for PublicUrl {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = || {
            Refusal::new(
                RefusalCode::BadRequest,
                format!("{text:?} is not an address people could type."),
                "Write http.public_url as https://hangar.example.org or http://host:port, without a path.",
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?.as_str().to_lowercase();
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.contains('@');
        if bare { Ok(Self { secure, authority }) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = Refusal;

    fn try_from(text: String) -> Result<Self, Refusal> {
        text.parse()
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> String {
        url.to_string()
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }
}
