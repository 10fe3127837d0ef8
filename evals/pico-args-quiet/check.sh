fail() { echo "$1"; exit 1; }
cargo build --offline --example app 2>&1 || fail "it does not build"
run() { ./target/debug/examples/app "$@"; }
run --number 5 --output there in > said 2> err || fail "--output is not understood"
grep -q '"there"' said && [ ! -s err ] || fail "--output is not what is read, or is warned of"
run --number 5 --input there in 2> err > said || true
grep -q 'unused' err && ! grep -q '"there"' said || fail "--input is still read as the output"
for quiet in -q --quiet; do
    said=$(run $quiet --number 5 --output there in 2> err) && [ -z "$said" ] && [ ! -s err ] || fail "$quiet prints something, or fails"
    said=$(run --number 5 in $quiet 2> err) && [ -z "$said" ] && [ ! -s err ] || fail "$quiet at the end is not understood"
    if said=$(run $quiet --number x in 2> err); then fail "$quiet hides the exit status of a wrong number"; fi
    [ -z "$said" ] && [ -s err ] || fail "$quiet hides errors"
    run $quiet --number 5 in more 2> err >/dev/null && grep -q unused err || fail "$quiet hides warnings"
done
run --number 5 in | grep -q AppArgs || fail "without the flag nothing is printed"
run --help > said; grep -q -- '-q, --quiet' said && grep -q -- '--output PATH' said || fail "the help does not name both"
cargo test --offline 2>&1 || fail "the crate's tests fail"
