//! What a child is called.

use hangar_protocol::{CallId, Refusal, RequestId, SessionId, TurnId};
use sha2::{Digest as _, Sha256};

/// Letters of a session's id. Without those that are easily misread.
const LETTERS: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyz";
/// Length of a session's id: about 59 bits.
const CHARS: usize = 12;

/// The id of the session that a call begins: the same for the same call.
pub(super) fn child_id(parent: &SessionId, turn: TurnId, call: &CallId) -> Result<SessionId, Refusal> {
    let mut number = number_of("child", parent, turn, call);
    let base = LETTERS.len() as u128;
    let mut id = String::with_capacity(CHARS);
    for _ in 0..CHARS {
        let letter = usize::try_from(number % base).unwrap_or_default();
        id.push(char::from(LETTERS[letter]));
        number /= base;
    }
    id.parse()
}

/// The id of the request with which a call says something to another session: the same for the same call.
pub(super) fn request_id(parent: &SessionId, turn: TurnId, call: &CallId) -> Result<RequestId, Refusal> {
    format!("agent-{:032x}", number_of("message", parent, turn, call)).parse()
}

fn number_of(what: &str, parent: &SessionId, turn: TurnId, call: &CallId) -> u128 {
    // No id holds a line break.
    let hash = Sha256::digest(format!("{what}\n{parent}\n{turn}\n{call}"));
    hash.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_same_call_has_the_same_child_and_another_has_another() {
        let id = |parent: &str, turn, call: &str| {
            child_id(&parent.parse().unwrap(), TurnId(turn), &call.parse().unwrap()).unwrap()
        };
        let one = id("abc123", 1, "call_1");
        assert_eq!(one, id("abc123", 1, "call_1"));
        assert_eq!(one.as_str().len(), CHARS);
        let others = [id("abc124", 1, "call_1"), id("abc123", 2, "call_1"), id("abc123", 1, "call_2")];
        assert!(others.iter().all(|other| *other != one));
        let says = request_id(&"abc123".parse().unwrap(), TurnId(1), &"call_1".parse().unwrap()).unwrap();
        assert_eq!(says, request_id(&"abc123".parse().unwrap(), TurnId(1), &"call_1".parse().unwrap()).unwrap());
    }
}
