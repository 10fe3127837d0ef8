//! `hangar allow`: let a session's sandbox reach a place.

use clap::Args;
use hangar_protocol::{Refusal, RefusalCode, state::Place};

use super::{
    connect,
    ended::{Ended, Outcome},
    terminal::{Look, Terminal},
    which_session::which_session,
};

/// Where a host is given without a port.
const HTTPS: u16 = 443;

/// Let a session's sandbox reach a host, for as long as the session lives
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar allow k3x9 docs.example.org        port 443
  hangar allow k3x9 db.example.org:5432")]
pub(super) struct Allow {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,
    /// The host, with a port where it is not 443.
    #[arg(value_name = "HOST[:PORT]")]
    place: String,
}

impl Allow {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let place = place(&self.place)?;
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        client.allow_network(&session, &place).await?;
        if terminal.is_json() {
            terminal.json(&place)?;
        } else {
            let Place { host, port } = place;
            terminal.remark(Look::Good, &format!("The sandbox of session {session} may reach {host}:{port} now."));
        }
        Ok(Ended::Well)
    }
}

fn place(text: &str) -> Result<Place, Refusal> {
    let (host, port) = match text.rsplit_once(':') {
        // More than one colon without brackets: an IPv6 address.
        Some((before, _)) if before.contains(':') && !before.starts_with('[') => (text, Some(HTTPS)),
        Some((host, port)) => (host, port.parse().ok()),
        None => (text, Some(HTTPS)),
    };
    let port = port.filter(|port| *port > 0).ok_or_else(|| {
        Refusal::new(RefusalCode::BadRequest, format!("“{text}” has no usable port."), "Write HOST or HOST:PORT.")
    })?;
    Ok(Place { host: host.trim_matches(['[', ']']).to_ascii_lowercase(), port })
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, expect) in [
            ("Docs.example.org", Some(("docs.example.org", 443))),
            ("db.example.org:5432", Some(("db.example.org", 5432))),
            ("[2001:db8::1]:80", Some(("2001:db8::1", 80))),
            ("2001:db8::1", Some(("2001:db8::1", 443))),
            ("example.org:", None),
            ("example.org:0", None),
            ("example.org:70000", None),
        ] {
            let read = place(text).ok();
            assert_eq!(read.as_ref().map(|place| (place.host.as_str(), place.port)), expect, "{text}");
        }
    }
}
