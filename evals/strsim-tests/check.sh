# Good tests pass on the crate as it is, and fail on each of these.
fail() { echo "$1"; exit 1; }
[ -s tests/distances.rs ] || fail "there is no tests/distances.rs"
cp src/lib.rs good.rs
cargo test --offline --test distances > out 2>&1 || { cat out; fail "the tests fail on the crate as it is"; }
grep -qE "test result: ok. [1-9]" out || fail "there is no test in it"
mutate() {
    cp good.rs src/lib.rs
    sed -i "$2" src/lib.rs
    ! cmp -s good.rs src/lib.rs || fail "the check is out of date: $1"
    cargo build --offline > out 2>&1 || { cat out; fail "the check does not compile: $1"; }
    ! cargo test --offline --test distances > out 2>&1 || fail "the tests do not catch: $1"
}
line() { grep -n "$1" good.rs | head -1 | cut -d: -f1; }
osa=$(line '^pub fn osa_distance')
damerau=$(line '^pub fn damerau_levenshtein')
mutate "osa_distance that sees no transposition" "$osa,\$ s/if i > 0 \&\& j > 0 \&\& a_char != b_char/if i > 9999 \&\& j > 0 \&\& a_char != b_char/"
mutate "osa_distance in which a substitution costs 2" "$osa,\$ s/let cost = usize::from(a_char != b_char);/let cost = 2 * usize::from(a_char != b_char);/"
mutate "damerau_levenshtein that is osa_distance" "$damerau,\$ s/^pub fn damerau_levenshtein(a: \&str, b: \&str) -> usize {/&\n    if true { return osa_distance(a, b); }/"
mutate "damerau_levenshtein that counts bytes" "$damerau,\$ s/^pub fn damerau_levenshtein(a: \&str, b: \&str) -> usize {/&\n    if a.is_empty() { return b.len(); }/"
mutate "osa_distance that counts bytes" "$osa,\$ s/let b_len = b.chars().count();/let b_len = b.len();/"
