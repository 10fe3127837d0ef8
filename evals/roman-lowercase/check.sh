fail() { echo "$1"; exit 1; }
cargo test --offline --test any_case 2>&1 | tee out
grep -q "test result: ok. 3 passed" out || fail "from_any_case is not there or does not do what was asked"
cargo test --offline 2>&1 || fail "the crate's own tests fail"
grep -q '^pub fn from_any_case' src/lib.rs && grep -B25 '^pub fn from_any_case' src/lib.rs | grep -q '/// ```' || fail "from_any_case has no example"
