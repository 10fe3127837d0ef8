use strsim::{jaro, jaro_winkler};

fn near(expected: f64, found: f64) {
    assert!((expected - found).abs() < 0.0005, "{found} instead of {expected}");
}

#[test]
fn matches_far_apart_count_within_half_of_the_longer_text() {
    near(0.7778, jaro("abcdef", "cdabxyef"));
    near(0.5833, jaro("ab", "xxabxxyy"));
}

#[test]
fn the_order_does_not_matter() {
    for (a, b) in [("dwayne", "duane"), ("martha", "marhta"), ("dixon", "dicksonx"), ("ab", "xxabxxyy")] {
        near(jaro(a, b), jaro(b, a));
        near(jaro_winkler(a, b), jaro_winkler(b, a));
    }
}
