fail() { echo "$1"; exit 1; }
cargo test --offline --test try_split 2>&1 | tee out
grep -q "test result: ok. 4 passed" out || fail "try_split is not there or does not do what was asked"
cargo test --offline 2>&1 || fail "the crate's own tests fail"
cargo build --offline --no-default-features 2>&1 || fail "it does not build without default features"
