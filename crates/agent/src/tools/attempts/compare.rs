//! `compare_attempts`: what each attempt of the newest round says and changed.

use async_trait::async_trait;
use hangar_protocol::limits::clip_bytes;
use serde_json::{Value, json};

use super::super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, sessions::told};
use crate::others::AttemptReport;

/// How much of all patches together a model is told, in bytes.
const PATCHES_BYTES_MAX: usize = 40 * 1024;

pub(in super::super) struct Compare(ToolSpec);

impl Compare {
    pub(in super::super) fn new() -> Self {
        Self(ToolSpec {
            name: "compare_attempts",
            description: "The attempts at this session's wish, those of the newest round: each one's state, last words and patch.",
            schema: json!({"type": "object", "properties": {}}),
        })
    }
}

#[async_trait]
impl Tool for Compare {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::Reads
    }

    fn uses_workspace(&self) -> bool {
        false
    }

    async fn run(&self, context: &CallContext<'_>, _input: Value) -> Result<ToolOutput, ToolError> {
        let attempts = context.sink.attempts().await?;
        let each = PATCHES_BYTES_MAX / attempts.len().max(1);
        let told: Vec<String> = attempts.iter().map(|attempt| in_words(attempt, each)).collect();
        Ok(ToolOutput::done(told.join("\n")))
    }
}

fn in_words(AttemptReport { report, patch }: &AttemptReport, bytes_max: usize) -> String {
    let patch = match patch {
        None => "It cannot be compared: it works still, or its files cannot be had.".to_owned(),
        Some(patch) if patch.is_empty() => "It changed nothing.".to_owned(),
        Some(patch) if patch.len() <= bytes_max => format!("patch:\n{patch}"),
        Some(patch) => {
            format!("patch, the first {bytes_max} of {} bytes:\n{}\n[…]", patch.len(), clip_bytes(patch, bytes_max))
        }
    };
    format!("{}{}\n", told(report), patch.trim_end())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;
    use crate::others::SessionReport;

    #[test]
    fn a_long_patch_is_cut_where_it_says_so() {
        let report = SessionReport {
            session: "first1".parse().unwrap(),
            repo: "acme/app".parse().unwrap(),
            branch: "hangar/first1".into(),
            title: "Mend".into(),
            phase: "done".into(),
            words: "I did.".into(),
            changes: None,
            pull_request: None,
        };
        let told = |patch: Option<&str>| {
            in_words(&AttemptReport { report: report.clone(), patch: patch.map(str::to_owned) }, 7)
        };
        assert!(told(None).ends_with("cannot be had.\n"));
        assert!(told(Some("")).ends_with("It changed nothing.\n"));
        assert!(told(Some("+one\n")).ends_with("last words:\nI did.\npatch:\n+one\n"));
        assert!(
            told(Some("+one\n+ü\n")).ends_with("patch, the first 7 of 9 bytes:\n+one\n+\n[…]\n"),
            "{}",
            told(Some("+one\n+ü\n"))
        );
    }
}
