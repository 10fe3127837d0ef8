//! Jupyter notebooks as text: cells in order, with what they put out (<https://nbformat.readthedocs.io>, version 4).

use serde_json::Value;

/// The ending of a notebook's name.
pub(super) const ENDING: &str = ".ipynb";

/// A notebook as it reads. `None` where the file is none, so that it is shown as the text that it is.
pub(super) fn as_text(file: &str) -> Option<String> {
    let notebook: Value = serde_json::from_str(file).ok()?;
    let cells = notebook["cells"].as_array()?;
    let language = notebook["metadata"]["language_info"]["name"].as_str().unwrap_or("code");
    let mut text = String::new();
    for (number, cell) in (1..).zip(cells) {
        let kind = match cell["cell_type"].as_str() {
            Some("code") => language,
            Some(other) => other,
            None => "unknown",
        };
        text.push_str(&format!("# Cell {number}: {kind}\n"));
        push(&mut text, &joined(&cell["source"]));
        for output in cell["outputs"].as_array().into_iter().flatten() {
            text.push_str("# Output:\n");
            push(&mut text, &put_out(output));
        }
        text.push('\n');
    }
    if text.is_empty() {
        text.push_str("(the notebook has no cells)\n");
    }
    text.push_str(
        "# This is how the notebook reads. Its file is JSON: change it with a program, such as python3 with json.\n",
    );
    Some(text)
}

fn push(text: &mut String, more: &str) {
    text.push_str(more);
    if !more.is_empty() && !more.ends_with('\n') {
        text.push('\n');
    }
}

/// Text that a notebook has in one piece or as a list of lines.
fn joined(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn put_out(output: &Value) -> String {
    match output["output_type"].as_str() {
        Some("stream") => joined(&output["text"]),
        Some("error") => {
            let word = |name: &str| output[name].as_str().unwrap_or_default();
            format!("{}: {}", word("ename"), word("evalue"))
        }
        Some(_) | None => {
            let plain = joined(&output["data"]["text/plain"]);
            let kinds = output["data"].as_object().into_iter().flat_map(|data| data.keys());
            let others: Vec<&str> = kinds.map(String::as_str).filter(|kind| *kind != "text/plain").collect();
            match others.as_slice() {
                [] => plain,
                others => format!("{}\n[left out: {}]", plain.trim_end(), others.join(", ")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_outputs_read_in_order() {
        let file = serde_json::json!({"nbformat": 4, "metadata": {"language_info": {"name": "python"}}, "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "words"]},
            {"cell_type": "code", "source": "1 + 1", "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["hi\n"]},
                {"output_type": "execute_result", "data": {"text/plain": "2", "image/png": "iVBOR"}},
                {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []},
            ]},
        ]});
        let text = as_text(&file.to_string()).unwrap();
        let expect = "# Cell 1: markdown\n# Title\nwords\n\n# Cell 2: python\n1 + 1\n# Output:\nhi\n# Output:\n2\n[left out: image/png]\n# Output:\nValueError: no\n\n";
        assert!(text.starts_with(expect), "{text}");
        assert_eq!(as_text("{}"), None);
        assert_eq!(as_text("no JSON"), None);
    }
}
