extern crate strsim;

use strsim::{jaro, jaro_winkler};

fn near(expected: f64, found: f64) {
    assert!((expected - found).abs() < 0.0005, "{found} instead of {expected}");
}

#[test]
fn matches_far_apart_count_within_half_of_the_longer_text() {
    near(0.8333, jaro("abcd", "xxxabcdy"));
    near(0.7917, jaro("abc", "xxabcxxx"));
}

#[test]
fn the_order_does_not_matter() {
    for (a, b) in [("dwayne", "duane"), ("martha", "marhta"), ("dixon", "dicksonx"), ("abc", "xxabcxxx")] {
        near(jaro(a, b), jaro(b, a));
        near(jaro_winkler(a, b), jaro_winkler(b, a));
    }
}
