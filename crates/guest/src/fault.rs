//! Why a slot could not be made or could not become a sandbox, in words that reach the operator.

/// The words.
#[derive(Debug)]
pub(crate) struct SetupError(String);

impl SetupError {
    pub(crate) fn new(message: String) -> Self {
        Self(message)
    }

    /// What was read is no order, or not the one that comes now.
    pub(crate) fn out_of_turn() -> Self {
        Self("an order came out of turn".into())
    }

    /// Turns a system error into one that says what was being done.
    pub(crate) fn at<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self(format!("cannot {what}: {error}"))
    }
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
