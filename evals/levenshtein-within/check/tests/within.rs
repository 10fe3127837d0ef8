extern crate levenshtein;

use levenshtein::{levenshtein, levenshtein_within};

#[test]
fn it_agrees_with_the_whole_distance() {
    let texts = ["", "a", "ab", "ba", "kitten", "sitting", "saturday", "sunday", "Привет", "Приветы", "a\u{1f600}b", "aaaaaaaaaa", "bbbb"];
    for a in texts {
        for b in texts {
            let whole = levenshtein(a, b);
            for max in [0, 1, 2, 3, 4, 7, 20, usize::MAX / 4] {
                assert_eq!(levenshtein_within(a, b, max), Some(whole).filter(|it| *it <= max), "{a:?} {b:?} {max}");
            }
        }
    }
}

#[test]
fn long_texts_that_are_close_take_seconds() {
    let a = "abcdefghij".repeat(100_000);
    let b = format!("x{}", &a[..a.len() - 1]);
    assert_eq!(levenshtein_within(&a, &b, 3), Some(2));
    assert_eq!(levenshtein_within(&a, &b, 1), None);
}

#[test]
fn long_texts_that_differ_take_seconds() {
    let (a, b) = ("ab".repeat(500_000), "ba".repeat(500_000) + "c");
    assert_eq!(levenshtein_within(&a, &b, 0), None);
    assert_eq!(levenshtein_within(&a, "short", 8), None);
    assert_eq!(levenshtein_within(&a, &"c".repeat(1_000_000), 8), None);
}
