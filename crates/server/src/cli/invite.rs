//! `hangar invite` and `hangar join`: links by which people become members of a session.

use clap::Args;
use hangar_protocol::{
    InvitationId, SessionId,
    api::{InvitationInfo, NewInvitation},
    limits::INVITATION_LIFE_S_MAX,
};

use super::{
    bad_request, connect,
    ended::{Ended, Failure, Outcome},
    members::GivenRole,
    table::{Cell, columns},
    terminal::{Look, Terminal},
    which_session::which_session,
    words,
};

/// Make a link by which people join a session, or list and take back those that are open.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar invite k3x9 --role viewer --for 7d
  hangar invite k3x9 --ls
  hangar invite k3x9 --revoke 2")]
pub(super) struct Invite {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// What whoever joins may do.
    #[arg(long, value_enum, default_value_t = GivenRole::Viewer)]
    role: GivenRole,

    /// How long the link works: a number of minutes (m), hours (h) or days (d), at most 30d.
    #[arg(long = "for", value_name = "TIME", value_parser = seconds, default_value = "7d")]
    life_s: u32,

    /// List the links that are open.
    #[arg(long, conflicts_with = "revoke")]
    ls: bool,

    /// Take a link back.
    #[arg(long, value_name = "NUMBER")]
    revoke: Option<u32>,
}

/// Join a session by a link that somebody gave you.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar join http://127.0.0.1:7433/join/k3x9ab2m4p7q#5f0c…")]
pub(super) struct Join {
    /// The link.
    #[arg(value_name = "LINK")]
    link: String,
}

impl Invite {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        if let Some(number) = self.revoke {
            client.revoke_invitation(&session, InvitationId(number)).await?;
            if terminal.is_json() {
                terminal.json(&serde_json::json!({"session": session, "revoked": number}))?;
            } else {
                terminal.remark(Look::Good, &format!("Invitation {number} lets nobody in any more."));
            }
            return Ok(Ended::Well);
        }
        if self.ls {
            return list(&client.invitations(&session).await?, terminal);
        }
        let new = NewInvitation { role: self.role.into(), expires_in_s: Some(self.life_s) };
        let link = client.invite(&session, &new).await?;
        if terminal.is_json() {
            terminal.json(&link)?;
            return Ok(Ended::Well);
        }
        terminal.line(&link.url)?;
        let (role, until) = (link.info.role.word(), words::date(link.info.expires_ms));
        let number = link.info.id;
        terminal.remark(
            Look::Faint,
            &format!("Whoever joins by it is a {role}. It works until {until}; `hangar invite {session} --revoke {number}` takes it back."),
        );
        Ok(Ended::Well)
    }
}

fn list(invitations: &[InvitationInfo], terminal: &mut Terminal) -> Outcome {
    if terminal.is_json() {
        terminal.json(&invitations)?;
        return Ok(Ended::Well);
    }
    let rows: Vec<[Cell; 4]> = invitations
        .iter()
        .map(|invitation| {
            [
                (Look::Strong, invitation.id.to_string()),
                (Look::Plain, invitation.role.word().to_owned()),
                (Look::Plain, format!("by {}", invitation.by)),
                (Look::Faint, format!("until {}", words::date(invitation.expires_ms))),
            ]
        })
        .collect();
    for line in columns(terminal.painter(), &rows) {
        terminal.line(&line)?;
    }
    Ok(Ended::Well)
}

impl Join {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let (session, secret) = parts(&self.link, client.url())?;
        let joined = client.join(&session, secret).await?;
        if terminal.is_json() {
            terminal.json(&joined)?;
        } else {
            let role = joined.role.word();
            terminal.remark(Look::Good, &format!("You are a {role} of session {session}: `hangar attach {session}`"));
        }
        Ok(Ended::Well)
    }
}

/// The session and the secret of a link. A link of another server must not carry its secret to this one.
fn parts<'a>(link: &'a str, server: &str) -> Result<(SessionId, &'a str), Failure> {
    let (address, path) = link.split_once("/join/").ok_or_else(no_link)?;
    let (session, secret) = path.split_once('#').ok_or_else(no_link)?;
    if address.trim_end_matches('/') != server {
        return Err(bad_request(
            format!("This link is of {address}, and you are signed in at {server}."),
            "Choose the server with HANGAR_URL, or open the link in a browser.",
        ));
    }
    Ok((session.parse()?, secret))
}

fn no_link() -> Failure {
    bad_request(
        "This is no link to a session.",
        "It looks like http://HOST/join/SESSION#SECRET; quote it for the shell.",
    )
}

/// `30m`, `12h`, `7d`.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || "write a number of minutes, hours or days, such as 30m, 12h or 7d".to_owned();
    let unit_at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let unit_s = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let seconds = number.checked_mul(unit_s).filter(|seconds| (1..=INVITATION_LIFE_S_MAX).contains(seconds));
    seconds.ok_or_else(|| "a link works for 30 days at most".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_an_end() {
        for (text, expected) in
            [("30m", Some(1_800)), ("12h", Some(43_200)), ("7d", Some(604_800)), ("30d", Some(2_592_000))]
        {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
        for text in ["", "7", "d", "0d", "31d", "7w", "-1d", "9999999999d", "7ä"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_link_of_another_server_stays_with_this_one() {
        let good = "http://127.0.0.1:7433/join/abc#5f";
        assert_eq!(parts(good, "http://127.0.0.1:7433").unwrap(), ("abc".parse().unwrap(), "5f"));
        for (link, server) in
            [(good, "http://other"), ("http://127.0.0.1:7433/join/abc", "http://127.0.0.1:7433"), ("x", "x")]
        {
            assert!(parts(link, server).is_err(), "{link}");
        }
    }
}
