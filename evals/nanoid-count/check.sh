fail() { echo "$1"; exit 1; }
run() { node bin/nanoid.js "$@"; }
[ "$(run --count 3 | wc -l)" = 3 ] || fail "--count 3 does not print three lines"
[ "$(run -c 50 | sort -u | wc -l)" = 50 ] || fail "-c 50 does not print 50 different ids"
[ "$(run -c 4 -s 7 -a ab | grep -cxE '[ab]{7}')" = 4 ] || fail "it does not go with --size and --alphabet"
[ "$(run -a ab -s 7 --count 4 | grep -cxE '[ab]{7}')" = 4 ] || fail "it does not go with --size and --alphabet in another order"
[ "$(run | wc -l)" = 1 ] && [ "$(run | tr -d '\n' | wc -c)" = 21 ] || fail "without the flag it is not one id of 21 letters"
for bad in 0 -1 1.5 x ""; do
    if said=$(run --count "$bad" 2>err); then fail "--count '$bad' is not refused"; fi
    [ -z "$said" ] && [ -s err ] || fail "--count '$bad' prints ids, or does not say why not"
done
if run --count >/dev/null 2>&1; then fail "--count without a number is not refused"; fi
run --help | grep -q -- '--count' || fail "--help does not name it"
if run --size 0 >/dev/null 2>&1; then fail "--size 0 is not refused any more"; fi
