# The crate's own tests, as they were published, and more pairs.
fail() { echo "$1"; exit 1; }
cargo test --offline 2>&1 || fail "the crate's own tests fail"
cargo test --offline --test pairs 2>&1 | grep -q "test result: ok. 2 passed" || fail "Jaro similarities are wrong for other pairs"
