extern crate roman;

use roman::{from, from_any_case, to};

#[test]
fn every_number_is_read_in_capital_small_and_mixed_letters() {
    for n in 1..=roman::MAX {
        let text = to(n).unwrap();
        let mixed: String = text.chars().enumerate().map(|(i, c)| if i % 2 == 0 { c } else { c.to_ascii_lowercase() }).collect();
        for text in [text.clone(), text.to_lowercase(), mixed] {
            assert_eq!(from_any_case(&text), Some(n), "{text}");
        }
    }
    assert_eq!(from_any_case("mcmLXXXIV"), Some(1984));
}

#[test]
fn what_is_no_numeral_is_none() {
    for text in ["", "IIX", "iix", "iiii", "vx", "x ", " x", "abc", "ı", "ⅳ", "mmmm"] {
        assert_eq!(from_any_case(text), None, "{text}");
    }
}

#[test]
fn from_is_as_it_was() {
    assert_eq!((from("xiv"), from("XIV"), from("xIV")), (None, Some(14), None));
}
