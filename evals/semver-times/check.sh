fail() { echo "$1"; exit 1; }
run() { python3 -m semver "$@"; }
is() { found=$(run bump "${@:2}") || fail "bump ${*:2} fails"; [ "$found" = "$1" ] || fail "bump ${*:2} prints $found, not $1"; }
is 1.4.0 minor 1.2.3 --times 2
is 1.0.0-rc.2 prerelease 1.0.0 --times 2
is 12.0.0 major --times 10 2.7.1
is 1.2.8 patch 1.2.3 --times 5
is 1.2.3+build.3 build 1.2.3 --times 3
is 1.3.0 minor 1.2.3
is 1.2.4 patch 1.2.3 --times 1
for bad in 0 -1 1.5 x ""; do
    if run bump minor 1.2.3 "--times=$bad" >said 2>err; then fail "--times=$bad is not refused"; else status=$?; fi
    [ $status = 2 ] && [ ! -s said ] && grep -q '^usage:' err && ! grep -q Traceback err || fail "--times=$bad is not refused as argparse does"
done
for part in major minor patch prerelease build; do
    run bump $part --help | grep -q -- --times || fail "the help of $part does not name it"
done
[ "$(run compare 1.0.0 2.0.0)" = -1 ] || fail "compare is another"
if run bump minor nonsense --times 2 2>/dev/null; then fail "a version that is none is taken"; fi
