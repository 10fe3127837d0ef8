//! The environment of an image: the recipe's words with the base's own values filled in.

use std::collections::BTreeMap;

use hangar_sandbox::{Error, ExecSpec, Sandbox};

/// What commands in this sandbox start with.
pub(super) async fn of_sandbox(sandbox: &Sandbox) -> Result<BTreeMap<String, String>, Error> {
    let collected = sandbox.exec(&ExecSpec::shell("env -0").timeout_ms(10_000)).await?;
    let text = String::from_utf8_lossy(&collected.stdout).into_owned();
    Ok(text
        .split('\0')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect())
}

/// Fills `${NAME}` in; a name the base does not have becomes nothing. Everything else stays as it is, `$NAME` included.
pub(super) fn filled(wanted: &BTreeMap<String, String>, base: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    wanted.iter().map(|(name, text)| (name.clone(), fill(text, base))).collect()
}

fn fill(text: &str, base: &BTreeMap<String, String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("${") {
        let Some(end) = rest[at..].find('}').map(|end| at + end) else { break };
        out.push_str(&rest[..at]);
        out.push_str(base.get(&rest[at + 2..end]).map_or("", String::as_str));
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let base = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
        for (text, expected) in [
            ("/x:${PATH}", "/x:/bin"),
            ("${PATH}${PATH}", "/bin/bin"),
            ("${NONE}!", "!"),
            ("$PATH ${", "$PATH ${"),
            ("plain", "plain"),
        ] {
            assert_eq!(fill(text, &base), expected);
        }
    }
}
