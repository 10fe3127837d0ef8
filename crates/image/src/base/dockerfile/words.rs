//! The words of instructions: variables, quotes, pairs.

use std::collections::BTreeMap;

/// Variables an instruction sees.
pub(super) type Variables = BTreeMap<String, String>;

/// Fills in `$name`, `${name}`, `${name:-default}` and `${name:+other}`; an unknown name is empty. A backslash takes the meaning from a dollar sign.
pub(super) fn filled(text: &str, variables: &Variables) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        filled.push_str(&rest[..at]);
        let special = &rest[at..];
        if let Some(after) = special.strip_prefix("\\$") {
            filled.push('$');
            rest = after;
        } else if let Some(after) = special.strip_prefix('\\') {
            filled.push('\\');
            rest = after;
        } else if let Some(inside) = special.strip_prefix("${") {
            let end = closing(inside).ok_or_else(|| format!("`{special}` has no closing brace"))?;
            filled.push_str(&braced(&inside[..end], variables)?);
            rest = &inside[end + 1..];
        } else {
            let name = &special[1..];
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            match &name[..end] {
                "" => filled.push('$'),
                name => filled.push_str(variables.get(name).map_or("", String::as_str)),
            }
            rest = &name[end..];
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Where the brace that closes this text is.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })
}

fn braced(inside: &str, variables: &Variables) -> Result<String, String> {
    let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, how) = inside.split_at(end);
    let value = variables.get(name).map(String::as_str);
    let full = value.filter(|value| !value.is_empty());
    if how.is_empty() && !name.is_empty() {
        return Ok(value.unwrap_or_default().to_owned());
    }
    if let Some(default) = how.strip_prefix(":-") {
        return full.map_or_else(|| filled(default, variables), |value| Ok(value.to_owned()));
    }
    if let Some(default) = how.strip_prefix('-') {
        return value.map_or_else(|| filled(default, variables), |value| Ok(value.to_owned()));
    }
    if let Some(other) = how.strip_prefix(":+") {
        return full.map_or_else(|| Ok(String::new()), |_| filled(other, variables));
    }
    Err(format!("`${{{inside}}}` is a way to fill in a variable that is not supported"))
}

/// Splits at white space outside of quotes; quotes and backslashes are taken off, variables filled in outside of single quotes.
pub(super) fn split(text: &str, variables: &Variables) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.trim();
    while let Some(c) = rest.chars().next() {
        match c {
            c if c.is_whitespace() => {
                words.extend(word.take());
                rest = rest.trim_start();
            }
            '\'' => {
                let (inside, after) =
                    rest[1..].split_once('\'').ok_or_else(|| format!("`{text}` has a quote that does not end"))?;
                word.get_or_insert_default().push_str(inside);
                rest = after;
            }
            '"' => {
                let inside = &rest[1..];
                let end = unescaped(inside, '"').ok_or_else(|| format!("`{text}` has a quote that does not end"))?;
                let inner = inside[..end].replace("\\\"", "\"");
                word.get_or_insert_default().push_str(&filled(&inner, variables)?);
                rest = &inside[end + 1..];
            }
            _ => {
                let end = bare_end(rest);
                let bare = &rest[..end];
                // A backslash keeps the space or quote behind it; one before a dollar sign is for `filled`.
                let mut kept = String::new();
                let mut characters = bare.chars().peekable();
                while let Some(c) = characters.next() {
                    if c == '\\' && characters.peek().is_some_and(|next| *next != '$') {
                        kept.extend(characters.next());
                    } else {
                        kept.push(c);
                    }
                }
                word.get_or_insert_default().push_str(&filled(&kept, variables)?);
                rest = &rest[end..];
            }
        }
    }
    words.extend(word);
    Ok(words)
}

/// Where a run of plain characters ends: at a space or quote that has no backslash, and not inside braces of a variable.
fn bare_end(text: &str) -> usize {
    let mut escaped = false;
    let mut braces = 0;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' if text[..at].ends_with('$') => braces += 1,
            '}' if braces > 0 => braces -= 1,
            c if braces == 0 && (c.is_whitespace() || c == '"' || c == '\'') => return at,
            _ => {}
        }
    }
    text.len()
}

fn unescaped(text: &str, wanted: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let found = !escaped && c == wanted;
        escaped = !escaped && c == '\\';
        found.then_some(at)
    })
}

/// Pairs of `ENV`, `LABEL` and `ARG`: `name=value name="other value"`, or for `ENV` of old `name value`.
pub(super) fn pairs(text: &str, variables: &Variables) -> Result<Vec<(String, String)>, String> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) =
            text.trim().split_once(char::is_whitespace).ok_or_else(|| format!("`{text}` has no value"))?;
        return Ok(vec![(name.to_owned(), split(value, variables)?.join(" "))]);
    }
    let words = split(text, variables)?;
    let pair = |word: &String| {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` has no value"))?;
        if name.is_empty() { Err(format!("`{word}` has no name")) } else { Ok((name.to_owned(), value.to_owned())) }
    };
    words.iter().map(pair).collect()
}

/// A command's lines as one: what continues is joined, and lines between that are comments or empty are left out.
pub(super) fn joined(text: &str, escape: char) -> String {
    let mut joined = String::new();
    let mut continues = false;
    for line in text.lines() {
        if continues && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        match line.trim_end().strip_suffix(escape) {
            Some(part) => {
                joined.push_str(part);
                continues = true;
            }
            None => {
                joined.push_str(line);
                joined.push('\n');
                continues = false;
            }
        }
    }
    joined.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("A", "one"), ("EMPTY", ""), ("PATH", "/bin")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn variables_are_filled_in() {
        for (text, expected) in [
            ("$A-${A}b$", "one-oneb$"),
            ("$MISSING|${MISSING}", "|"),
            ("${MISSING:-x$A}|${EMPTY:-y}|${EMPTY-z}|${A:+there}|${EMPTY:+there}", "xone|y||there|"),
            ("\\$A \\n", "$A \\n"),
            ("/opt:$PATH", "/opt:/bin"),
            ("${MISSING:-${A}}", "one"),
            ("é$A", "éone"),
        ] {
            assert_eq!(filled(text, &variables()).unwrap(), expected, "{text}");
        }
        for text in ["${A", "${A:?no}", "${}", "${A/x/y}"] {
            assert!(filled(text, &variables()).is_err(), "{text}");
        }
    }

    #[test]
    fn pairs_are_split_as_docker_does() {
        let of = |text: &str| pairs(text, &variables()).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            of("X=1 Y=\"two words\" Z='$A' W=\"$A\""),
            [pair("X", "1"), pair("Y", "two words"), pair("Z", "$A"), pair("W", "one")]
        );
        assert_eq!(of("X=a\\ b Y=${MISSING:-c d}"), [pair("X", "a b"), pair("Y", "c d")]);
        assert_eq!(of("X some words $A"), [pair("X", "some words one")]);
        assert_eq!(of("X=\"say \\\"hi\\\"\" Y="), [pair("X", "say \"hi\""), pair("Y", "")]);
        for text in ["X", "X=1 Y", "=1", "X=\"open"] {
            assert!(pairs(text, &variables()).is_err(), "{text}");
        }
    }

    #[test]
    fn lines_are_joined_without_their_comments() {
        assert_eq!(joined("a && \\\n  # why\n\n  b \\  \n  c", '\\'), "a &&   b   c");
        assert_eq!(joined("a `\nb", '`'), "a b");
    }
}
