extern crate shlex;

use shlex::{split, try_split, SplitError};

#[test]
fn good_inputs_are_split_as_ever() {
    for text in ["", "a b", "a 'b c' \"d\\\"e\"", "a\\ b", "# comment 'x\nword", "\\\\", "'\\'", "a # '"] {
        assert_eq!(try_split(text).ok(), split(text), "{text:?}");
        assert!(split(text).is_some());
    }
}

#[test]
fn open_quotes_are_told() {
    for text in ["'", "\"", "a 'b", "a \"b", "\"a\\", "'a\\", "\"a\\\"", "x'\"", "a 'b \\"] {
        assert_eq!(try_split(text), Err(SplitError::UnclosedQuote), "{text:?}");
    }
}

#[test]
fn a_backslash_at_the_end_is_told() {
    for text in ["\\", "a \\", "a\\", "'a'\\", "\\\\\\", "\"x\" y\\"] {
        assert_eq!(try_split(text), Err(SplitError::TrailingBackslash), "{text:?}");
    }
}

#[test]
fn it_is_an_error_with_words() {
    let error: Box<dyn std::error::Error> = Box::new(SplitError::UnclosedQuote);
    assert!(!error.to_string().is_empty());
    assert_ne!(error.to_string(), SplitError::TrailingBackslash.to_string());
    let copy = SplitError::UnclosedQuote;
    assert_eq!(copy.clone(), copy);
}
